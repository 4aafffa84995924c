"""Features and an encoder from outside of the package: frames of samples, and a layer over these.

Shapes: B batch, T samples, N frames and codes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from speechvq.config import EncoderConfig, FeatureConfig, ModelConfig
from speechvq.model import build_encoder, build_features

CHANNELS = 8


@dataclass(frozen=True)
class FramesConfig(FeatureConfig):
    """Frames of so many samples; without `kind`, so that no reader of settings knows it."""

    frame_length: int = 160

    @property
    def hop_length(self) -> int:
        return self.frame_length


@dataclass(frozen=True)
class OfFramesConfig(EncoderConfig):
    """A convolution over frames."""

    @property
    def hop_length(self) -> int:
        return 1


class Frames(nn.Module):
    """The samples of each frame, mapped to a few numbers: (B, N, `CHANNELS`)."""

    def __init__(self, frame_length: int):
        super().__init__()
        self.hop_length = self.receptive_field = frame_length
        self.register_buffer("matrix", torch.randn(frame_length, CHANNELS))

    def forward(self, waveform: Tensor) -> Tensor:
        padded = nn.functional.pad(waveform, (0, -waveform.shape[-1] % self.hop_length))
        return padded.unflatten(-1, (-1, self.hop_length)) @ self.matrix


class OfFrames(nn.Module):
    """A convolution of three frames."""

    hop_length, receptive_field = 1, 3

    def __init__(self, codebook_dim: int):
        super().__init__()
        self.output = nn.Conv1d(CHANNELS, codebook_dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(x.transpose(1, 2)).transpose(1, 2)


@build_features.register
def _(config: FramesConfig, model: ModelConfig) -> nn.Module:
    return Frames(config.frame_length)


@build_encoder.register
def _(config: OfFramesConfig, model: ModelConfig) -> nn.Module:
    return OfFrames(model.quantizer.codebook_dim)
