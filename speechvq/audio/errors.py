"""Errors of audio files."""

from __future__ import annotations

from pathlib import Path


class AudioError(ValueError):
    """An audio file cannot be used; the message begins with the path of the file."""


def missing(path: Path) -> FileNotFoundError:
    """Return the error for a path that does not exist."""
    if path.is_symlink():
        return FileNotFoundError(f"{path}: the link points to nothing")
    return FileNotFoundError(f"{path}: no such file")
