"""N-gram models of codes, the baselines of a prior.

Interpolated Kneser-Ney smoothing: discounted counts are interpolated with the probability after the
shorter context, where the count of a code is the number of different contexts before it. The
shortest model is interpolated with the uniform distribution.

Shapes: N codes, K codebook_size. Source: Chen and Goodman, "An empirical study of smoothing
techniques for language modeling", 1999, equation 24, with one discount for each order,
n1 / (n1 + 2 · n2).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

Context = tuple[int, ...]


class NGram:
    """p(code | the `order` - 1 codes before it), estimated from utterances.

    Parameters
    ----------
    utterances : iterable of ndarray
        Codes (N,) of each.
    order : int
        1 for a unigram, 2 for a bigram, 3 for a trigram.
    codebook_size : int
        K.
    """

    def __init__(self, utterances: Iterable[np.ndarray], order: int, codebook_size: int):
        if order < 1:
            raise ValueError(f"order: must be at least 1, got {order}")
        self.order = order
        self.codebook_size = codebook_size
        start = (codebook_size,) * (order - 1)  # padding before the first code
        counts: Counter[Context] = Counter()
        for codes in utterances:
            sequence = start + tuple(codes.tolist())
            counts.update(sequence[i : i + order] for i in range(len(codes)))
        # For each order, the shortest first: discounted relative counts after each context
        self._followed: list[dict[Context, dict[int, float]]] = []
        self._rest: list[dict[Context, float]] = []
        for _ in range(order):
            discounted, rest = _discounted(counts)
            self._followed.insert(0, discounted)
            self._rest.insert(0, rest)
            # The count of a shorter n-gram is the number of different codes before it
            counts = Counter(gram[1:] for gram in counts)
        self._known: dict[Context, np.ndarray] = {}

    def probabilities(self, before: Sequence[int]) -> np.ndarray:
        """Probabilities (K,) of the next code; only the last `order` - 1 codes matter."""
        start = (self.codebook_size,) * (self.order - 1)
        context = (start + tuple(int(code) for code in before))[len(before) :]
        return self._after(context)

    def bits(self, codes: np.ndarray) -> np.ndarray:
        """-log2 p of each code (N,) of an utterance."""
        sequence = (self.codebook_size,) * (self.order - 1) + tuple(codes.tolist())
        p = [
            self._after(sequence[i : i + self.order - 1])[sequence[i + self.order - 1]]
            for i in range(len(codes))
        ]
        return -np.log2(p)

    def sample(self, length: int, random: np.random.Generator) -> np.ndarray:
        """Sample codes (length,) one after the other."""
        drawn: list[int] = []
        for u in random.random(length):
            gathered = self.probabilities(drawn).cumsum()
            drawn.append(int(np.searchsorted(gathered, u * gathered[-1], side="right")))
        return np.array(drawn, dtype=np.int64)

    def _after(self, context: Context) -> np.ndarray:
        """Probabilities (K,) after a context of at most `order` - 1 codes."""
        if context not in self._known:
            n = len(context)
            shorter = self._after(context[1:]) if n else np.full(self.codebook_size, 1.0)
            if not n:
                shorter /= self.codebook_size
            followed = self._followed[n].get(context)
            if followed is None:
                return shorter
            p = self._rest[n][context] * shorter
            p[list(followed)] += list(followed.values())
            self._known[context] = p
        return self._known[context]


def _discounted(
    counts: Counter[Context],
) -> tuple[dict[Context, dict[int, float]], dict[Context, float]]:
    """For each context, the discounted relative counts of codes, and the remaining probability."""
    of_counts = Counter(counts.values())
    once, twice = of_counts[1], of_counts[2]
    discount = once / (once + 2 * twice) if once and twice else 0.5
    followed: dict[Context, dict[int, float]] = defaultdict(dict)
    totals: Counter[Context] = Counter()
    for gram, count in counts.items():
        followed[gram[:-1]][gram[-1]] = count
        totals[gram[:-1]] += count
    rest = {}
    for context, codes in followed.items():
        total = totals[context]
        rest[context] = discount * len(codes) / total
        for code in codes:
            codes[code] = (codes[code] - discount) / total
    return dict(followed), rest
