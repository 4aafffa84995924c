"""What is wrong with an audio file."""

from __future__ import annotations

from pathlib import Path


class AudioError(ValueError):
    """An audio file that cannot be used; the message begins with its path."""


def missing(path: Path) -> FileNotFoundError:
    """The error for a path that does not exist."""
    if path.is_symlink():
        return FileNotFoundError(f"{path}: the link points to nothing")
    return FileNotFoundError(f"{path}: no such file")
