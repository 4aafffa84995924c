"""Cepstra of speech, made alike between speakers: what the encoder learns to find.

Two speakers say the same with vocal tracts of different length, through different microphones. What
one calls s has the spectrum of another's sh, and codes of such spectra are each speaker's own. So
each speaker's frequencies are stretched (vocal tract length normalisation), and each speaker's
cepstra get mean 0 (cepstral mean normalisation) and are mapped linearly to where others have the
like, by least squares. training/speakers.py finds how, from speech alone. What is left is moved
sound by sound in what an encoder learns from (models/sounds.py).

Shapes: B batch, T samples, N codes, M frames, F mel bands, D cepstra, S speakers. After Lee and
Rose, "Speaker normalization using efficient frequency warping procedures", 1996.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.models.filterbank import FLOOR

KNEE = 0.8
"""Share of the band up to which a warp stretches; above, what is left is fitted in."""
SPEECH = 0.95
"""Quantile of the frames' level that stands for the level of speech."""
RANGE = 10.0
"""Nats below this level at which a log-mel frame ends: what is softer is as good as silent."""
SILENCE = 1e-13
"""Added to the powers of which cepstra are: far below speech, so that its level does not matter."""


class LogMel(nn.Module):
    """Log-mel frames (B, T / hop_length, F) of a waveform (B, T), frame i centred on its own.

    `floor` is added to powers before the logarithm.
    """

    def __init__(self, sample_rate: int, hop_length: int, bands: int, floor: float = FLOOR):
        super().__init__()
        from librosa.filters import mel

        self.hop_length = hop_length
        self.rate = sample_rate / hop_length
        """Frames a second."""
        self.floor = floor
        self.window_length = max(2 * hop_length, sample_rate // 40)  # at least 25 ms
        self.n_fft = 2 ** (self.window_length - 1).bit_length()
        filters = torch.from_numpy(mel(sr=sample_rate, n_fft=self.n_fft, n_mels=bands))
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(self.window_length), persistent=False)

    def forward(self, waveform: Tensor, warp: Tensor | None = None) -> Tensor:
        """Log-mel frames, with the frequencies of each row divided by its warp (B,), if given."""
        with torch.autocast(waveform.device.type, enabled=False):
            return self.of_power(self.power(waveform), warp)

    def of_power(self, power: Tensor, warp: Tensor | None = None) -> Tensor:
        """The same of power spectra (B, M, bins)."""
        filters = self.filters if warp is None else warped(self.filters, warp)
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


class Voice(NamedTuple):
    """How the speech of a batch's recordings is made alike: (B,), (B,), (B, D) and (B, D, D)."""

    warp: Tensor
    """What the voice's frequencies are divided by."""
    level: Tensor
    """Of its log-mel frames where it speaks, nats."""
    mean: Tensor
    """Of its cepstra."""
    matrix: Tensor
    """By which they are multiplied: (c - mean) matrix."""


class FrameCepstra(nn.Module):
    """Cepstra (B, N, D) of a waveform (B, T): means over each code's frame and half beyond."""

    def __init__(self, sample_rate: int, hop_length: int, bands: int, cepstra: int):
        super().__init__()
        if bands < cepstra:
            raise ValueError(f"codebook_dim: {bands} mel bands have no {cepstra} cepstra; lower it")
        # Windows every 10 ms or a little more, a whole number of them in a frame
        shortest = sample_rate // 100
        steps = range(max(1, hop_length // shortest), 0, -1)
        self.steps = next(s for s in steps if hop_length % s == 0)
        self.margin = self.steps // 2  # windows beyond the frame, on either side
        self.hop_length = hop_length
        self.mel = LogMel(sample_rate, hop_length // self.steps, bands, SILENCE)
        self.register_buffer("dct", dct(bands, cepstra), persistent=False)

    def forward(self, waveform: Tensor, voice: Voice | None = None) -> Tensor:
        """Cepstra as they are, or those of a voice made alike to other voices'.

        Any T; N = ceil(T / hop_length).
        """
        waveform = F.pad(waveform, (0, -waveform.shape[-1] % self.hop_length))
        with torch.autocast(waveform.device.type, enabled=False):
            if voice is None:
                return self.of_mel(self.mel(waveform))
            cepstra = self.of_mel(above_floor(self.mel(waveform, voice.warp), voice.level))
            return (cepstra - voice.mean.unsqueeze(1)) @ voice.matrix

    @property
    def receptive_field(self) -> int:
        """Samples on which the cepstra of one code depend."""
        further = self.steps + 2 * self.margin - 1  # windows after the first
        return further * self.mel.hop_length + self.mel.window_length

    def of_mel(self, mel: Tensor) -> Tensor:
        """Cepstra (B, N, D) of log-mel frames (B, N · steps, F)."""
        means = F.avg_pool1d(
            (mel @ self.dct.T).transpose(1, 2),
            self.steps + 2 * self.margin,
            self.steps,
            self.margin,
            count_include_pad=False,
        )
        return means.transpose(1, 2)


class SpeakerCepstra(nn.Module):
    """Cepstra (B, N, D) of a waveform (B, T), made alike between speakers (B,).

    training/speakers.py finds their voices.
    """

    def __init__(self, frames: FrameCepstra, speakers: int):
        super().__init__()
        self.frames = frames
        D = frames.dct.shape[0]
        self.register_buffer("warp", torch.ones(speakers))
        self.register_buffer("level", torch.zeros(speakers))
        self.register_buffer("mean", torch.zeros(speakers, D))
        self.register_buffer("matrix", torch.eye(D).repeat(speakers, 1, 1))

    def forward(self, waveform: Tensor, speaker: Tensor) -> Tensor:
        return self.frames(waveform, self.voice(speaker))

    def put(self, speaker: int, voice: Voice) -> None:
        """Give a speaker a voice (of B = 1)."""
        for name, value in voice._asdict().items():
            getattr(self, name)[speaker] = value[0]

    def voice(self, speaker: Tensor) -> Voice:
        """The voices of speakers (B,)."""
        return Voice(*(x[speaker] for x in (self.warp, self.level, self.mean, self.matrix)))


def voice_of(voices: SpeakerCepstra | None, speaker: Tensor) -> Voice | None:
    """The voices of speakers (B,), for an encoder that listens to voices."""
    return None if voices is None else voices.voice(speaker)


def above_floor(mel: Tensor, level: Tensor) -> Tensor:
    """Log-mel frames (B, M, F) relative to the level (B,) of speech, and never RANGE below it."""
    return (mel - level.view(-1, 1, 1)).clamp(min=-RANGE)


def level_of_speech(mel: Tensor) -> Tensor:
    """Level, in nats, of the speech in log-mel frames (M, F)."""
    return mel.mean(1).quantile(SPEECH)


def dct(bands: int, cepstra: int) -> Tensor:
    """The orthonormal DCT-II, (cepstra, bands)."""
    band, order = torch.arange(bands) + 0.5, torch.arange(cepstra).unsqueeze(1)
    matrix = torch.cos(math.pi * order * band / bands) * math.sqrt(2 / bands)
    matrix[0] /= math.sqrt(2)
    return matrix
