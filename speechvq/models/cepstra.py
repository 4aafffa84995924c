"""Cepstra of speech, made alike between speakers: what the encoder learns to find.

Two speakers say the same with vocal tracts of different length, through different microphones. What
one calls s has the spectrum of another's sh, and codes of such spectra are each speaker's own. So
each speaker's frequencies are stretched (vocal tract length normalisation), and each speaker's
cepstra get mean 0 and variance 1 (cepstral mean and variance normalisation). training/speakers.py
finds how much, from speech alone.

Shapes: B batch, T samples, N codes, M frames, F mel bands, D cepstra, S speakers. After Lee and
Rose, "Speaker normalization using efficient frequency warping procedures", 1996.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.models.filterbank import FLOOR

KNEE = 0.8
"""Share of the band up to which a warp stretches; above, what is left is fitted in."""


class LogMel(nn.Module):
    """Log-mel frames (B, T / hop_length, F) of a waveform (B, T), frame i centred on its own."""

    def __init__(self, sample_rate: int, hop_length: int, bands: int):
        super().__init__()
        from librosa.filters import mel

        self.hop_length = hop_length
        self.window_length = max(2 * hop_length, sample_rate // 40)  # at least 25 ms
        self.n_fft = 2 ** (self.window_length - 1).bit_length()
        filters = torch.from_numpy(mel(sr=sample_rate, n_fft=self.n_fft, n_mels=bands))
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(self.window_length), persistent=False)

    def forward(self, waveform: Tensor, warp: Tensor | None = None) -> Tensor:
        """Log-mel frames, with the frequencies of each row divided by its warp (B,), if given."""
        with torch.autocast(waveform.device.type, enabled=False):
            power = self.power(waveform)
            filters = self.filters if warp is None else warped(self.filters, warp)
            return torch.log(power @ filters.transpose(-1, -2) + FLOOR)

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


def warped(filters: Tensor, warp: Tensor) -> Tensor:
    """Filters (F, bins) moved so that filter f hears what lies at `warp` times its frequency.

    Above `KNEE` of the band the stretching gives way, so that the band's end stays where it is.

    Parameters
    ----------
    filters : Tensor
        (F, bins), from 0 Hz to half the sample rate.
    warp : Tensor
        (B,), over 1 for a voice of higher resonances than others.

    Returns
    -------
    Tensor
        (B, F, bins).
    """
    last = filters.shape[1] - 1
    warp = warp.unsqueeze(1)
    heard = torch.arange(last + 1, device=filters.device)  # bin of the voice
    knee = KNEE * last * warp.clamp(max=1.0)
    above = (last - knee / warp) / (last - knee)
    common = torch.where(heard < knee, heard / warp, last - (last - heard) * above)  # (B, bins)
    lower = common.long().clamp(0, last - 1)
    share = (common - lower).unsqueeze(1)
    columns = filters.T  # (bins, F)
    below, beyond = columns[lower].transpose(1, 2), columns[lower + 1].transpose(1, 2)
    return below * (1 - share) + beyond * share


class FrameCepstra(nn.Module):
    """Cepstra (B, N, D) of a waveform (B, T): means over each code's frame and half beyond."""

    def __init__(self, sample_rate: int, hop_length: int, bands: int, cepstra: int):
        super().__init__()
        # Windows every 10 ms or a little more, a whole number of them in a frame
        shortest = sample_rate // 100
        steps = range(max(1, hop_length // shortest), 0, -1)
        self.steps = next(s for s in steps if hop_length % s == 0)
        self.mel = LogMel(sample_rate, hop_length // self.steps, bands)
        self.register_buffer("dct", dct(bands, cepstra), persistent=False)

    def forward(
        self, waveform: Tensor, warp: Tensor | None = None, floor: Tensor | None = None
    ) -> Tensor:
        """Cepstra, after a warp (B,) of each row's frequencies and a floor (B,) to its log-mels."""
        with torch.autocast(waveform.device.type, enabled=False):
            mel = self.mel(waveform, warp)
            if floor is not None:
                mel = mel.maximum(floor.view(-1, 1, 1))
            margin = self.steps // 2
            means = F.avg_pool1d(
                (mel @ self.dct.T).transpose(1, 2),
                self.steps + 2 * margin,
                self.steps,
                margin,
                count_include_pad=False,
            )
            return means.transpose(1, 2)


class SpeakerCepstra(nn.Module):
    """Cepstra (B, N, D) of a waveform (B, T), made alike between speakers (B,).

    Until `fit` they are as they come.
    """

    def __init__(self, frames: FrameCepstra, speakers: int):
        super().__init__()
        self.frames = frames
        D = frames.dct.shape[0]
        self.register_buffer("warp", torch.ones(speakers))
        self.register_buffer("floor", torch.full((speakers,), math.log(FLOOR)))
        self.register_buffer("mean", torch.zeros(speakers, D))
        self.register_buffer("scale", torch.ones(speakers, D))

    def forward(self, waveform: Tensor, speaker: Tensor) -> Tensor:
        cepstra = self.frames(waveform, self.warp[speaker], self.floor[speaker])
        return (cepstra - self.mean[speaker].unsqueeze(1)) / self.scale[speaker].unsqueeze(1)


def dct(bands: int, cepstra: int) -> Tensor:
    """The orthonormal DCT-II, (cepstra, bands)."""
    band, order = torch.arange(bands) + 0.5, torch.arange(cepstra).unsqueeze(1)
    matrix = torch.cos(math.pi * order * band / bands) * math.sqrt(2 / bands)
    matrix[0] /= math.sqrt(2)
    return matrix
