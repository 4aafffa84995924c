"""A spectrogram with its codes below, for the demo."""

from __future__ import annotations

import numpy as np

from speechvq.report.figures import new_figure, rendered
from speechvq.report.pictures import spectrogram

SECONDS = 4.0
"""Of a recording in a picture, at most: in more of it no code can be seen."""
INK = "#808080"
"""Of letters and axes: to be read on white and on black."""


def codes_png(waveform: np.ndarray, codes: np.ndarray, sample_rate: int, hop: int) -> bytes:
    """Draw the spectrogram of a waveform (T,) above its codes (N,) or (N, G), a colour each.

    Of longer recordings the first `SECONDS` are drawn. The background is transparent.
    """
    N = min(-(-len(waveform) // hop), round(SECONDS * sample_rate / hop))
    levels, seconds, highest = spectrogram(waveform[: N * hop], sample_rate)
    of_codebooks = codes[:N].reshape(N, -1).T  # (G, N)
    G = len(of_codebooks)
    figure = new_figure(5.2, 2.7)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1 + 0.3 * (G - 1)])
    above.imshow(
        levels,
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0, seconds, 0, highest / 1000),
        interpolation="antialiased",
    )
    above.set_ylabel("kHz")
    below.imshow(
        of_codebooks,
        aspect="auto",
        cmap="viridis",
        extent=(0, N * hop / sample_rate, G + 0.5, 0.5),
        interpolation="none",
    )
    below.set_ylabel("codes")
    below.set_yticks(range(1, G + 1) if G > 1 else [])
    below.set_xlabel("seconds")
    above.set_xlim(0, seconds)
    for axes in (above, below):
        axes.tick_params(colors=INK, labelsize=8, length=2)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        axes.spines[:].set_color(INK)
    figure.patch.set_alpha(0)
    return rendered(figure, dpi=150)
