"""Log-mel spectrograms.

The filterbank is librosa's: triangles on Slaney's mel scale (Auditory Toolbox, 1998), which is
linear up to 1 kHz. It is computed here because librosa takes a second to import.

Shapes: B batch, T samples, M frames, F mel bands, bins of the power spectrum.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.features.vtln import warp_filters

FLOOR = 1e-8
"""Added to powers before the logarithm: some 80 dB below speech at a usual level."""
SPEECH_QUANTILE = 0.95
"""Quantile of the frames' levels that stands for the level of speech."""
LINEAR_TO = 1000.0
"""Hz up to which the mel scale is linear."""
MELS_PER_HZ = 3 / 200
"""Mels in a Hz, up to there."""
MELS_PER_E = 27 / math.log(6.4)
"""Mels in which the frequency rises by a factor of e, above."""


class LogMel(nn.Module):
    """Log-mel frames (B, T / hop_length, F), in nats, of a waveform (B, T).

    Frame i is centred on samples i · hop_length to (i + 1) · hop_length.

    Parameters
    ----------
    sample_rate : int
        Hz.
    hop_length : int
        Samples per frame.
    bands : int
        F.
    floor : float
        Added to powers before the logarithm.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, sample_rate: int, hop_length: int, bands: int, floor: float = FLOOR):
        super().__init__()
        self.hop_length = hop_length
        self.rate = sample_rate / hop_length
        """Frames per second."""
        self.floor = floor
        self.window_length = max(2 * hop_length, sample_rate // 40)  # at least 25 ms
        self.n_fft = 2 ** (self.window_length - 1).bit_length()
        filters = torch.from_numpy(mel_filters(sample_rate, self.n_fft, bands))
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(self.window_length), persistent=False)

    def forward(self, waveform: Tensor, warp: Tensor | None = None) -> Tensor:
        """Log-mel frames; with VTLN warp factors (B,), of warped filterbanks."""
        with torch.autocast(waveform.device.type, enabled=False):
            return self.of_power(self.power(waveform), warp)

    def at_speed(self, waveform: Tensor, speed: Tensor, frames: int) -> Tensor:
        """Log-mel frames (B, frames, F) of a waveform (B, T) that advances by speeds (B,).

        Frame i is centred on sample (i + 0.5) · hop_length · speed; outside are zeros.
        """
        places = torch.arange(frames, device=waveform.device) + 0.5
        centres = (self.hop_length * speed.unsqueeze(1) * places).round().long()  # (B, frames)
        inside = torch.arange(self.window_length, device=waveform.device) - self.window_length // 2
        padded = F.pad(waveform.float(), (self.window_length, self.window_length))
        index = (centres.unsqueeze(-1) + inside + self.window_length).flatten(1)
        index = index.clamp(max=padded.shape[1] - 1)
        windows = padded.gather(1, index).unflatten(1, (frames, -1)) * self.window
        return self.of_power(torch.fft.rfft(windows, self.n_fft).abs().square())

    def of_power(self, power: Tensor, warp: Tensor | None = None) -> Tensor:
        """Log-mel frames of power spectra (B, M, bins)."""
        filters = self.filters if warp is None else warp_filters(self.filters, warp)
        return torch.log(power @ filters.transpose(-1, -2) + self.floor)

    def power(self, waveform: Tensor) -> Tensor:
        """Power spectra (B, T / hop_length, bins)."""
        margin = self.n_fft - self.hop_length
        padded = F.pad(waveform.float(), (margin // 2, margin - margin // 2))
        spectrum = torch.stft(
            padded,
            self.n_fft,
            self.hop_length,
            self.window_length,
            self.window,
            center=False,
            return_complex=True,
        )
        return spectrum.abs().square().transpose(1, 2)


def floor_log_mel(mel: Tensor, level: Tensor, dynamic_range: float) -> Tensor:
    """Log-mel frames (B, M, F) relative to the speech level (B,), floored `dynamic_range` below."""
    return (mel - level.view(-1, 1, 1)).clamp(min=-dynamic_range)


def speech_level_nats(mel: Tensor) -> Tensor:
    """Level, in nats, of the speech in log-mel frames (M, F)."""
    return mel.mean(1).quantile(SPEECH_QUANTILE)


def mel_filters(sample_rate: int, n_fft: int, bands: int) -> np.ndarray:
    """Triangular filters (F, bins) float32 of equal area, for power spectra up to half the rate."""
    bend = LINEAR_TO * MELS_PER_HZ
    half = sample_rate / 2
    top = min(half, LINEAR_TO) * MELS_PER_HZ
    top += MELS_PER_E * math.log(max(half, LINEAR_TO) / LINEAR_TO)
    mels = np.linspace(0, top, bands + 2)
    edges = np.minimum(mels, bend) / MELS_PER_HZ
    edges *= np.exp(np.maximum(mels - bend, 0) / MELS_PER_E)  # Hz
    above = np.fft.rfftfreq(n_fft, 1 / sample_rate) - edges[:, None]  # Hz above an edge
    widths = np.diff(edges)[:, None]
    triangles = np.minimum(above[:-2] / widths[:-1], -above[2:] / widths[1:]).clip(0)
    # Rounded to float32 before and after the division, as librosa does: the bits are the same
    areas = (edges[2:] - edges[:-2])[:, None] / 2
    return (triangles.astype(np.float32) / areas).astype(np.float32)
