"""Figures without pyplot and its backend, and their files: PNG and SVG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILES = ("png", "svg")
"""The file types that each figure of an analysis is written as."""


def new_figure(width: float, height: float) -> Figure:
    """An empty figure; the size is in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def rendered(figure: Figure, kind: str = "png", dpi: int = 130) -> bytes:
    """A figure as a file, the same bytes each time.

    Parameters
    ----------
    figure
        To draw.
    kind
        One of ``FILES``.
    dpi
        Pixels per inch of a PNG.
    """
    import matplotlib

    picture = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {}
    with matplotlib.rc_context({"svg.hashsalt": "speechvq"}):
        figure.savefig(picture, format=kind, dpi=dpi, metadata=metadata)
    return picture.getvalue()
