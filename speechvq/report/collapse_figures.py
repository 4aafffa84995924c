"""A figure of what decoders learned behind several bottlenecks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from speechvq.analysis.collapse import Behind
from speechvq.analysis.phonemes import PhonemeScores
from speechvq.report.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWN, OTHER, PLAIN = "#c2410c", "#64748b", "#5b7db1"


def collapse_figure(
    bottlenecks: Mapping[str, Behind], untrained: PhonemeScores | None, title: str
) -> Figure:
    """Draw bits per sample, rates and phone accuracies by bottleneck.

    Parameters
    ----------
    bottlenecks
        Results by name.
    untrained
        Of the encoder before it has learned; None without phone labels.
    title
        Of the picture.
    """
    labelled = untrained is not None
    figure = new_figure(12 if labelled else 8.5, 2.9)
    figure.suptitle(title, fontsize=10, color="0.3")
    bits, rates, *rest = figure.subplots(1, 3 if labelled else 2, sharey=True)
    names, found = list(bottlenecks), list(bottlenecks.values())
    rows = range(len(names))
    for y, behind in zip(rows, found, strict=True):
        bits.plot([behind.own.value, behind.other.value], [y, y], color="0.75", zorder=1)
    for label, colour, values in (
        ("another utterance's latents", OTHER, [b.other.value for b in found]),
        ("its own latents", OWN, [b.own.value for b in found]),
    ):
        bits.scatter(values, rows, color=colour, label=label, zorder=2)
    bits.set_yticks(rows, names)
    bits.set_ylim(len(names) - 0.4, -0.6)
    bits.margins(x=0.12)
    bits.locator_params(axis="x", nbins=5)
    bits.set_xlabel("bits per sample, held-out speech")
    bits.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, ncols=2)
    known = [0 if b.rate is None else b.rate.value for b in found]
    rates.barh(rows, known, color=PLAIN, height=0.5)
    for y, behind in zip(rows, found, strict=True):
        text = "not bounded" if behind.rate is None else f"{behind.rate.value:.0f}"
        rates.annotate(
            text, (known[y], y), (4, 0), textcoords="offset points", va="center", fontsize=8
        )
    rates.set_xlim(0, 1.18 * max(1, *known))
    rates.set_xlabel("bits per second that the latents carry")
    for axes in rest:
        assert untrained is not None
        values = [b.phones.accuracy if b.phones else 0 for b in found]
        axes.barh(rows, values, color=PLAIN, height=0.5)
        for value, label, style in (
            (untrained.chance, "chance", ":"),
            (untrained.accuracy, "untrained encoder", "--"),
        ):
            axes.axvline(value, color="0.3", linestyle=style, linewidth=1, label=label)
        axes.set_xlim(0, 1.15 * max(untrained.accuracy, *values))
        axes.set_xlabel("phone accuracy of codes, or of k-means")
        axes.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), frameon=False, ncols=2)
    for axes in (bits, rates, *rest):
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9, length=2)
    return figure
