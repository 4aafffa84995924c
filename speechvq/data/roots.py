"""Where a manifest may name files: beneath its own folder, and beneath those of ``roots.txt``.

``roots.txt`` lies beside the manifests and lists folders, one a line. A manifest from somewhere
else can thus name no file of the user's that the user has not offered, and ask no server for
anything: a URL, too, must begin with one of ``roots.txt``. Paths are compared as they are written,
``..`` resolved in the text; a link is followed, since whoever owns the folder made it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from speechvq.audio import absolute, as_url, is_text, write_bytes
from speechvq.text import EncodingError, read_text

FILE = "roots.txt"


class Roots:
    """The folders beneath which the manifests of a folder may name files.

    Parameters
    ----------
    folder : path
        Of the manifests; its ``roots.txt`` is read if there is one.

    Raises
    ------
    ValueError, OSError
        ``roots.txt`` cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = os.path.abspath(folder)
        self._file = Path(folder, FILE)
        self.folders = [self._folder, *self._listed()]
        self._inside = tuple(f"{root.rstrip('/')}/" for root in self.folders)

    def path(self, name: str) -> str:
        """The absolute path of a file, relative to the folder; ValueError if it lies outside."""
        path = self._absolute(name)
        if not path.startswith(self._inside):
            raise ValueError(
                f"{path!r} lies outside the manifest's folder; if this is wanted, add its folder "
                f"as a line to {self._file}"
            )
        if "\0" in path or not is_text(path):
            raise ValueError(f"path {name!r}: not the name of a file")
        return path

    def allow(self, folders: Iterable[str | os.PathLike[str]]) -> None:
        """Add folders to ``roots.txt``, which appears whole or not at all."""
        there = self._listed()
        listed = list(dict.fromkeys([*there, *map(absolute, folders)]))
        if listed != there:
            write_bytes(self._file, "".join(f"{root}\n" for root in listed).encode())

    def _listed(self) -> list[str]:
        if not self._file.exists():
            return []
        try:
            lines = read_text(self._file).split("\n")
        except EncodingError as error:
            raise ValueError(f"{self._file}: {error}") from error
        return [self._absolute(line) for line in lines if line]

    def _absolute(self, name: str) -> str:
        url = as_url(name)
        path = os.path.join(self._folder, name) if url is None else url.partition("://")[2]
        return ("" if url is None else url.partition("://")[0] + "://") + os.path.normpath(path)
