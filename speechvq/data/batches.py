"""Random segments of utterances, by training step."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from speechvq.data.manifest import Columns


class RandomSegments(Dataset[Any]):
    """Base of data sets whose item `step` is the batch of a training step.

    A batch depends on `seed` and the step alone, so that a resumed training reads the same data
    and the processes that load batches need no state. Each of `world_size` processes gets its own
    rows of the batch that a single process would get. Give a data set to
    `DataLoader(batches, batch_size=None, sampler=range(first, last))`.

    An utterance is drawn with a probability in proportion to its length, or to its weight. A
    segment starts anywhere in the utterance, and at the beginning of an utterance that is shorter.

    Parameters
    ----------
    lengths : sequence of int
        Length of each utterance, in samples or codes.
    seed : tuple of int
        Integers of at least 0.
    batch_size : int
        Segments per step, over all processes.
    segment_length : int
        In the unit of `lengths`.
    steps : int
        Length of the data set.
    rank, world_size : int
        Rank of this process and number of processes.
    weights : ndarray, optional
        Of each utterance; by default the lengths.

    Raises
    ------
    ValueError
        `batch_size` does not divide among the processes, or a seed is negative.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        *,
        seed: tuple[int, ...],
        batch_size: int,
        segment_length: int,
        steps: int,
        rank: int = 0,
        world_size: int = 1,
        weights: np.ndarray | None = None,
    ):
        if batch_size % world_size:
            raise ValueError(
                f"batch_size: {batch_size} segments do not divide among {world_size} processes; "
                f"take a multiple of {world_size}"
            )
        if min(seed) < 0:
            raise ValueError(f"seed: must be at least 0, got {min(seed)}")
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.segment_length = segment_length
        self.steps = steps
        self._seed = seed
        self._ends = np.cumsum(self.lengths if weights is None else weights)
        self._rows = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)

    def __len__(self) -> int:
        return self.steps

    def draw(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Utterances (B,) and starts (B,) of the segments of this process."""
        utterances, starts = self.draw_all(step)
        return utterances[self._rows], starts[self._rows]

    def draw_all(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Utterances (B,) and starts (B,) of the segments of all processes."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        return self._drawn((*self._seed, step), self.batch_size)

    def random(self, step: int, row: int) -> np.random.Generator:
        """Random numbers for a row of this process, those of the row of the whole batch."""
        # From 1 on: numpy takes (…, step, 0) for (…, step), by which the segments are drawn
        return np.random.default_rng((*self._seed, step, 1 + self._rows.start + row))

    def places(self, step: int) -> list[tuple[int, int]]:
        """Utterance and start of each row of a step, of this process."""
        return [
            (int(utterance), int(start)) for utterance, start in zip(*self.draw(step), strict=True)
        ]

    def draw_again(self, step: int, row: int, attempt: int) -> tuple[int, int]:
        """Another utterance and start for a row of this process, each attempt another."""
        seed = (*self._seed, step, self._rows.start + row, attempt)
        utterances, starts = self._drawn(seed, 1)
        return int(utterances[0]), int(starts[0])

    def _drawn(self, seed: tuple[int, ...], size: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        if np.issubdtype(self._ends.dtype, np.integer):
            places = rng.integers(self._ends[-1], size=size)
        else:
            places = self._ends[-1] * rng.random(size)
        utterances = np.searchsorted(self._ends, places, side="right")
        latest = np.maximum(self.lengths[utterances] - self.segment_length, 0)
        return utterances, rng.integers(latest + 1)


def speaker_weights(
    columns: Columns, lengths: np.ndarray, exponent: float, only: Sequence[str] = ()
) -> np.ndarray | None:
    """Weight of each utterance, so that speakers are drawn by a power of their total length.

    Parameters
    ----------
    columns : Columns
        Of the utterances.
    lengths : ndarray
        Of each utterance.
    exponent : float
        The power: 1 draws all speech alike, 0 all speakers.
    only : sequence of str
        Speakers to draw from; all of them if it is empty.

    Returns
    -------
    ndarray or None
        None where the lengths are the weights.

    Raises
    ------
    ValueError
        One of `only` has no utterance.
    """
    if exponent == 1 and not only:
        return None
    names, of = columns.speakers, columns.speaker
    if lost := sorted(set(only) - set(names)):
        raise ValueError(f"speakers: no utterance of {lost[0]!r} in the training data")
    totals = np.bincount(of, lengths)
    chosen = np.isin(names, list(only)) if only else np.ones(len(names))
    return lengths * (chosen * totals ** (exponent - 1))[of]
