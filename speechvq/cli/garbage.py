"""A model is loaded, and PyTorch with it, without Python's garbage collection.

PyTorch makes hundreds of thousands of objects when it is imported, none of them garbage. To look
through them again and again, while they become more, takes half a second.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


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
