"""Loading of a model, with the imports that it takes, without Python's search for garbage.

PyTorch makes half a million objects when it is imported, none of them garbage. To look through them
again and again, while they become more, takes a seventh of a short conversion's time.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """What is made within is never looked through, now or later."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
