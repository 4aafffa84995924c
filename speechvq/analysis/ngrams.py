"""N-gram models of codes: what a prior must be better than.

The probability of a code after a context is interpolated Kneser-Ney: the counts, less a discount,
and in its place the probability after the shorter context, where a code counts by how many
different contexts it has followed. The last of these is a uniform one.

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
    """p(code | the `order` - 1 codes before it), learned from utterances.

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
        start = (codebook_size,) * (order - 1)  # what stands before the first code
        counts: Counter[Context] = Counter()
        for codes in utterances:
            sequence = start + tuple(codes.tolist())
            counts.update(sequence[i : i + order] for i in range(len(codes)))
        # Of each order, the shortest first: what followed a context, how often, less the discount
        self._followed: list[dict[Context, dict[int, float]]] = []
        self._rest: list[dict[Context, float]] = []
        for _ in range(order):
            discounted, rest = _discounted(counts)
            self._followed.insert(0, discounted)
            self._rest.insert(0, rest)
            # Shorter n-grams count by the different codes before them
            counts = Counter(gram[1:] for gram in counts)
        self._known: dict[Context, np.ndarray] = {}

    def probabilities(self, before: Sequence[int]) -> np.ndarray:
        """(K,) of what comes after codes, of which the last `order` - 1 matter."""
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
        """Codes (length,) drawn one after the other."""
        drawn: list[int] = []
        for u in random.random(length):
            gathered = self.probabilities(drawn).cumsum()
            drawn.append(int(np.searchsorted(gathered, u * gathered[-1], side="right")))
        return np.array(drawn, dtype=np.int64)

    def _after(self, context: Context) -> np.ndarray:
        """(K,) of what comes after a context of at most `order` - 1 codes."""
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
    """For each context: the discounted share of each code after it, and what that leaves."""
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
