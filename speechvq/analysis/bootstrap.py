"""Figures over utterances with their 95 % bootstrap intervals."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A figure, the 95 % interval from ``low`` to ``high``, and how many utterances it is of.

    A figure that nothing can be divided by is NaN; so is the interval of a single utterance.
    """

    value: float
    low: float
    high: float
    utterances: int


def estimate(statistic: Callable[..., np.ndarray], *columns: ArrayLike) -> Estimate:
    """Estimate a figure made of sums over utterances, such as the wrong words of all words.

    The interval comes from drawing whole utterances with replacement: what is of one utterance
    goes wrong together, so drawing its words or frames would promise too much. All columns are
    drawn alike, so a comparison of two sums is a paired one.

    Parameters
    ----------
    statistic
        From the sum of every column to the figure; gets arrays (draws,) and works elementwise.
    columns
        One number an utterance (U,) each, U at least 1.

    Raises
    ------
    ValueError
        No utterances, or columns of unequal lengths.
    """
    table = np.asarray(columns, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] == 0:
        raise ValueError(f"expected columns of one number an utterance, got shape {table.shape}")
    U = table.shape[1]
    times = np.random.default_rng(0).multinomial(U, np.full(U, 1 / U), size=DRAWS)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(*table.sum(axis=1, keepdims=True))[0])
        drawn = statistic(*(table @ times.T))
    drawn = drawn[~np.isnan(drawn)]
    low = high = math.nan
    if U > 1 and len(drawn) and math.isfinite(value):
        low, high = np.percentile(drawn, [2.5, 97.5], method="nearest")
    return Estimate(value if math.isfinite(value) else math.nan, float(low), float(high), U)


def bounded(share: Estimate) -> Estimate:
    """Give a share of 0 or 1 the interval that drawing cannot, for nothing varies.

    It is that of Clopper and Pearson ("The use of confidence or fiducial limits", 1934) for as many
    utterances, all alike; other shares stay as they are.
    """
    surely = 0.025 ** (1 / share.utterances)
    if share.value == 1:
        return replace(share, low=surely, high=1.0)
    if share.value == 0:
        return replace(share, low=0.0, high=1 - surely)
    return share


def ratio(numerators: ArrayLike, denominators: ArrayLike) -> Estimate:
    """Estimate sum of ``numerators`` / sum of ``denominators``, each (U,).

    With counts as denominators this is a mean.
    """
    return estimate(lambda above, below: above / below, numerators, denominators)
