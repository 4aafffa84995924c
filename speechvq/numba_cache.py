"""Where numba keeps compiled code, for users who cannot write to their home or the installation."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"


def provide() -> None:
    """Give numba a temporary folder where neither the home nor the installation can be written.

    librosa does not import where numba finds no folder. The folder is removed at the end of the
    process. To be called before numba is imported.
    """
    if os.environ.get(VARIABLE) or _writable(_home_cache()):
        return
    spec = importlib.util.find_spec("librosa")
    if spec is not None and spec.origin and os.access(Path(spec.origin).parent, os.W_OK):
        return
    try:
        folder = tempfile.mkdtemp(prefix="speechvq-numba-")
    except OSError:
        return
    os.environ[VARIABLE] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _home_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "numba"


def _writable(folder: Path) -> bool:
    """Whether a folder can be written to, or be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)
