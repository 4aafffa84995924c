"""Loading a model soon: PyTorch is imported with it, without Python's garbage collection.

PyTorch makes hundreds of thousands of objects when it is imported, none of them garbage. To look
through them again and again, while they become more, takes half a second.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechvq.model import Model


def load(model: str | None, device: str) -> tuple[Model, Path]:
    """The model that `model_folder.find_model` finds, in eval mode, and its folder."""
    with without_collection():
        from speechvq.model_folder import find_model, load_model

        folder = find_model(model)
        return load_model(folder, device), folder


@contextlib.contextmanager
def without_collection() -> Iterator[None]:
    """No garbage collection within; later ones leave out what was made here."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
