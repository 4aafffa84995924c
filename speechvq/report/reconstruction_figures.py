"""Figures of reconstructions beside their recordings: scores, and spectrograms of one utterance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from speechvq.analysis.bootstrap import Estimate
from speechvq.analysis.judges.level import SAMPLE_RATE
from speechvq.report.figures import new_figure
from speechvq.report.pictures import spectrogram

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4


def reconstruction_figure(
    scores: Mapping[str, tuple[str, Mapping[str, Estimate]]], title: str
) -> Figure:
    """Draw each score of each kind of speech with its 95 % interval.

    Parameters
    ----------
    scores
        By name, a format, and estimates by the kind of speech.
    title
        Of the picture.
    """
    kinds = list(dict.fromkeys(kind for _, of in scores.values() for kind in of))
    rows = max(1, math.ceil(len(scores) / COLUMNS))
    figure = new_figure(11, 0.6 + rows * (0.55 + 0.24 * max(1, len(kinds))))
    figure.suptitle(title, fontsize=10, color="0.3")
    grid = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).ravel()
    for axes, (name, (_, of)) in zip(grid, scores.items(), strict=False):
        for y, kind in enumerate(kinds):
            if kind in of and not math.isnan(of[kind].value):
                e = of[kind]
                axes.plot([e.low, e.high], [y, y], color="0.6", linewidth=2)
                axes.plot(e.value, y, "o", color=f"C{y}", markersize=5)
        axes.set_title(name, fontsize=9)
        axes.set_yticks(range(len(kinds)), kinds, fontsize=8)
        axes.set_ylim(len(kinds) - 0.5, -0.5)
        axes.margins(x=0.15)
        axes.tick_params(axis="x", labelsize=7, length=2)
        axes.grid(axis="x", color="0.9", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(scores) :]:
        axes.set_visible(False)
    return figure


def spectrograms_figure(speech: Mapping[str, np.ndarray], title: str) -> Figure:
    """Draw spectrograms of one utterance, one below the other.

    Parameters
    ----------
    speech
        Waveforms (T,) at the judges' sample rate, by the kind of speech.
    title
        Of the picture.
    """
    figure = new_figure(9, 0.5 + 1.45 * len(speech))
    figure.suptitle(title, fontsize=10, color="0.3")
    for axes, (kind, waveform) in zip(
        np.atleast_1d(figure.subplots(len(speech), 1, sharex=True)), speech.items(), strict=True
    ):
        levels, seconds, highest = spectrogram(waveform, SAMPLE_RATE)
        axes.imshow(
            levels,
            origin="lower",
            aspect="auto",
            cmap="magma",
            extent=(0, seconds, 0, highest / 1000),
        )
        axes.set_title(kind, fontsize=8, loc="left", pad=2)
        axes.set_ylabel("kHz", fontsize=8)
        axes.tick_params(labelsize=7, length=2)
    axes.set_xlabel("seconds", fontsize=8)
    return figure
