"""Scores of a judge as text, with a row for each kind of speech."""

import math
from collections.abc import Mapping

from speechvq.analysis.bootstrap import Estimate
from speechvq.analysis.judges.scores import Scores
from speechvq.analysis.table import aligned


def formatted(estimate: Estimate | None, form: str) -> str:
    """Write an estimate and its interval by a format such as ``.2f`` or ``.0%``, or a dash."""
    if estimate is None or math.isnan(estimate.value):
        return "-"
    if math.isnan(estimate.low):
        return f"{estimate.value:{form}}"
    return f"{estimate.value:{form}} ({estimate.low:{form}} to {estimate.high:{form}})"


def score_table(formats: Mapping[str, str], rows: Scores, width: int = 14) -> str:
    """Align the scores of several kinds of speech, one row each.

    Parameters
    ----------
    formats
        The numbers to show, and their formats: :attr:`Judge.formats`.
    rows
        Estimates by the kind of speech and by name.
    width
        Of the first column, at least.
    """
    cells = [["", *formats]]
    for row, numbers in rows.items():
        cells.append([row, *(formatted(numbers.get(name), form) for name, form in formats.items())])
    return aligned(cells, width)
