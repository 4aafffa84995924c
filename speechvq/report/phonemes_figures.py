"""Figures of phones: the recall of each, and phone accuracy over checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from speechvq.analysis.confusion import PhoneRecall
from speechvq.analysis.phone_classes import CLASS_COLOURS, class_of
from speechvq.analysis.phonemes import PhonemeScores
from speechvq.report.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def recall_figure(recalls: Sequence[PhoneRecall], title: str) -> Figure:
    """Draw the recall of each phone with its 95 % interval, by class.

    Parameters
    ----------
    recalls
        By class, as :func:`~speechvq.analysis.confusion.phone_recalls` gives.
    title
        Of the picture.
    """
    figure = new_figure(float(np.clip(1.2 + 0.24 * len(recalls), 5, 24)), 3.6)
    figure.suptitle(title, fontsize=11)
    axes = figure.add_subplot()
    left = 0
    for kind, group in groupby(recalls, key=lambda found: class_of(found.phone)):
        own = list(group)
        places = np.arange(left, left + len(own))
        values = np.array([found.recall.value for found in own])
        ends = np.array([[found.recall.low, found.recall.high] for found in own])
        errors = np.nan_to_num(np.abs(ends - values[:, None])).T
        axes.bar(places, values, color=CLASS_COLOURS[kind], yerr=errors, ecolor="0.1",
                 error_kw={"linewidth": 0.9}, label=kind)  # fmt: skip
        left += len(own)
    axes.set_xticks(
        range(len(recalls)), [f"{found.phone}\n{found.frames}" for found in recalls], fontsize=7
    )
    axes.set_xlim(-0.7, len(recalls) - 0.3)
    axes.set_ylim(0, 1)
    axes.set_xlabel("phone, and its scored frames")
    axes.set_ylabel("recall")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=7, frameon=False, fontsize=9)
    return figure


def learning_curve_figure(
    steps: Sequence[int],
    stages: Sequence[str],
    started: Sequence[bool],
    scores: Sequence[PhonemeScores],
    title: str,
) -> Figure:
    """Draw phone accuracy, with its 95 % interval, and class accuracy over steps.

    Parameters
    ----------
    steps, stages, started, scores
        Of each checkpoint, by step: the steps done in all stages, the name of the stage, whether
        the codebook had started, and the scores.
    title
        Of the picture.
    """
    figure = new_figure(8, 4.6)
    figure.suptitle(title, fontsize=11)
    axes = figure.add_subplot()
    places, there = np.array(steps), np.array(started)
    kinds = {
        "phone": [s.accuracy for s in scores],
        "phone class": [s.class_accuracy for s in scores],
    }
    for (name, values), colour in zip(kinds.items(), ("#00798c", "#d1495b"), strict=True):
        shares = np.array(values, dtype=float)
        axes.plot(places, shares, color=colour, linewidth=1.4, label=f"{name} accuracy")
        for whether, face in ((True, colour), (False, "white")):
            own = there == whether
            axes.plot(places[own], shares[own], "o", color=colour, markerfacecolor=face)
    if all(s.accuracy_interval for s in scores):
        low, high = np.array([s.accuracy_interval for s in scores]).T
        axes.fill_between(places, low, high, color="#00798c", alpha=0.15, linewidth=0)
    axes.axhline(scores[-1].chance, color="0.5", linestyle=":", label="chance of a phone")
    if not all(started):
        axes.plot([], [], "o", color="0.4", markerfacecolor="white",
                  label="codebook not started: k-means of the latents")  # fmt: skip
    axes.set_ylim(0, 1)
    axes.set_ylabel("share of the scored frames")
    axes.set_xlabel("steps")
    for i in range(len(steps)):
        if i == 0 or stages[i] != stages[i - 1]:
            if i:
                axes.axvline((steps[i - 1] + steps[i]) / 2, color="0.8", linewidth=0.8)
            axes.annotate(
                stages[i], (steps[i], 1.01), xycoords=("data", "axes fraction"), fontsize=8
            )
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure
