"""A new decoder: a convolutional vocoder that gives the waveform of an utterance at once.

    python docs/examples/decoder.py TRAIN.jsonl VALID.jsonl OUT

trains a model with it by equation 3, and encodes and samples one recording. A GAN vocoder has the
same three methods; its discriminators belong to an objective (objective.py).
"""

import math
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import speechvq
from speechvq.config import (
    DataConfig,
    DecoderConfig,
    LikelihoodStage,
    ModelConfig,
    QuantizerConfig,
    StridedEncoderConfig,
    TrainingConfig,
)
from speechvq.data.manifest import read_manifest
from speechvq.model import build_decoder
from speechvq.training.train import train


@dataclass(frozen=True)
class VocoderConfig(DecoderConfig):
    """A convolutional vocoder.

    Attributes
    ----------
    kind : {"vocoder"}
    channels : int
        Width of the convolutions, which run at the rate of the codes.
    layers : int
        Convolutions.
    """

    kind: Literal["vocoder"] = "vocoder"
    channels: int = 256
    layers: int = 4


class Vocoder(nn.Module):
    """p(x | z_q, speaker): independent Laplace distributions of the samples."""

    def __init__(self, config: VocoderConfig, codebook_dim: int, hop_length: int, n_speakers: int):
        super().__init__()
        C = config.channels
        self.hop_length = hop_length
        self.input = nn.Linear(codebook_dim, C)
        self.speakers = nn.Embedding(n_speakers, C)
        self.layers = nn.ModuleList(nn.Conv1d(C, C, 3, padding=1) for _ in range(config.layers))
        self.output = nn.Linear(C, 2 * hop_length)
        self.register_buffer("amplitude", torch.tensor(1.0))

    def fit(self, waveforms: Tensor) -> None:
        """Set the scale of the output by typical speech (B, T); called once, before training."""
        self.amplitude.copy_(waveforms.std())

    def log_likelihood(
        self,
        waveform: Tensor,
        quantized: Tensor,
        speaker: Tensor,
        margin: int = 0,
        input_noise: float = 0.0,  # of teacher forcing, which this decoder has not
    ) -> Tensor:
        """log p(x | z_q, speaker) in nats for each sample, (B, T - 2 · margin · hop_length).

        `waveform` (B, T), `quantized` (B, N, D), `speaker` (B,); `margin` codes at either end are
        context, and their samples are not scored.
        """
        mean, scale = self._distribution(quantized, speaker)
        log_p = -(waveform - mean).abs() / scale - torch.log(2 * scale)
        skipped = margin * self.hop_length
        return log_p[:, skipped : log_p.shape[1] - skipped]

    def sample(self, quantized: Tensor, speaker: int, random: np.random.Generator) -> Tensor:
        """A waveform (N · hop_length,) for z_q (N, D), by the given random numbers alone."""
        index = torch.tensor([speaker], device=quantized.device)
        mean, scale = self._distribution(quantized[None], index)
        noise = torch.from_numpy(random.laplace(size=mean.shape[1])).to(mean)
        return mean[0] + scale[0] * noise

    def _distribution(self, quantized: Tensor, speaker: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale (B, T) of each sample."""
        x = (self.input(quantized) + self.speakers(speaker)[:, None]).transpose(1, 2)
        for layer in self.layers:
            x = x + layer(F.leaky_relu(x, 0.1))
        mean, log_scale = self.output(x.transpose(1, 2)).float().chunk(2, dim=-1)
        scale = self.amplitude * log_scale.clamp(math.log(1e-3), 3.0).exp()
        return (self.amplitude * mean).flatten(1), scale.flatten(1)


@build_decoder.register
def _(config: VocoderConfig, model: ModelConfig, n_speakers: int) -> nn.Module:
    return Vocoder(config, model.quantizer.codebook_dim, model.hop_length, n_speakers)


def main(train_manifest: str, valid_manifest: str, out: str) -> None:
    """Train by equation 3, then encode and sample."""
    config = ModelConfig(
        sample_rate=8000,
        encoder=StridedEncoderConfig(strides=(10, 8), channels=32),
        quantizer=QuantizerConfig(codebook_size=16, codebook_dim=8),
        decoder=VocoderConfig(channels=32, layers=2),
    )
    stages = [LikelihoodStage(steps=6, batch_size=2, segment_length=1600, warmup_steps=2)]
    data = DataConfig(train_manifest, valid_manifest)
    folder = train(config, data, stages, TrainingConfig(workers=0, samples=1), out)

    model = speechvq.load(folder)
    utterance = read_manifest(valid_manifest)[0]
    waveform, _ = speechvq.audio.read(utterance.path, model.sample_rate)
    codes = speechvq.encode(model, waveform)
    drawn = speechvq.sample(model, codes, model.speakers[0])
    print(f"{len(waveform)} samples, {len(codes)} codes, {len(drawn)} samples drawn")


if __name__ == "__main__":
    main(*sys.argv[1:])
