"""Boundaries: how well changes of the code agree with changes of the phone.

With h hits among f found and t true boundaries: precision h / f, recall h / t, F their harmonic
mean, over-segmentation f / t - 1. Boundaries in excess raise the recall, and F with it; the R-value
is 1 at the ideal point alone and falls with them: with r1 the distance to the ideal point (recall
1, over-segmentation 0) and r2 that to the line where hits cost no boundary in excess,

    R = 1 - (|r1| + |r2|) / 2,  r1 = sqrt((1 - recall)² + os²),  r2 = (recall - 1 - os) / sqrt(2)

Source: Räsänen, Laine and Altosaar, "An improved speech segmentation quality measure: the R-value",
Interspeech 2009, with shares in the place of per cents. Hits are counted one to one, by the
largest matching of found and true boundaries: none counts twice.

Shapes: U utterances, N codes, G codebooks, B boundaries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from speechvq.analysis.bootstrap import Estimate, estimate
from speechvq.data.manifest import Phone

TOLERANCE = 0.02
"""Seconds between a found and a true boundary, at most, of a hit."""
_ROUNDING = 1e-6  # seconds, well below a sample


@dataclass(frozen=True)
class BoundaryScores:
    """Agreement of found with true boundaries, with 95 % intervals over utterances."""

    precision: Estimate
    recall: Estimate
    f: Estimate
    over_segmentation: Estimate
    r_value: Estimate
    hits: int
    found: int
    true: int


def changes(codes: np.ndarray, frame_seconds: float) -> np.ndarray:
    """Times (B,) in seconds where codes change: (N,), or (N, G), where any codebook's does."""
    differs = codes[1:] != codes[:-1]
    if differs.ndim > 1:
        differs = differs.any(axis=1)
    return (np.flatnonzero(differs) + 1) * frame_seconds


def phone_boundaries(phones: Sequence[Phone]) -> np.ndarray:
    """Times (B,) in seconds where a phone begins or ends, each once."""
    times = np.sort([time for phone in phones for time in (phone.start, phone.end)])
    return times[np.diff(times, prepend=-np.inf) > _ROUNDING]


def inside(times: np.ndarray, seconds: float, tolerance: float = TOLERANCE) -> np.ndarray:
    """Leave out what lies within the tolerance of the ends of an utterance."""
    return times[(times > tolerance) & (times < seconds - tolerance)]


def regular(count: int, seconds: float) -> np.ndarray:
    """As many boundaries (count,), evenly spaced in an utterance."""
    return np.arange(1, count + 1) * seconds / (count + 1)


def hits(found: np.ndarray, true: np.ndarray, tolerance: float = TOLERANCE) -> int:
    """Size of the largest one-to-one matching of boundaries at most `tolerance` apart.

    Parameters
    ----------
    found, true
        Times in seconds, in order.
    tolerance
        Seconds.
    """
    count = i = j = 0
    while i < len(found) and j < len(true):
        if abs(found[i] - true[j]) <= tolerance + _ROUNDING:
            count, i, j = count + 1, i + 1, j + 1
        elif found[i] < true[j]:
            i += 1
        else:
            j += 1
    return count


def boundary_scores(
    found: Sequence[np.ndarray],
    true: Sequence[np.ndarray],
    tolerance: float = TOLERANCE,
) -> BoundaryScores:
    """Score the boundaries of utterances.

    Parameters
    ----------
    found, true
        Times in seconds, in order, of each of U utterances.
    tolerance
        Seconds.

    Raises
    ------
    ValueError
        No utterances.
    """
    counts = np.array(
        [(hits(f, t, tolerance), len(f), len(t)) for f, t in zip(found, true, strict=True)]
    ).T

    def r_value(hit: np.ndarray, f: np.ndarray, t: np.ndarray) -> np.ndarray:
        recall, over = hit / t, f / t - 1
        away, excess = np.hypot(1 - recall, over), (recall - 1 - over) / np.sqrt(2)
        return 1 - (np.abs(away) + np.abs(excess)) / 2

    return BoundaryScores(
        estimate(lambda hit, f, t: hit / f, *counts),
        estimate(lambda hit, f, t: hit / t, *counts),
        estimate(lambda hit, f, t: 2 * hit / (f + t), *counts),
        estimate(lambda hit, f, t: f / t - 1, *counts),
        estimate(r_value, *counts),
        *map(int, counts.sum(axis=1)),
    )


def segmentations(
    kinds: dict[str, Sequence[np.ndarray]],
    phones: Sequence[Sequence[Phone]],
    seconds: Sequence[float],
    frame_seconds: float,
    seed: int = 0,
) -> dict[str, BoundaryScores]:
    """Score the changes of codes, and as many boundaries at regular and at random places.

    Parameters
    ----------
    kinds
        By the name of a kind of codes, those of each utterance: (N,) or (N, G), of any values. The
        baselines have as many boundaries, in each utterance, as the first kind.
    phones, seconds
        Phones and length of each utterance.
    frame_seconds
        Seconds per code.
    seed
        Of the random places.
    """
    random = np.random.default_rng(seed)
    found = {
        name: [
            inside(changes(own, frame_seconds), long)
            for own, long in zip(codes, seconds, strict=True)
        ]
        for name, codes in kinds.items()
    }
    counts = [len(own) for own in next(iter(found.values()))]
    pairs = list(zip(counts, seconds, strict=True))
    found["as many, at regular places"] = [inside(regular(n, long), long) for n, long in pairs]
    found["as many, at random places"] = [
        np.sort(random.uniform(TOLERANCE, max(TOLERANCE, long - TOLERANCE), n)) for n, long in pairs
    ]
    true = [inside(phone_boundaries(own), long) for own, long in zip(phones, seconds, strict=True)]
    return {name: boundary_scores(own, true) for name, own in found.items()}
