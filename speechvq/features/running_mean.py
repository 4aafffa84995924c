"""Running mean normalisation: what a recording has had so far is subtracted.

A mean over the whole recording is known when the recording has ended. A running mean removes the
same channel (microphone, room, level), is known at once, and is that of the whole up to the frame.

Shapes: B batch, N frames, C bands.
"""

import math

import torch
from torch import Tensor, nn

from speechvq.distributed import sum_over_processes

LEARNING_RATE = 0.02
"""Share of a training batch in the mean at the beginning of a recording."""
CHUNK = 500
"""Frames whose means are computed at a time; what they weigh is a matrix of as many rows."""

State = tuple[Tensor, Tensor]
"""Weighted sum of the frames so far (B, 1, C), and sum of their weights (B, 1, 1)."""


class RunningMean(nn.Module):
    """Mean of log powers so far; frames fade exponentially and weigh as much as their amplitude.

    So pauses weigh little. A recording begins with a mean of the training speech that counts as
    `prior` frames.

    Parameters
    ----------
    bands : int
        C.
    memory : float
        Frames after which a frame weighs 1/e.
    prior : float
        Frames.
    """

    mean: Tensor
    weight: Tensor

    def __init__(self, bands: int, memory: float, prior: float):
        super().__init__()
        self.decay, self.prior = math.exp(-1 / memory), prior
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("weight", torch.ones(()))  # of a frame, on average

    def begin(self, batch: int) -> State:
        """State before the first frame."""
        weight = (self.weight * self.prior).reshape(1, 1, 1).expand(batch, 1, 1)
        return weight * self.mean, weight

    @torch.no_grad()
    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Means (B, N, C) up to and with each frame of log powers (B, N, C), and the new state."""
        total, weight = self.begin(len(x)) if state is None else state
        age = torch.arange(min(CHUNK, x.shape[1]), device=x.device)
        fade = torch.where(age[:, None] >= age, self.decay ** (age[:, None] - age), 0.0)
        means = [x[:, :0]]
        for first in range(0, x.shape[1], CHUNK):
            frames = x[:, first : first + CHUNK]
            n, weights = frames.shape[1], _weights(frames)
            before = (self.decay ** (age[:n] + 1)).reshape(1, n, 1)
            totals = fade[:n, :n] @ (weights * frames) + before * total
            sums = fade[:n, :n] @ weights + before * weight
            means.append(totals / sums)
            total, weight = totals[:, -1:], sums[:, -1:]
        return torch.cat(means, dim=1), (total, weight)

    @torch.no_grad()
    def learn(self, x: Tensor) -> None:
        """Move the mean at the beginning towards that of a training batch (B, N, C)."""
        weights = _weights(x)
        sums = torch.cat([(weights * x).sum((0, 1)), weights.sum()[None], weights.new_ones(1)])
        sum_over_processes(sums)
        total, weight, processes = sums[:-2], sums[-2], sums[-1]
        self.mean.lerp_(total / weight, LEARNING_RATE)
        self.weight.lerp_(weight / (processes * weights.numel()), LEARNING_RATE)


def _weights(x: Tensor) -> Tensor:
    """Amplitudes (B, N, 1) of frames of log powers (B, N, C)."""
    return x.logsumexp(-1, keepdim=True).mul(0.5).exp()
