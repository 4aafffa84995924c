"""Cepstra of speech, and the speaker transform that normalises them.

Speakers differ in vocal tract length, in the recording channel, and in how they realise sounds. A
transform therefore warps the frequency axis (VTLN), floors the log-mel frames relative to the level
of speech, subtracts the cepstral mean (CMVN), and multiplies by a matrix, which scales the variance
and maps linearly to where other speakers have similar sounds (`inca.py`).

Shapes: B batch, T samples, N codes, M log-mel frames, F mel bands, D cepstra, S speakers.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.features.log_mel import LogMel, floor_log_mel

SILENCE = 1e-13
"""Added to powers before the logarithm: far below speech, so that the level does not matter."""


class SpeakerTransform(NamedTuple):
    """How the cepstra of a batch of recordings are normalised."""

    warp: Tensor
    """VTLN warp factors (B,)."""
    level: Tensor
    """Level of speech (B,), nats."""
    mean: Tensor
    """Mean of the cepstra (B, D)."""
    matrix: Tensor
    """(B, D, D): normalised cepstra are (c - mean) matrix."""


class MFCC(nn.Module):
    """Cepstra (B, N, D) of a waveform (B, T): means over a code's frame and half a frame beyond.

    Parameters
    ----------
    sample_rate : int
        Hz.
    hop_length : int
        Samples per code.
    bands : int
        F.
    cepstra : int
        D.
    dynamic_range : float
        Nats below the level of speech at which log-mel frames are floored in normalised cepstra.
    """

    dct: Tensor

    def __init__(
        self,
        sample_rate: int,
        hop_length: int,
        bands: int,
        cepstra: int,
        dynamic_range: float = 10.0,
    ):
        super().__init__()
        if bands < cepstra:
            raise ValueError(f"cepstra: {bands} mel bands have no {cepstra} cepstra; take fewer")
        # Windows every 10 ms or a little more, a whole number of them in a frame
        shortest = sample_rate // 100
        counts = range(max(1, hop_length // shortest), 0, -1)
        self.windows = next(n for n in counts if hop_length % n == 0)
        self.margin = self.windows // 2  # windows beyond the frame, on either side
        self.hop_length = hop_length
        self.dynamic_range = dynamic_range
        self.mel = LogMel(sample_rate, hop_length // self.windows, bands, SILENCE)
        self.register_buffer("dct", dct(bands, cepstra), persistent=False)

    def forward(self, waveform: Tensor, transform: SpeakerTransform | None = None) -> Tensor:
        """Cepstra (B, N, D), N = ceil(T / hop_length); normalised if a transform is given."""
        waveform = F.pad(waveform, (0, -waveform.shape[-1] % self.hop_length))
        with torch.autocast(waveform.device.type, enabled=False):
            if transform is None:
                return self.of_mel(self.mel(waveform))
            mel = self.floored(self.mel(waveform, transform.warp), transform.level)
            return (self.of_mel(mel) - transform.mean.unsqueeze(1)) @ transform.matrix

    def floored(self, mel: Tensor, level: Tensor) -> Tensor:
        """Log-mel frames (B, M, F) relative to the level of speech (B,), floored."""
        return floor_log_mel(mel, level, self.dynamic_range)

    @property
    def receptive_field(self) -> int:
        """Samples that the cepstra of one code depend on."""
        after_first = self.windows + 2 * self.margin - 1
        return after_first * self.mel.hop_length + self.mel.window_length

    def of_mel(self, mel: Tensor) -> Tensor:
        """Cepstra (B, N, D) of log-mel frames (B, N · windows, F)."""
        means = F.avg_pool1d(
            (mel @ self.dct.T).transpose(1, 2),
            self.windows + 2 * self.margin,
            self.windows,
            self.margin,
            count_include_pad=False,
        )
        return means.transpose(1, 2)


class SpeakerTransforms(nn.Module):
    """The transforms of S speakers, by speaker index."""

    warp: Tensor
    level: Tensor
    mean: Tensor
    matrix: Tensor

    def __init__(self, cepstra: int, speakers: int):
        super().__init__()
        D = cepstra
        self.register_buffer("warp", torch.ones(speakers))
        self.register_buffer("level", torch.zeros(speakers))
        self.register_buffer("mean", torch.zeros(speakers, D))
        self.register_buffer("matrix", torch.eye(D).repeat(speakers, 1, 1))

    def forward(self, speaker: Tensor) -> SpeakerTransform:
        """The transforms of speakers (B,)."""
        return SpeakerTransform(
            *(x[speaker] for x in (self.warp, self.level, self.mean, self.matrix))
        )


def dct(bands: int, cepstra: int) -> Tensor:
    """The orthonormal DCT-II, (cepstra, bands)."""
    band, order = torch.arange(bands) + 0.5, torch.arange(cepstra).unsqueeze(1)
    matrix = torch.cos(math.pi * order * band / bands) * math.sqrt(2 / bands)
    matrix[0] /= math.sqrt(2)
    return matrix
