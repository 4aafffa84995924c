"""Pictures for the page, as PNG: spectrograms and training curves."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from speechvq.report.figures import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DECIBELS = 70
"""Dynamic range of a spectrogram, in dB below the maximum."""

HIGHEST = 8000
"""Hz at the top of a spectrogram, or half the sample rate."""

HOP = 0.005
"""Seconds from frame to frame of a spectrogram that is shorter than `FRAMES`."""

FRAMES = 2400
"""Most frames of a spectrogram."""

COLOURS = 64


def spectrogram(waveform: np.ndarray, sample_rate: int) -> tuple[np.ndarray, float, float]:
    """Spectrogram of a waveform (T,) in dB.

    Returns
    -------
    levels : ndarray of float, shape (frequencies, frames)
        Decibels relative to the maximum, at least ``-DECIBELS``.
    seconds : float
        Duration of the frames.
    highest : float
        Hz of the last row.
    """
    seconds = len(waveform) / sample_rate
    window_length = round(0.025 * sample_rate)
    hop_length = round(max(HOP, seconds / FRAMES) * sample_rate)
    n_fft = 1 << (window_length - 1).bit_length()
    padded = np.pad(np.asarray(waveform, dtype=np.float32), window_length // 2 + 1)
    frames = np.lib.stride_tricks.sliding_window_view(padded, window_length)[::hop_length]
    power = np.abs(np.fft.rfft(frames * np.hanning(window_length), n_fft)) ** 2  # (frames, bins)
    rows = min(n_fft // 2, round(HIGHEST / sample_rate * n_fft)) + 1
    power = power[:, :rows].T
    levels = 10 * np.log10(np.maximum(power, 1e-12))
    levels = np.maximum(levels - levels.max(), -DECIBELS)
    return levels, seconds, (rows - 1) * sample_rate / n_fft


def spectrogram_png(waveform: np.ndarray, sample_rate: int) -> bytes:
    """Draw :func:`spectrogram`, a pixel for each frame and frequency, without axes."""
    import matplotlib
    from PIL import Image

    levels = spectrogram(waveform, sample_rate)[0][::-1]
    colours = matplotlib.colormaps["magma"](np.linspace(0, 1, COLOURS), bytes=True)[:, :3]
    places = np.rint((levels / DECIBELS + 1) * (COLOURS - 1)).astype(np.uint8)
    image = Image.fromarray(places, mode="P")
    image.putpalette(colours.tobytes())
    picture = io.BytesIO()
    image.save(picture, "png", optimize=True)
    return picture.getvalue()


def curves_figure(
    records: Iterable[Mapping[str, Any]], codebook_size: int | None = None
) -> Figure | None:
    """Draw training curves, one plot for each measure; None if there is nothing to draw.

    Parameters
    ----------
    records
        The lines of ``metrics.jsonl``: `kind`, `stage`, `global_step` and values.
    codebook_size
        K, the upper limit of the perplexity.
    """
    records = list(records)
    losses = (r.get("stage") for r in records if "loss" in r and "bits_per_sample" not in r)
    stages = dict.fromkeys(filter(None, losses))
    curves = [
        *(
            (
                f"loss, {stage}",
                {kind: _points(records, kind, "loss", stage) for kind in ("train", "valid")},
            )
            for stage in stages
        ),
        (
            "bits per sample",
            {kind: _points(records, kind, "bits_per_sample") for kind in ("train", "valid")},
        ),
        (
            "perplexity of the codes",
            {kind: _points(records, kind, "perplexity") for kind in ("epoch", "valid")},
        ),
    ]
    curves = [(title, lines) for title, lines in curves if any(len(x) for x, _ in lines.values())]
    if not curves:
        return None
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    figure = new_figure(4.4 * columns, 2.7 * rows)
    names = {"train": "training", "epoch": "training, per epoch", "valid": "validation"}
    for axes, (title, lines) in zip(
        [figure.add_subplot(rows, columns, i + 1) for i in range(len(curves))], curves, strict=True
    ):
        for kind, (steps, values) in lines.items():
            held_out = kind == "valid"
            axes.plot(
                steps,
                values,
                label=names[kind],
                color="#c2410c" if held_out else "#94a3b8",
                marker="o" if held_out or len(steps) < 3 else None,
                markersize=3,
                linewidth=1.4,
                zorder=3 if held_out else 2,
            )
        if title.startswith("perplexity"):
            axes.set_ylim(bottom=0)
            if codebook_size:
                axes.set_ylim(top=1.06 * codebook_size)
                axes.axhline(codebook_size, color="#64748b", linewidth=0.8, linestyle=":")
                axes.annotate(
                    f"K = {codebook_size}",
                    (0.02, codebook_size),
                    xycoords=("axes fraction", "data"),
                    textcoords="offset points",
                    xytext=(0, -10),
                    fontsize=7,
                    color="#475569",
                )
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=7, length=2)
        axes.grid(color="#e2e8f0", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=7, frameon=False)
    return figure


def _points(
    records: Sequence[Mapping[str, Any]], kind: str, name: str, stage: str | None = None
) -> tuple[list[Any], list[Any]]:
    """Steps and values of a number, of one stage or of all."""
    found = [
        r
        for r in records
        if r.get("kind") == kind
        and r.get(name) is not None
        and (stage is None or r.get("stage") == stage)
    ]
    return [r.get("global_step", r.get("step", 0)) for r in found], [r[name] for r in found]
