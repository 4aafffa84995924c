"""Nearest neighbours between the frames of speakers.

Shapes: T frames, F features.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

CONTEXT_FRAMES = 7
"""Frames that are compared together, spaced evenly over twice the context."""
_ROWS = 250
"""Query frames that are compared at a time: of more, getting the memory takes longer."""


def with_context(frames: Tensor, lengths: Sequence[int], rate: float, context: float) -> Tensor:
    """Frames (T, F) with the frames around them in utterances of such lengths.

    Parameters
    ----------
    frames : Tensor
        (T, F), T the sum of the lengths.
    lengths : sequence of int
        Frames of each utterance.
    rate : float
        Frames per second.
    context : float
        Seconds before and after a frame.

    Returns
    -------
    Tensor
        (T, F · CONTEXT_FRAMES).
    """
    seconds = np.linspace(-context, context, CONTEXT_FRAMES).round(6)
    offsets = [round(float(s) * rate) for s in seconds]
    widest = max(offsets)
    stacked = []
    for x in frames.split(list(lengths)):
        padded = F.pad(x.T[None], (widest, widest), mode="replicate")[0].T
        stacked.append(torch.cat([padded[widest + o : widest + o + len(x)] for o in offsets], 1))
    return torch.cat(stacked)


def sample_frames(frames: Tensor, most: int, random: np.random.Generator) -> Tensor:
    """Indices of at most `most` frames of (T, F), drawn at random."""
    return torch.from_numpy(random.permutation(len(frames))[:most]).to(frames.device)


def nearest(query: Tensor, reference: Tensor) -> Tensor:
    """For each query frame (T, F) the index of the nearest reference frame (T', F): (T,)."""
    return torch.cat([distances.argmin(1) for distances in _distances(query, reference)])


def mean_distance(query: Tensor, reference: Tensor) -> float:
    """Mean squared distance of query frames (T, F) to the nearest reference frames (T', F)."""
    least = torch.cat([distances.amin(1) for distances in _distances(query, reference)])
    return least.square().mean().item()


def _distances(query: Tensor, reference: Tensor) -> Iterator[Tensor]:
    """The distances of some query frames at a time to all reference frames, (_ROWS, T')."""
    return (torch.cdist(part, reference) for part in query.split(_ROWS))


def std(cepstra: Tensor) -> Tensor:
    """Standard deviation of (T, D); 1 for a constant dimension."""
    found = cepstra.std(0, correction=0) + 1e-3
    return torch.where(found < 0.02, 1.0, found)
