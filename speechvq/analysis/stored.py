"""Numbers as they stand in the ``scores.json`` of an analysis, with their intervals.

The interval of a number is within it, ``{"value": …, "low": …, "high": …}``; or beside it, as
``NAME_interval``; or, of the first number of a mapping, its ``low`` and ``high``. A file may have
been written to by hand, so that what is no number or interval is taken for none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from speechvq.analysis.bootstrap import Estimate

BOUNDS = ("low", "high")


def as_number(value: object) -> float | None:
    """The number that a value of a JSON file is; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None


def stored(scores: object, *path: str) -> Estimate | None:
    """The number at a path of keys; its bounds are NaN if it has no interval."""
    *outer, name = path
    for key in outer:
        scores = scores.get(key) if isinstance(scores, Mapping) else None
    return dict(all_stored(scores)).get(name)


def all_stored(part: object) -> Iterator[tuple[str, Estimate]]:
    """The numbers of a mapping, by name."""
    if not isinstance(part, Mapping):
        return
    row: object = [part[name] for name in BOUNDS if name in part]
    for name, value in part.items():
        interval = part.get(f"{name}_interval", row)
        if isinstance(value, Mapping):
            interval, value = [value.get(bound) for bound in BOUNDS], value.get("value")
        number = as_number(value)
        if number is not None and name not in BOUNDS:
            yield name, Estimate(number, *_bounds(interval), utterances=0)
            row = None


def _bounds(interval: object) -> tuple[float, float]:
    if isinstance(interval, list) and len(interval) == 2:
        low, high = map(as_number, interval)
        if low is not None and high is not None:
            return low, high
    return math.nan, math.nan
