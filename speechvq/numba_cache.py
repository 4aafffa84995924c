"""A folder for what dependencies keep, for users without a home and those who may write nowhere."""

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

    librosa does not import where numba finds no folder, nor for a user without a home, who gets
    the temporary folder as a home. The folder is removed at the end of the process. To be called
    before numba is imported.

    Raises
    ------
    OSError
        No folder can be written to, not even for temporary files.
    """
    home = os.path.expanduser("~")
    homeless = home == "~"  # no HOME, and no entry for the user in the system's list
    usual = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    given = os.environ.get(VARIABLE)
    if not homeless and (given and _writable(Path(given)) or _writable(Path(usual))):
        return
    spec = importlib.util.find_spec("librosa")
    installed = spec is not None and spec.origin and Path(spec.origin).parent
    if not homeless and installed and os.access(installed, os.W_OK):
        return
    try:
        folder = tempfile.mkdtemp(prefix="speechvq-numba-")
    except OSError as error:
        raise OSError(
            "no folder for compiled code: none of the usual ones can be written to, and no "
            f"temporary one; set {VARIABLE} or TMPDIR to one that can be"
        ) from error
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    if homeless:
        os.environ["HOME"] = folder
    if not (given and _writable(Path(given))):
        os.environ[VARIABLE] = folder


def _writable(folder: Path) -> bool:
    """Whether a folder can be written to, or be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)
