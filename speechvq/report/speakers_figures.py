"""A figure of what is left of the speaker: probes, and mutual information given the phone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from speechvq.analysis.bootstrap import Estimate
from speechvq.analysis.speakers import ProbeScores, Shuffled, SpeakerInformation
from speechvq.report.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINEAR, NEIGHBOURS = "#00798c", "#edae49"


def speakers_figure(
    probes: Mapping[str, ProbeScores], information: Mapping[str, SpeakerInformation], title: str
) -> Figure:
    """Draw the accuracy of probes beside chance, and the information beside shuffled speakers.

    Parameters
    ----------
    probes
        By what they are given.
    information
        By the kind of codes; may be empty.
    title
        Of the picture.
    """
    rows = max(len(probes), len(information))
    figure = new_figure(12 if information else 6.5, 1.9 + 0.55 * rows)
    figure.suptitle(title, fontsize=11)
    plots = figure.subplots(1, 2 if information else 1, squeeze=False)[0]
    axes, places = plots[0], np.arange(len(probes))
    for name, colour, shift, scores in (
        ("linear probe", LINEAR, -0.18, [p.linear for p in probes.values()]),
        ("nearest neighbours", NEIGHBOURS, 0.18, [p.neighbours for p in probes.values()]),
    ):
        values = [score.value for score in scores]
        axes.barh(places + shift, values, 0.34, xerr=_errors(scores), color=colour, label=name,
                  ecolor="0.2")  # fmt: skip
    chance = next(iter(probes.values())).chance
    axes.axvline(chance, color="0.2", linestyle="--", linewidth=1, label="chance")
    axes.set_yticks(places, list(probes))
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("share of the utterances whose speaker is named")
    _legend(axes)
    if information:
        axes, places = plots[1], np.arange(len(information))
        found = list(information.values())
        plugin = [i.plugin for i in found]
        axes.barh(places, [p.value for p in plugin], 0.5, color=LINEAR, xerr=_errors(plugin),
                  ecolor="0.2", label="plug-in")  # fmt: skip
        for name, mark, shuffled in (
            ("frames shuffled", "o", [i.frames for i in found]),
            ("utterances shuffled", "D", [i.utterances for i in found]),
        ):
            values = [s.value for s in shuffled]
            axes.errorbar(values, places, xerr=_errors(shuffled), fmt=mark, color="0.1",
                          markerfacecolor="white", ms=6, label=name)  # fmt: skip
        axes.set_yticks(places, list(information))
        axes.set_xlim(left=0)
        most = found[0].speaker_entropy
        axes.set_xlabel(f"I(code; speaker | phone), bits per frame, of at most {most:.2f}")
        _legend(axes)
    return figure


def _errors(scores: Sequence[Estimate | Shuffled]) -> np.ndarray:
    """Lengths (2, …) of the intervals below and above; 0 where there is none."""
    ends = np.array([[s.value - s.low, s.high - s.value] for s in scores]).T
    return np.maximum(np.nan_to_num(ends), 0)


def _legend(axes: Axes) -> None:
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False, fontsize=8)
