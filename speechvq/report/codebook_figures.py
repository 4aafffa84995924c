"""Figures of a codebook: how often codes are used, their runs and bit rates, and a map of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from speechvq.analysis.codebook import BitRate
from speechvq.analysis.phone_classes import CLASS_COLOURS
from speechvq.report.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

BLUE = "#5b7db1"
COLOURS = {**CLASS_COLOURS, "": BLUE}
"""Of each phone class, and of codes whose phones are not known."""

UNUSED = "0.7"


def use_figure(
    counts: Mapping[str, np.ndarray],
    run_counts: Mapping[str, np.ndarray],
    rates: Mapping[str, BitRate],
    frame_rate: float,
    title: str,
) -> Figure:
    """Draw the shares of codes, the lengths of runs, and bit rates before and after coding.

    Parameters
    ----------
    counts, run_counts
        By the name of the codebook, the frames of each code (K,), and the runs of each length.
    rates
        Of the codes of all codebooks together, by the way of coding.
    frame_rate
        Codes per second.
    title
        Of the picture.
    """
    figure = new_figure(13, 4.2)
    figure.suptitle(title, fontsize=11)
    use, lengths, bars = figure.subplots(1, 3, width_ratios=(1, 1, 1.15))
    for name, own in counts.items():
        shares = np.sort(own)[::-1] / own.sum()
        used = shares[shares > 0]
        use.plot(np.arange(1, len(used) + 1), used, label=name, linewidth=1.6)
    K = len(own)
    use.axhline(1 / K, color="0.5", linestyle="--", linewidth=1, label=f"all alike, 1/{K}")
    use.set_yscale("log")
    use.set_xlim(0, K + 1)
    use.set_xlabel("codes, the most used first")
    use.set_ylabel("share of the frames")
    use.legend(frameon=False, fontsize=8)

    for name, own in run_counts.items():
        length = np.flatnonzero(own)
        milliseconds = 1000 * length / frame_rate
        lengths.plot(milliseconds, own[length] / own.sum(), "o-", label=name, ms=3, linewidth=1.2)
    lengths.set_yscale("log")
    lengths.set_xlim(left=0)
    lengths.set_xlabel("length of a run, ms")
    lengths.set_ylabel("share of the runs")
    if len(run_counts) > 1:
        lengths.legend(frameon=False, fontsize=8)

    values = np.array([rate.rate.value for rate in rates.values()])
    ends = np.array([[rate.rate.low, rate.rate.high] for rate in rates.values()])
    errors = np.nan_to_num(np.abs(ends - values[:, None])).T
    bars.barh(range(len(rates)), values, xerr=errors, color=BLUE, height=0.6)
    for row, (value, error) in enumerate(zip(values, errors[1], strict=True)):
        bars.annotate(f" {value:,.0f}", (value + error, row), va="center", fontsize=9)
    bars.set_yticks(range(len(rates)), list(rates))
    bars.invert_yaxis()
    bars.set_xlim(0, 1.18 * values.max())
    bars.set_xlabel("bits per second")
    for axes in (use, lengths, bars):
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def map_figure(
    maps: Sequence[np.ndarray],
    counts: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    names: Sequence[str],
    title: str,
) -> Figure:
    """Draw each codebook's code vectors in a plane, the area of a code by its use.

    Parameters
    ----------
    maps, counts, classes
        For each codebook, places (K, 2), frames of each code (K,) and phone classes (K,).
    names
        Of the codebooks.
    title
        Of the picture.
    """
    from matplotlib.lines import Line2D

    columns = min(len(maps), 2)
    rows = -(-len(maps) // columns)
    figure = new_figure(6.4 * columns + 0.2, 5.4 * rows + 0.9)
    figure.suptitle(title, fontsize=11)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    shown, unused = set(), False
    for axes, places, own, of_codes, name in zip(grid, maps, counts, classes, names, strict=False):
        dead = own == 0
        unused |= bool(dead.any())
        axes.scatter(*places[dead].T, marker="x", s=14, color=UNUSED, linewidths=0.9)
        area = 6 + 3000 / len(own) * own / max(own.mean(), 1)
        for kind, colour in COLOURS.items():
            here = (of_codes == kind) & ~dead
            if here.any():
                shown.add(kind)
                axes.scatter(
                    *places[here].T,
                    s=area[here],
                    color=colour,
                    alpha=0.75,
                    edgecolors="white",
                    linewidths=0.4,
                )
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(name if len(maps) > 1 else "", fontsize=9)
    for axes in grid[len(maps) :]:
        axes.set_visible(False)
    marks = [_mark(COLOURS[kind], kind or "no labelled frame") for kind in COLOURS if kind in shown]
    if shown == {""}:
        marks = []
    if unused:
        marks.append(Line2D([], [], marker="x", linestyle="", color=UNUSED, label="unused"))
    if marks:
        figure.legend(handles=marks, loc="outside lower center", ncols=8, frameon=False, fontsize=9)
    return figure


def _mark(colour: str, label: str) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D([], [], marker="o", linestyle="", color=colour, label=label)
