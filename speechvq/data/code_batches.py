"""Training batches of codes for a prior: random segments of the utterances, by training step.

Shapes: B batch, N codes, G codebooks.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from speechvq.data.batches import RandomSegments


class CodeBatch(NamedTuple):
    """Codes of utterances or of segments of utterances.

    Attributes
    ----------
    codes : Tensor
        (B, N) int64, of product codes (B, N, G); `CodeBatches.padding` after the end of a row.
    scored : Tensor
        (B, N) bool, the codes that the loss is over.
    speaker : Tensor
        Speaker indices (B,) int64.
    """

    codes: Tensor
    scored: Tensor
    speaker: Tensor

    def to(self, device: torch.device) -> "CodeBatch":
        """Move every tensor to a device."""
        return CodeBatch(*(x.to(device, non_blocking=True) for x in self))


class CodeBatches(RandomSegments):
    """Batches of codes: `batches[step]` is a CodeBatch.

    An utterance longer than `segment_length` is cut at a random position. In a segment that
    starts within an utterance the first `context` codes are not scored, since a prior would take
    them for the beginning of an utterance.

    Parameters
    ----------
    utterances : sequence of ndarray
        Codes (N,) of each, or product codes (N, G).
    speakers : sequence of int
        Speaker index of each.
    seed : int
    batch_size : int
        Utterances per step, over all processes.
    segment_length : int
        Largest number of codes of a row.
    context : int
        Receptive field of the prior, in codes; at most half of a segment is left unscored.
    padding : int
        What stands after the end of a row.
    delay : int
        Codes before a cut that are not scored either: a prior of product codes takes the cut for
        the end (G - 1; at most a quarter of a segment).
    steps : int
        Length of the data set.
    rank, world_size : int
        Rank of this process and number of processes.

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
        padding: int,
        steps: int,
        delay: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ):
        super().__init__(
            [len(codes) for codes in utterances],
            seed=(seed,),
            batch_size=batch_size,
            segment_length=segment_length,
            steps=steps,
            rank=rank,
            world_size=world_size,
        )
        self._utterances = list(utterances)
        self._speakers = np.asarray(speakers)
        self._context = min(context, segment_length // 2)
        self.padding = padding
        self._delay = min(delay, segment_length // 4)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that draw as many utterances as there are."""
        return max(1, round(len(self._utterances) / self.batch_size))

    @property
    def codes_per_step(self) -> int:
        """Approximate number of codes of a step, over all processes."""
        return round(self.batch_size * float(np.minimum(self.lengths, self.segment_length).mean()))

    def __getitem__(self, step: int) -> CodeBatch:
        """This process's rows of a step."""
        utterances, starts = self.draw(step)
        segments = [
            self._utterances[utterance][start:][: self.segment_length]
            for utterance, start in zip(utterances, starts, strict=True)
        ]
        everyone, begin = self.draw_all(step)  # all processes pad alike, as one process would
        longest = int((self.lengths[everyone] - begin).clip(max=self.segment_length).max())
        codes, scored = padded(segments, self.padding, longest)
        for row, (utterance, start) in enumerate(zip(utterances, starts, strict=True)):
            if start:
                scored[row, : self._context] = False
            if self._delay and start + self.segment_length < self.lengths[utterance]:
                scored[row, self.segment_length - self._delay :] = False
        return CodeBatch(codes, scored, torch.from_numpy(self._speakers[utterances]))


def padded(
    utterances: Sequence[np.ndarray], padding: int, longest: int = 0
) -> tuple[Tensor, Tensor]:
    """Pad utterances (N,) or (N, G) to a batch (B, longest N) or (B, longest N, G).

    Also the mask of the codes, bool (B, longest N). `longest` is a least length.
    """
    shape = len(utterances), max(longest, *(len(codes) for codes in utterances))
    codes = torch.full((*shape, *utterances[0].shape[1:]), padding, dtype=torch.int64)
    mask = torch.zeros(shape, dtype=torch.bool)
    for row, utterance in enumerate(utterances):
        codes[row, : len(utterance)] = torch.from_numpy(utterance)
        mask[row, : len(utterance)] = True
    return codes, mask
