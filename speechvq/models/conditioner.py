"""The conditioner: local conditioning on the codes, global conditioning on the speaker.

Shapes: B batch, N codes, M = N · upsample condition vectors, C channels, D codebook_dim.
"""

import torch
from torch import Tensor, nn

from speechvq.config import ConditionerConfig


class Conditioner(nn.Module):
    """Condition vectors from quantized latents and a speaker, `upsample` of them per code.

    With no layers each vector is a projection of one code plus the speaker embedding; with layers,
    convolutions smooth over neighbouring codes, which are 40 ms apart at 25 Hz.

    Parameters
    ----------
    config : ConditionerConfig
    codebook_dim : int
        D.
    n_speakers : int
    """

    def __init__(self, config: ConditionerConfig, codebook_dim: int, n_speakers: int):
        super().__init__()
        C = config.channels
        self.upsample = config.upsample
        self.speakers = nn.Embedding(n_speakers, C)
        self.project = nn.Linear(codebook_dim, C)
        self.widen = nn.Linear(C, C * self.upsample)
        self.before = _convolutions(C, config.layers)
        self.after = _convolutions(C, config.layers if self.upsample > 1 else 0)

    def forward(self, quantized: Tensor, speaker: Tensor) -> Tensor:
        """Condition (B, M, C) of quantized latents (B, N, D) and speaker indices (B,)."""
        s = self.speakers(speaker).unsqueeze(1)  # (B, 1, C)
        x = self.project(quantized) + s
        x = _along_time(self.before, x)
        x = self.widen(x).unflatten(-1, (self.upsample, -1)).flatten(1, 2) + s
        return _along_time(self.after, x)

    @property
    def lookahead(self) -> int:
        """Codes after a code that its first condition vector depends on."""
        return len(self.before) + len(self.after) // self.upsample

    def stream(self, speaker: Tensor) -> "ConditionerStream":
        """The conditioner on quantized latents that come in pieces, for a speaker index (1,)."""
        return ConditionerStream(self, speaker)


class ConditionerStream:
    """A conditioner on quantized latents that come in pieces.

    All condition vectors together are those of the whole sequence, up to rounding.
    """

    def __init__(self, conditioner: Conditioner, speaker: Tensor):
        self._conditioner, self._speaker = conditioner, speaker
        weight = conditioner.project.weight
        self._held = weight.new_zeros(1, 0, weight.shape[1])  # latents that are still needed
        self._first = 0  # the index of the first of them
        self._given = 0  # vectors

    def add(self, quantized: Tensor) -> Tensor:
        """Take z_q (1, n, D); give the condition vectors (1, m, C), m from 0, known now."""
        self._held = torch.cat([self._held, quantized], dim=1)
        conditioner = self._conditioner
        codes = self._first + self._held.shape[1] - len(conditioner.before)
        return self._known(codes * conditioner.upsample - len(conditioner.after))

    def end(self) -> Tensor:
        """Give the remaining condition vectors (1, m, C) when no more latents come."""
        return self._known((self._first + self._held.shape[1]) * self._conditioner.upsample)

    def _known(self, until: int) -> Tensor:
        """Vectors up to `until`; drops the latents that no later vector depends on."""
        conditioner, first = self._conditioner, self._first
        upsample = conditioner.upsample
        if until <= self._given:
            return self._held.new_zeros(1, 0, conditioner.speakers.embedding_dim)
        vectors = conditioner(self._held, self._speaker)
        vectors = vectors[:, self._given - first * upsample : until - first * upsample]
        self._given = until
        needed = (until - len(conditioner.after)) // upsample - len(conditioner.before)
        self._first = max(first, needed)
        self._held = self._held[:, self._first - first :]
        return vectors


def _convolutions(channels: int, layers: int) -> nn.ModuleList:
    return nn.ModuleList(
        nn.Sequential(
            nn.Conv1d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv1d(channels, channels, kernel_size=1),
        )
        for _ in range(layers)
    )


def _along_time(layers: nn.ModuleList, x: Tensor) -> Tensor:
    x = x.transpose(1, 2)
    for layer in layers:
        x = x + layer(x)
    return x.transpose(1, 2)
