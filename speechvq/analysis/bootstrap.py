"""Estimates over utterances with 95 % bootstrap intervals."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

DRAWS = 2000


@dataclass(frozen=True)
class Estimate:
    """A value, the 95 % interval from ``low`` to ``high``, and the number of utterances.

    The value of a division by zero is NaN; so is the interval of a single utterance.
    """

    value: float
    low: float
    high: float
    utterances: int


def estimate(statistic: Callable[..., np.ndarray], *columns: ArrayLike) -> Estimate:
    """Estimate a function of sums over utterances, such as errors divided by words.

    The interval comes from resampling whole utterances: errors within an utterance are correlated,
    so resampling words or frames would give too narrow intervals. All columns are resampled
    together, so a comparison of two sums is paired.

    Parameters
    ----------
    statistic
        From the sum of every column to the value; takes arrays (draws,) and works elementwise.
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
    """Give a share of 0 or 1 a Clopper-Pearson interval, as resampling gives none.

    Other shares are returned unchanged. Source: Clopper and Pearson, "The use of confidence or
    fiducial limits", 1934.
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
