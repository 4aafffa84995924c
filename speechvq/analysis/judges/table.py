"""The scores as text, a row for each kind of speech."""

import math
from collections.abc import Callable

from speechvq.analysis.bootstrap import Estimate
from speechvq.analysis.judges.scores import Scores

Form = Callable[[float], str]


def share(value: float) -> str:
    """Write a share in per cent."""
    return f"{value:.0%}"


def fixed(digits: int) -> Form:
    """Write numbers with so many digits after the point."""
    return lambda value: f"{value:.{digits}f}"


def written(figure: Estimate | None, form: Form) -> str:
    """Write a figure and its interval, or a dash."""
    if figure is None or math.isnan(figure.value):
        return "-"
    if math.isnan(figure.low):
        return form(figure.value)
    return f"{form(figure.value)} ({form(figure.low)} to {form(figure.high)})"


_TWO = fixed(2)
_ERRORS = {"errors": ("wrong", share), "ratio": ("times source", _TWO)}

COLUMNS: dict[str, dict[str, tuple[str, Form]]] = {
    "voices": {
        "to target": ("like target", _TWO),
        "to source": ("like source", _TWO),
        "named target": ("named target", share),
    },
    "words": _ERRORS,
    "phones": _ERRORS,
    "quality": {name: (name, _TWO) for name in ("overall", "speech", "background", "p808")},
    "pitch": {
        "median": ("median Hz", fixed(0)),
        "semitones": ("range, semitones", fixed(1)),
        "voiced": ("voiced", share),
        "off": ("off target, semitones", fixed(1)),
    },
}
"""For what a judge says, the figures that are shown: their names, headings and forms."""


def score_table(what: str, rows: Scores, width: int = 14) -> str:
    """Line up the scores of several kinds of speech, one row each.

    Parameters
    ----------
    what
        A key of :data:`COLUMNS`.
    rows
        Figures by the kind of speech and by name.
    width
        Of the first column, at least.
    """
    columns = COLUMNS[what]
    cells = [["", *(heading for heading, _ in columns.values())]]
    for row, figures in rows.items():
        cells.append(
            [row, *(written(figures.get(name), form) for name, (_, form) in columns.items())]
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    widths[0] = max(widths[0], width)
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0])]
            + [cell.rjust(size) for cell, size in zip(row[1:], widths[1:], strict=True)]
        )
        for row in cells
    )
