"""A figure of scores with their intervals: a plot each, a row for each of what is compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from speechvq.analysis.bootstrap import Estimate
from speechvq.report.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 3


def scores_figure(scores: Mapping[str, tuple[str, Mapping[str, Estimate]]], title: str) -> Figure:
    """Draw each score of several things: kinds of speech, or models, with its 95 % interval.

    Parameters
    ----------
    scores
        By name, a format, and estimates by what is scored.
    title
        Of the picture.
    """
    things = list(dict.fromkeys(thing for _, of in scores.values() for thing in of))
    rows = max(1, math.ceil(len(scores) / COLUMNS))
    figure = new_figure(11, 0.6 + rows * (0.55 + 0.24 * max(1, len(things))))
    figure.suptitle(title, fontsize=10, color="0.3")
    grid = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).ravel()
    for axes, (name, (_, of)) in zip(grid, scores.items(), strict=False):
        for y, thing in enumerate(things):
            if thing in of and not math.isnan(of[thing].value):
                e = of[thing]
                axes.plot([e.low, e.high], [y, y], color="0.6", linewidth=2)
                axes.plot(e.value, y, "o", color=f"C{y}", markersize=5)
        axes.set_title(name, fontsize=9)
        axes.set_yticks(range(len(things)), things, fontsize=8)
        axes.set_ylim(len(things) - 0.5, -0.5)
        axes.margins(x=0.15)
        axes.tick_params(axis="x", labelsize=7, length=2)
        axes.grid(axis="x", color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(scores) :]:
        axes.set_visible(False)
    return figure
