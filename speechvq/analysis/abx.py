"""ABX discriminability of phones, within and across speakers, as ZeroSpeech measures it.

A and X are tokens of one phone, B of another one. The error is the share of triples whose X is
nearer to B than to A; chance is 1/2. A cell is all triples of two phones, a context, a speaker and,
across speakers, the speaker of X. Errors of cells are averaged over contexts (and speakers of X),
then over speakers, then over ordered pairs of phones.

Source: Schatz et al., "Evaluating speech features with the minimal-pair ABX task", 2013; Nguyen et
al., "The Zero Resource Speech Benchmark 2021", 2020. The bug of Libri-Light, which loses the last
frame of each token, is not repeated.

Shapes: F frames of all tokens, D features, M tokens, C cells.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from speechvq import numba_cache
from speechvq.analysis.abx_tokens import Token, group_of
from speechvq.analysis.bootstrap import DRAWS

WITHIN, ACROSS = "within", "across"


@dataclass(frozen=True)
class Cell:
    """Triples of one pair of phones: each token of a, of b and of x, by their indices."""

    phone: str
    other: str
    context: tuple[str, str]
    speaker: str
    a: np.ndarray
    b: np.ndarray
    x: np.ndarray
    same: bool
    """Whether a and x are the same tokens: within a speaker."""

    @property
    def triples(self) -> int:
        """A token is not compared with itself."""
        return len(self.a) * len(self.b) * (len(self.x) - self.same)


@dataclass(frozen=True)
class AbxScore:
    """An ABX error, with the 95 % interval from resampled contexts, and what it was counted on.

    Without any cell the error is NaN; with a single context the interval is.
    """

    error: float
    low: float
    high: float
    triples: int
    cells: int
    contexts: int
    pairs: int
    speakers: int


def cells_within(tokens: Sequence[Token], by_context: bool = True) -> list[Cell]:
    """Cells whose tokens are of one speaker; A and X need two tokens of a phone."""
    return [
        Cell(phone, other, context, speaker, a, b, a, True)
        for (context, speaker), phones in sorted(_groups(tokens, by_context).items())
        for phone, a in phones.items()
        for other, b in phones.items()
        if other != phone and len(a) > 1
    ]


def cells_across(
    tokens: Sequence[Token], by_context: bool = True, max_speakers: int = 0, seed: int = 0
) -> list[Cell]:
    """Cells whose A and B are of one speaker and X of another one.

    With `max_speakers` above 0, at most so many speakers of X are drawn for each A and B.
    """
    groups = _groups(tokens, by_context)
    speakers = defaultdict(list)
    for context, speaker in sorted(groups):
        speakers[context].append(speaker)
    generator = np.random.default_rng(seed)
    cells = []
    for (context, speaker), phones in sorted(groups.items()):
        for phone, a in phones.items():
            others = [
                groups[context, name][phone]
                for name in speakers[context]
                if name != speaker and phone in groups[context, name]
            ]
            for other, b in phones.items():
                if other == phone:
                    continue
                drawn = others
                if 0 < max_speakers < len(others):
                    chosen = generator.choice(len(others), max_speakers, replace=False)
                    drawn = [others[index] for index in sorted(chosen)]
                cells += [Cell(phone, other, context, speaker, a, b, x, False) for x in drawn]
    return cells


def cell_errors(
    features: Sequence[np.ndarray], cells: Iterable[Cell], angular: bool = True
) -> np.ndarray:
    """Share of triples of each cell whose X is nearer to B than to A; ties count one half.

    Sequences are compared by dynamic time warping, by the mean distance of frames on its path.

    Parameters
    ----------
    features
        The frames (n, D) of each token, n at least 1.
    cells
        Of these tokens.
    angular
        Whether the distance of frames is their angle, else the number of components in which they
        differ, which for codes is the share of codebooks but for a factor.

    Returns
    -------
    ndarray
        (C,) in 0 … 1.
    """
    numba_cache.provide()
    from speechvq.analysis.dtw import same_length, wrong_triples  # importing numba is slow

    length = np.array([len(frames) for frames in features], dtype=np.int64)
    first = np.cumsum(length) - length
    frames = np.concatenate(list(features)).astype(np.float64)
    if angular:
        frames = same_length(frames)
    return np.array(
        [
            wrong_triples(frames, first, length, c.a, c.b, c.x, c.same, angular) / c.triples
            for c in cells
        ]
    )


def abx_score(cells: Sequence[Cell], errors: np.ndarray, seed: int = 0) -> AbxScore:
    """Average the errors (C,) of cells, with an interval.

    The interval comes from resampling contexts, each with all of its cells.
    """
    contexts = sorted({cell.context for cell in cells})
    speakers = {cell.speaker for cell in cells}
    pairs = {(cell.phone, cell.other) for cell in cells}
    counts = (sum(c.triples for c in cells), len(cells), len(contexts), len(pairs), len(speakers))
    if not cells:
        return AbxScore(math.nan, math.nan, math.nan, *counts)
    low = high = math.nan
    error = float(np.mean(list(pair_errors(cells, errors).values())))
    if len(contexts) > 1:
        drawn = np.fromiter(_redrawn(cells, errors, contexts, seed), float)
        # Pairs of few contexts are missing from many resamples: their mean is another than the
        # error, their spread is right
        low, high = np.clip(np.percentile(drawn, [2.5, 97.5]) + error - drawn.mean(), 0, 1)
    return AbxScore(error, float(low), float(high), *counts)


def pair_errors(cells: Sequence[Cell], errors: np.ndarray) -> dict[tuple[str, str], float]:
    """Errors of the ordered pairs of phones, means over speakers of means over their cells."""
    by_speaker: dict[tuple[str, str], dict[str, list[float]]]
    by_speaker = defaultdict(lambda: defaultdict(list))
    for cell, error in zip(cells, errors, strict=True):
        by_speaker[cell.phone, cell.other][cell.speaker].append(error)
    return {
        pair: float(np.mean([np.mean(of_one) for of_one in speakers.values()]))
        for pair, speakers in sorted(by_speaker.items())
    }


def _redrawn(
    cells: Sequence[Cell], errors: np.ndarray, contexts: Sequence[tuple[str, str]], seed: int
) -> Iterator[float]:
    """Errors with contexts drawn with replacement; pairs and speakers left without any are out."""
    keys = [(cell.phone, cell.other, cell.speaker) for cell in cells]
    rows = {key: row for row, key in enumerate(sorted(set(keys)))}
    row = np.array([rows[key] for key in keys])
    pairs = {pair: index for index, pair in enumerate(sorted({key[:2] for key in keys}))}
    pair = np.array([pairs[key[:2]] for key in rows])
    place = {context: index for index, context in enumerate(contexts)}
    context = np.array([place[cell.context] for cell in cells])
    generator, n = np.random.default_rng(seed), len(contexts)
    for _ in range(DRAWS):
        weight = np.bincount(generator.integers(n, size=n), minlength=n)[context]
        total = np.bincount(row, weight, len(rows))
        there = total > 0
        mean = np.bincount(row, weight * errors, len(rows))[there] / total[there]
        speakers = np.bincount(pair[there], minlength=len(pairs))
        of_pair = np.bincount(pair[there], mean, len(pairs))[speakers > 0]
        yield float(np.mean(of_pair / speakers[speakers > 0]))


def _groups(
    tokens: Sequence[Token], by_context: bool
) -> dict[tuple[tuple[str, str], str], dict[str, np.ndarray]]:
    """Indices of tokens by context and speaker, then by phone."""
    found: dict[tuple[tuple[str, str], str], dict[str, list[int]]]
    found = defaultdict(lambda: defaultdict(list))
    for index, token in enumerate(tokens):
        context, speaker, phone = group_of(token, by_context)
        found[context, speaker][phone].append(index)
    return {
        key: {phone: np.array(of_one) for phone, of_one in sorted(phones.items())}
        for key, phones in found.items()
    }
