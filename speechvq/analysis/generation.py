"""Unconditional generation against speech: divergences of four distributions of phones.

Codes are mapped to their most likely phones; a run of the same phone is a segment. Of a set of
utterances these are counted:

phones      the phone of every code
bigrams     pairs of neighbouring segments
durations   lengths of the segments other than pauses, in codes
pauses      lengths of the pauses, in codes; without a pause that ends an utterance, which may have
            been cut there

Two sets are compared by the Jensen-Shannon divergence of each distribution, in bits: 0 for the same
distribution, 1 for distributions without a common outcome. The divergence of two finite samples is
above 0, so compare sets of the same size.

Shapes: N codes, U utterances, Y phones, X outcomes.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import rel_entr

from speechvq.analysis.bootstrap import Estimate, estimate
from speechvq.analysis.codebook import runs
from speechvq.data.labels import SILENCE

DISTRIBUTIONS = ("phones", "bigrams", "durations", "pauses")
LONGEST = 1.0
"""Seconds; longer segments count as segments of this length."""
OF_PRODUCT_CODES = (
    "Bits are sums over the codebooks; n-grams are of each codebook apart, phones of the first."
)
"""What the scores of product codes are."""


class Counter:
    """Counts phones, bigrams, durations and pauses of codes.

    Parameters
    ----------
    phone_of_code : ndarray of str
        (K,).
    frame_rate : float
        Codes per second.
    """

    def __init__(self, phone_of_code: np.ndarray, frame_rate: float):
        self.phones, self._place = np.unique(phone_of_code, return_inverse=True)
        self.longest = max(2, round(LONGEST * frame_rate))
        (silence,) = np.nonzero(self.phones == SILENCE)
        self._silence = int(silence[0]) if len(silence) else -1

    def counts(self, utterances: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Counts (U, X) of each of `DISTRIBUTIONS` in the codes of each utterance."""
        Y, longest = len(self.phones), self.longest
        found: dict[str, list[np.ndarray]] = {name: [] for name in DISTRIBUTIONS}
        for codes in utterances:
            phones = self._place[codes]
            segments, lengths = runs(phones)
            lengths = np.minimum(lengths, longest) - 1
            pause = segments == self._silence
            inner = pause & (np.arange(len(segments)) < len(segments) - 1)
            pairs = segments[:-1] * Y + segments[1:]
            found["phones"].append(np.bincount(phones, minlength=Y))
            found["bigrams"].append(np.bincount(pairs, minlength=Y * Y))
            found["durations"].append(np.bincount(lengths[~pause], minlength=longest))
            found["pauses"].append(np.bincount(lengths[inner], minlength=longest))
        return {name: np.stack(rows) for name, rows in found.items()}


def divergences(ones: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> dict[str, Estimate]:
    """Jensen-Shannon divergence of two sets of utterances in each of `DISTRIBUTIONS`, in bits.

    Parameters
    ----------
    ones
        Counts (U, X) by distribution; the utterances are resampled for the 95 % intervals.
    others
        Counts (U', X), which are not resampled.
    """
    found = {}
    for name, counts in ones.items():
        fixed = others[name].sum(0, dtype=float)
        used = (counts.sum(0) > 0) | (fixed > 0)  # outcomes of neither contribute nothing
        used[0] = True  # without any outcome the estimate is NaN
        apart = _divergence_from(fixed[used])
        point = estimate(apart, *counts[:, used].T)
        # Resampling adds bias, as a resample has fewer different utterances; the width is right
        half = (point.high - point.low) / 2
        found[name] = replace(point, low=max(0.0, point.value - half), high=point.value + half)
    return found


def _divergence_from(fixed: np.ndarray) -> Callable[..., np.ndarray]:
    q = fixed / max(1.0, fixed.sum())

    def divergence(*columns: np.ndarray) -> np.ndarray:
        counts = np.stack(columns, axis=-1)  # (…, X)
        p = counts / counts.sum(-1, keepdims=True)
        middle = (p + q) / 2
        return (_information(p, middle) + _information(q, middle)) / 2

    return divergence


def _information(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence of distributions (…, X), in bits."""
    return rel_entr(p, q).sum(-1) / np.log(2)
