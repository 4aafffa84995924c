"""Finding audio files in files and folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from speechvq.audio.errors import missing

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
"""Suffixes of the files that `find` finds in folders."""


def find(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """Find audio files: files as given, and files with one of `SUFFIXES` below folders.

    The files of a folder are sorted. A file that is found twice is listed once. Hidden files are
    ignored.

    Raises
    ------
    FileNotFoundError
        A path does not exist, or a folder holds no audio.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(_walk(path, set()))
            if not inside:
                raise FileNotFoundError(f"{path}: no {', '.join(SUFFIXES)} file in this folder")
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise missing(path)
    return list(found)


def _walk(folder: Path, entered: set[tuple[int, int]]) -> Iterator[Path]:
    """Yield the audio files below a folder; links are followed, but not into a loop."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in entered:
        return
    entered = entered | {(status.st_dev, status.st_ino)}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, entered)
            elif entry.name.lower().endswith(SUFFIXES):
                yield folder / entry.name
