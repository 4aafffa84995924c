"""A figure of one utterance, its reconstruction and others: their spectrograms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from speechvq.analysis.judges.level import SAMPLE_RATE
from speechvq.report.figures import new_figure
from speechvq.report.pictures import spectrogram

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
