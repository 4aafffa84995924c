"""Figures of ABX errors: by representation, and by pair of phones."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from speechvq.analysis.abx import AbxScore
from speechvq.analysis.phone_classes import in_order
from speechvq.report.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES_PER_PHONE = 0.19
LABEL_SIZE = 8


def scores_figure(scores: Mapping[str, Mapping[str, AbxScore]], title: str) -> "Figure":
    """Draw the errors with their intervals, a group of bars for each representation.

    Parameters
    ----------
    scores
        By representation, then by what is asked of the speakers; at least one has an error.
    title
        Of the picture.
    """
    figure = new_figure(6.4, 3.6)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    modes = list(next(iter(scores.values())))
    width = 0.8 / len(modes)
    for i, mode in enumerate(modes):
        own = [of_name[mode] for of_name in scores.values()]
        error = np.array([100 * score.error for score in own])
        bounds = np.array([[100 * score.low, 100 * score.high] for score in own]).T
        places = np.arange(len(own)) + (i - (len(modes) - 1) / 2) * width
        axes.bar(places, error, 0.92 * width, label=f"{mode} speakers")
        # A resampled interval can lie beside its estimate; a bar's arms cannot be negative
        arms = np.maximum([error - bounds[0], bounds[1] - error], 0)
        axes.errorbar(places, error, arms, fmt="none", ecolor="0.25", capsize=3, linewidth=1)
        tops = np.where(np.isnan(bounds[1]), error, np.maximum(bounds[1], error))
        for place, top, value in zip(places, tops, error, strict=True):
            if not np.isnan(value):
                axes.annotate(
                    f"{value:.1f}",
                    (place, top),
                    (0, 3),
                    textcoords="offset points",
                    ha="center",
                    fontsize=LABEL_SIZE,
                )
    axes.axhline(50, color="0.4", linestyle="--", linewidth=0.8)
    axes.annotate(
        "chance",
        (1, 50),
        (-3, 2),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        fontsize=LABEL_SIZE,
        color="0.3",
    )
    axes.set_xticks(range(len(scores)), scores)
    axes.set_ylabel("ABX error, %")
    axes.set_ylim(0, 56)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 0.9))
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def pairs_figure(pairs: Mapping[tuple[str, str], float], title: str) -> "Figure":
    """Draw the errors of ordered pairs of phones; white where nothing was compared.

    Parameters
    ----------
    pairs
        As :func:`speechvq.analysis.abx.pair_errors` gives them, at least one.
    title
        Of the picture.
    """
    phones = in_order(phone for pair in pairs for phone in pair)
    place = {phone: index for index, phone in enumerate(phones)}
    errors = np.full((len(phones), len(phones)), np.nan)
    for (phone, other), error in pairs.items():
        errors[place[phone], place[other]] = 100 * error
    side = max(2.5, len(phones) * INCHES_PER_PHONE)
    figure = new_figure(side + 1.9, side + 1.1)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11)
    image = axes.imshow(np.ma.masked_invalid(errors), vmin=0, vmax=50, cmap="magma_r")
    figure.colorbar(image, ax=axes, shrink=0.6, extend="max", label="ABX error, %")
    axes.set_xticks(range(len(phones)), phones, rotation=90, fontsize=LABEL_SIZE)
    axes.set_yticks(range(len(phones)), phones, fontsize=LABEL_SIZE)
    axes.tick_params(length=2)
    axes.set_xlabel("phone of B")
    axes.set_ylabel("phone of A and X")
    return figure
