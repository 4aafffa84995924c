"""Figures of codes and phones: a confusion matrix, and p(phone | code)."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np

from speechvq.analysis.confusion import confusion_matrix
from speechvq.analysis.phone_classes import class_of, in_order
from speechvq.analysis.phonemes import joint_counts
from speechvq.report.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INCHES_PER_PHONE = 0.19
LABEL_SIZE = 8
MOST_CODES_NAMED = 160


def confusion_figure(true: np.ndarray, predicted: np.ndarray, title: str) -> Figure:
    """Draw :func:`~speechvq.analysis.confusion.confusion_matrix`.

    Parameters
    ----------
    true, predicted
        Phones (N,) of the scored frames.
    title
        Of the picture.
    """
    shares, phones = confusion_matrix(true, predicted)
    side = len(phones) * INCHES_PER_PHONE
    figure, axes = _figure(side, side, title)
    _draw(figure, axes, shares, "share of the true phone's frames")
    _name_rows(axes, phones)
    axes.set_xticks(range(len(phones)), phones, rotation=90, fontsize=LABEL_SIZE)
    _mark_classes(axes, phones, square=True)
    axes.set_xlabel("phone that the code stands for", labelpad=8)
    axes.set_ylabel("true phone")
    return figure


def codes_figure(codes: np.ndarray, labels: np.ndarray, codebook_size: int, title: str) -> Figure:
    """Draw p(phone | code), one column a code, the codes in the order of their phones.

    Codes that never occur are left out; the title says how many there are.

    Parameters
    ----------
    codes, labels
        Codes and phones (N,).
    codebook_size
        K.
    title
        Of the picture.
    """
    counts, frequent = joint_counts(codes, labels, codebook_size)
    phones = in_order(frequent.tolist())
    counts = counts[:, [frequent.tolist().index(phone) for phone in phones]]
    used = np.flatnonzero(counts.sum(axis=1))
    shares = counts[used] / counts[used].sum(axis=1, keepdims=True)
    # By phone and, among the codes of a phone, the purest first.
    order = np.lexsort((-shares.max(axis=1), shares.argmax(axis=1)))
    used, shares = used[order], shares[order]

    unused = codebook_size - len(used)
    title += f"\n{len(used)} of {codebook_size} codes in use" + (
        f", {unused} unused left out" if unused else ""
    )
    width = float(np.clip(len(used) * 0.105, 6, 24))
    figure, axes = _figure(width, len(phones) * INCHES_PER_PHONE, title)
    _draw(figure, axes, shares.T, "p(phone | code)", aspect="auto")
    _name_rows(axes, phones)
    _mark_classes(axes, phones)
    boundaries = np.flatnonzero(np.diff(shares.argmax(axis=1))) + 0.5
    for boundary in boundaries:
        axes.axvline(boundary, color="0.75", linewidth=0.4)
    if len(used) <= MOST_CODES_NAMED:
        axes.set_xticks(range(len(used)), used, rotation=90, fontsize=5.5)
    else:
        axes.set_xticks([])
    axes.set_xlabel("code, in the order of its most likely phone")
    axes.set_ylabel("phone")
    return figure


def _figure(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """Make a figure with one plot."""
    figure = new_figure(width + 2.2, height + 1.4)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=11, pad=10)
    return figure, axes


def _draw(
    figure: Figure,
    axes: Axes,
    shares: np.ndarray,
    meaning: str,
    aspect: Literal["equal", "auto"] = "equal",
) -> None:
    from matplotlib.colors import PowerNorm

    # The square root brings out confusions of a few per cent beside a diagonal near 1.
    image = axes.imshow(
        np.ma.masked_equal(shares, 0),  # zero stays white
        norm=PowerNorm(0.5, 0, 1),
        cmap="magma_r",
        aspect=aspect,
        interpolation="nearest",
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02, aspect=30)
    bar.set_ticks([0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1])
    bar.set_ticklabels(["0", "1 %", "5 %", "10 %", "25 %", "50 %", "75 %", "100 %"])
    bar.ax.tick_params(labelsize=LABEL_SIZE)
    bar.set_label(meaning, fontsize=9)


def _name_rows(axes: Axes, phones: list[str]) -> None:
    axes.set_yticks(range(len(phones)), phones, fontsize=LABEL_SIZE)
    axes.tick_params(length=2)


def _mark_classes(axes: Axes, phones: list[str], square: bool = False) -> None:
    """Draw a line between classes of rows, of columns too if ``square``, and name them."""
    top = 0
    for name, members in groupby(phones, key=class_of):
        count = len(list(members))
        if top:
            axes.axhline(top - 0.5, color="0.35", linewidth=0.7)
            if square:
                axes.axvline(top - 0.5, color="0.35", linewidth=0.7)
        axes.annotate(
            name,
            (1.01, top + (count - 1) / 2),
            xycoords=("axes fraction", "data"),
            va="center",
            ha="left",
            fontsize=LABEL_SIZE,
            color="0.3",
            rotation=270 if count > 3 else 0,
        )
        top += count
