"""Training batches for a prior: the codes of utterances, each batch a pure function of its step.

Shapes: B batch, N codes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset


class CodeBatches(Dataset):
    """Batches of codes, by step: `batches[step]` is (codes, scored, speaker).

    An utterance is drawn with a probability in proportion to its length. What is longer than
    `segment_length` is cut at a random place; of a cut that begins within an utterance the first
    `context` codes are not scored, since a prior would take them for a beginning.

    Parameters
    ----------
    utterances : sequence of ndarray
        Codes (N,) of each.
    speakers : sequence of int
        Index of the speaker of each.
    seed : int
    batch_size : int
        Utterances per step, over all processes.
    segment_length : int
        Codes of a row at most.
    context : int
        Codes that a prior looks back; no more than half of a cut goes unscored for it.
    steps : int
        Length of the data set.
    rank, world_size : int
        Which process this is, of how many.

    Raises
    ------
    ValueError
        `batch_size` does not divide among the processes.
    """

    def __init__(
        self,
        utterances: Sequence[np.ndarray],
        speakers: Sequence[int],
        *,
        seed: int,
        batch_size: int,
        segment_length: int,
        context: int,
        steps: int,
        rank: int = 0,
        world_size: int = 1,
    ):
        if batch_size % world_size:
            raise ValueError(
                f"batch_size: {batch_size} utterances do not divide among {world_size} processes; "
                f"take a multiple of {world_size}"
            )
        self.batch_size = batch_size
        self.segment_length = segment_length
        self.steps = steps
        self._utterances = list(utterances)
        self._speakers = np.asarray(speakers)
        self._seed = seed
        self._context = min(context, segment_length // 2)
        self._until = np.cumsum([len(codes) for codes in utterances])
        self._rows = slice(rank * batch_size // world_size, (rank + 1) * batch_size // world_size)

    def __len__(self) -> int:
        return self.steps

    @property
    def steps_per_epoch(self) -> int:
        """Steps that draw as many utterances as there are."""
        return max(1, round(len(self._utterances) / self.batch_size))

    @property
    def codes_per_step(self) -> int:
        """About how many codes a step has, over all processes."""
        lengths = [min(len(codes), self.segment_length) for codes in self._utterances]
        return round(self.batch_size * float(np.mean(lengths)))

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """This process's part of a step.

        Codes (B, N) int64, 0 where a row has ended; which of them are scored, (B, N) bool; and
        speaker indices (B,) int64.
        """
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        rng = np.random.default_rng((self._seed, step))
        drawn = np.searchsorted(
            self._until, rng.integers(self._until[-1], size=self.batch_size), side="right"
        )
        latest = [max(0, len(self._utterances[i]) - self.segment_length) for i in drawn]
        starts = rng.integers(np.array(latest) + 1)
        mine = list(zip(drawn[self._rows], starts[self._rows], strict=True))
        cuts = [self._utterances[i][start:][: self.segment_length] for i, start in mine]
        codes, scored = padded(cuts)
        for row, (_, start) in enumerate(mine):
            if start:
                scored[row, : self._context] = False
        return codes, scored, torch.from_numpy(self._speakers[drawn[self._rows]])


def padded(utterances: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Utterances (N,) as one batch (B, longest N), and where they are, bool of the same shape."""
    longest = max(len(codes) for codes in utterances)
    codes = torch.zeros(len(utterances), longest, dtype=torch.int64)
    there = torch.zeros(len(utterances), longest, dtype=torch.bool)
    for row, its in enumerate(utterances):
        codes[row, : len(its)] = torch.from_numpy(its)
        there[row, : len(its)] = True
    return codes, there
