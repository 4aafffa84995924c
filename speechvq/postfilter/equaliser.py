"""The long-term equaliser: predicted frames take the average spectrum of the speaker's recordings.

The mean of what is predicted depends on who spoke: something of the source's voice is in the codes.
Its running mean is moved to the mean of the target's own recordings. This is not in the paper.

Shapes: B batch, M frames, F mel bands.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from speechvq.features.running_mean import RunningMean, frame_weights

MEMORY = 20.0
"""Seconds after which a frame weighs 1/e in the running mean."""
PRIOR = 0.5
"""Seconds of typical speech that the speaker's own mean counts for at the beginning."""


def long_term_mean(pieces: Iterable[Tensor]) -> Tensor:
    """Mean of log-mel frames (M, F) by their weights in a running mean, then their mean weight.

    Returns
    -------
    Tensor
        (F + 1,).
    """
    sums = torch.zeros(1)
    for frames in pieces:
        weights = frame_weights(frames)
        ones = torch.ones_like(weights)
        sums = sums + torch.cat([weights * frames, weights, ones], dim=-1).double().sum(0)
    total, weight, count = sums[:-2], sums[-2:-1], sums[-1]
    return torch.cat([total / weight, weight / count])


class LongTermEqualiser:
    """Gains that move the running mean of log-mel frames to the mean of a speaker's recordings.

    Parameters
    ----------
    long_term : Tensor
        (B, F + 1), as `long_term_mean` gives it; a row of zeros has no gains.
    rate : float
        Frames per second.
    """

    def __init__(self, long_term: Tensor, rate: float):
        self._mean, self._weight = long_term.unsqueeze(1).tensor_split([-1], dim=-1)
        self._running = RunningMean(self._mean.shape[-1], MEMORY * rate, PRIOR * rate)
        weight = PRIOR * rate * self._weight
        self._state = weight * self._mean, weight

    def gains(self, frames: Tensor) -> Tensor:
        """Gains (B, M, F), in nats, of the next log-mel frames (B, M, F)."""
        with torch.autocast(frames.device.type, enabled=False):
            means, self._state = self._running(frames.to(self._mean.dtype), self._state)
        gains: Tensor = (self._weight > 0) * (self._mean - means)
        return gains
