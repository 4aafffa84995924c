"""How like speech codes are that nobody has said: four distributions, beside those of speech.

Codes are taken for the phones that they mostly stand for, and a run of the same phone for a segment
of speech. Of a set of utterances these are counted:

phones      the phone of every code
bigrams     pairs of segments that follow each other
durations   lengths of the segments that are no pause, in codes
pauses      lengths of the pauses, in codes; not of one that ends an utterance, which may have been
            cut there

Two sets differ by the Jensen-Shannon divergence of what is counted, in bits: 0 for the same
distribution, 1 for distributions that have nothing in common. Of few utterances it is never 0, so
compare sets of the same size.

Shapes: N codes, U utterances, Y phones, X things that are counted.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from speechvq.analysis.bootstrap import Estimate, estimate
from speechvq.data.labels import SILENCE

DISTRIBUTIONS = ("phones", "bigrams", "durations", "pauses")
LONGEST = 1.0
"""Seconds; longer segments count as of this length."""


class Counter:
    """Counts of codes that are taken for phones.

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
        """For each of `DISTRIBUTIONS` what is counted in each utterance's codes: (U, X)."""
        Y, longest = len(self.phones), self.longest
        found: dict[str, list[np.ndarray]] = {name: [] for name in DISTRIBUTIONS}
        for codes in utterances:
            phones = self._place[codes]
            starts = np.flatnonzero(np.diff(phones, prepend=-1))
            segments = phones[starts]
            lengths = np.minimum(np.diff(starts, append=len(phones)), longest) - 1
            pause = segments == self._silence
            inner = pause & (np.arange(len(segments)) < len(segments) - 1)
            pairs = segments[:-1] * Y + segments[1:]
            found["phones"].append(np.bincount(phones, minlength=Y))
            found["bigrams"].append(np.bincount(pairs, minlength=Y * Y))
            found["durations"].append(np.bincount(lengths[~pause], minlength=longest))
            found["pauses"].append(np.bincount(lengths[inner], minlength=longest))
        return {name: np.stack(rows) for name, rows in found.items()}


def divergences(ones: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> dict[str, Estimate]:
    """How far sets of utterances are apart, in each of `DISTRIBUTIONS`.

    Parameters
    ----------
    ones
        Counts (U, X) by distribution; their utterances are drawn anew for the 95 % intervals.
    others
        Counts (U', X), which stay.
    """
    found = {}
    for name, counts in ones.items():
        fixed = others[name].sum(0, dtype=float)
        used = (counts.sum(0) > 0) | (fixed > 0)  # what neither has makes no difference
        used[0] = True  # where there is nothing at all, the figure is NaN
        apart = _divergence_from(fixed[used])
        its = estimate(apart, *counts[:, used].T)
        # A divergence of utterances that are drawn anew is too large, as they are fewer different
        # ones; how much it varies is right
        half = (its.high - its.low) / 2
        found[name] = replace(its, low=max(0.0, its.value - half), high=its.value + half)
    return found


def _divergence_from(fixed: np.ndarray):
    q = fixed / max(1.0, fixed.sum())

    def divergence(*columns: np.ndarray) -> np.ndarray:
        counts = np.stack(columns, axis=-1)  # (…, X)
        p = counts / counts.sum(-1, keepdims=True)
        middle = (p + q) / 2
        return (_information(p, middle) + _information(q, middle)) / 2

    return divergence


def _information(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Kullback-Leibler divergence of distributions (…, X), in bits."""
    p, q = np.broadcast_arrays(p, q)
    ratio = np.divide(p, q, out=np.ones_like(q), where=p > 0)
    return (p * np.log2(ratio)).sum(-1)
