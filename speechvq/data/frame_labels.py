"""Frame labels and codes of whole utterances, of which training batches take those of segments.

Shapes: N codes, G codebooks.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Labels:
    """Frame labels of utterances, at a fixed number of labels per second.

    Parameters
    ----------
    of_utterances : sequence of ndarray
        (n,) int64 for each utterance; label i holds from second i / rate to (i + 1) / rate.
    rate : float
        Labels per second.
    sample_rate : int
        Hz; positions are counted in samples at this rate.
    """

    NONE = -100
    """Label beyond the end of an utterance; `torch.nn.functional.cross_entropy` ignores it."""

    def __init__(self, of_utterances: Sequence[np.ndarray], rate: float, sample_rate: int):
        self._labels = list(of_utterances)
        self._per_sample = rate / sample_rate

    def of_codes(self, utterance: int, start: int, count: int, hop_length: int) -> np.ndarray:
        """Labels (count,) at the middle of each code; the first code begins at sample `start`."""
        labels = self._labels[utterance]
        middles = start + (np.arange(count) + 0.5) * hop_length
        places = (middles * self._per_sample).astype(np.int64)
        known = places < len(labels)
        return np.where(known, labels[np.minimum(places, len(labels) - 1)], self.NONE)


class Codes(Protocol):
    """Codes of utterances, such as `training.frozen_codes.FrozenCodes`."""

    def crop(self, utterance: int, first: int, count: int) -> np.ndarray:
        """Codes (count,) or (count, G) int64 of an utterance; `first` may be negative."""
