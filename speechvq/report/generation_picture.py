"""A figure of unconditional generation beside speech: phones, durations, pauses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from speechvq.analysis.phone_classes import in_order
from speechvq.report.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def generation_figure(
    phones: np.ndarray,
    sets: Mapping[str, Mapping[str, np.ndarray]],
    frame_rate: float,
    title: str,
) -> Figure:
    """Draw the distributions of several sets of utterances in the same plots.

    Parameters
    ----------
    phones
        (Y,), the phones that were counted.
    sets
        By the set's name, counts (U, X) by the distribution's name, as
        :class:`speechvq.analysis.generation.Counter` gives; at most four sets.
    frame_rate
        Codes per second.
    title
        Of the picture.
    """
    figure = new_figure(12, 7.5)
    figure.suptitle(title, fontsize=11)
    above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
    axes = above.subplots()
    order = [phones.tolist().index(phone) for phone in in_order(phones.tolist())]
    width = 0.8 / len(sets)
    for i, (name, counts) in enumerate(sets.items()):
        shares = _shares(counts["phones"])[order]
        axes.bar(
            np.arange(len(order)) + (i - (len(sets) - 1) / 2) * width, shares, width, label=name
        )
    axes.set_xticks(range(len(order)), phones[order], fontsize=8)
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.set_ylabel("share of the codes")
    axes.legend(frameon=False)
    for plot, what, named in zip(
        below.subplots(1, 2),
        ("durations", "pauses"),
        ("segment of one phone", "pause"),
        strict=True,
    ):
        for name, counts in sets.items():
            shares = _shares(counts[what])
            seconds = (np.arange(len(shares)) + 1) / frame_rate
            plot.plot(seconds, shares.cumsum(), label=name)
        plot.set_xlabel(f"length of a {named}, s")
        plot.set_ylabel("share that is no longer")
        plot.set_ylim(0, 1.02)
        plot.legend(frameon=False, loc="lower right")
    return figure


def _shares(counts: np.ndarray) -> np.ndarray:
    total = counts.sum(0)
    return total / max(1, total.sum())
