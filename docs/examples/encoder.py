"""A new encoder: dilated convolutions over blocks of samples.

    python docs/examples/encoder.py TRAIN.jsonl VALID.jsonl OUT

trains a model with it, and encodes and samples one recording. Other programs import this file
before they load the model.
"""

import sys
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

import speechvq
from speechvq.config import (
    DataConfig,
    EncoderConfig,
    LikelihoodStage,
    ModelConfig,
    QuantizerConfig,
    TrainingConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from speechvq.data.manifest import read_manifest
from speechvq.model import build_encoder
from speechvq.training.train import train


@dataclass(frozen=True)
class DilatedEncoderConfig(EncoderConfig):
    """Dilated convolutions over blocks of samples.

    Attributes
    ----------
    kind : {"dilated"}
    hop_length : int
        Samples per latent.
    channels : int
        Width of the convolutions.
    layers : int
        Convolutions; dilations run 1, 2, 4, …
    """

    kind: Literal["dilated"] = "dilated"
    hop_length: int = 320
    channels: int = 128
    layers: int = 3


class DilatedEncoder(nn.Module):
    """Latents (B, N, D) of a waveform (B, T), N = ceil(T / hop_length)."""

    def __init__(self, config: DilatedEncoderConfig, codebook_dim: int):
        super().__init__()
        self.hop_length = config.hop_length
        self.blocks = nn.Linear(config.hop_length, config.channels)
        self.layers = nn.ModuleList(
            nn.Conv1d(config.channels, config.channels, 3, padding=2**i, dilation=2**i)
            for i in range(config.layers)
        )
        self.output = nn.Linear(config.channels, codebook_dim)

    @property
    def receptive_field(self) -> int:
        """Samples that a latent depends on; long recordings are encoded with so much context."""
        return self.hop_length * (1 + 2 * sum(layer.dilation[0] for layer in self.layers))

    def forward(self, waveform: Tensor) -> Tensor:
        T = waveform.shape[-1]
        blocks = F.pad(waveform, (0, -T % self.hop_length)).unflatten(-1, (-1, self.hop_length))
        x = self.blocks(blocks).transpose(1, 2)  # (B, C, N)
        for layer in self.layers:
            x = x + layer(F.relu(x))
        return self.output(x.transpose(1, 2))


@build_encoder.register
def _(config: DilatedEncoderConfig, model: ModelConfig) -> nn.Module:
    return DilatedEncoder(config, model.quantizer.codebook_dim)


def main(train_manifest: str, valid_manifest: str, out: str) -> None:
    """Train by equation 3, then encode and sample."""
    wavenet = WaveNetConfig(layers=4, dilation_cycle=4, residual_channels=16, skip_channels=16)
    config = ModelConfig(
        sample_rate=8000,
        encoder=DilatedEncoderConfig(hop_length=80, channels=32, layers=2),
        quantizer=QuantizerConfig(codebook_size=16, codebook_dim=8),
        decoder=WaveNetDecoderConfig(wavenet=wavenet),
    )
    stages = [LikelihoodStage(steps=6, batch_size=2, segment_length=1600, warmup_steps=2)]
    data = DataConfig(train_manifest, valid_manifest)
    folder = train(config, data, stages, TrainingConfig(workers=0, samples=0), out)

    model = speechvq.load(folder)
    utterance = read_manifest(valid_manifest)[0]
    waveform, _ = speechvq.audio.read(utterance.path, model.sample_rate)
    codes = speechvq.encode(model, waveform)
    drawn = speechvq.sample(model, codes[:10], model.speakers[0])
    print(f"{len(waveform)} samples, {len(codes)} codes, {len(drawn)} samples drawn")


if __name__ == "__main__":
    main(*sys.argv[1:])
