"""Finding the phone labels of a recording in a folder of label files, or in a CTM file."""

from __future__ import annotations

import os
from pathlib import Path

from speechvq.data.labels import SUFFIXES, read_ctm, read_phones
from speechvq.data.manifest import CorpusError, Phone

EXPECTED = "expected SPEAKER/UTTERANCE.TextGrid (or .lab, .phn), or a .ctm file"


class LabelFiles:
    """The label files below a folder, by name; or the utterances of a CTM file.

    A file is known by its path in the folder and by its name alone, both without suffix; a name
    that several files have is none.

    Parameters
    ----------
    where
        A folder, searched to the bottom, or one ``.ctm`` file.
    """

    def __init__(self, where: Path) -> None:
        self._paths: dict[str, Path] = {}
        self._ctm: dict[str, tuple[Phone, ...]] = {}
        if where.is_file():
            if where.suffix.lower() != ".ctm":
                raise CorpusError(f"{where}: not a folder of label files; {EXPECTED}")
            self._ctm = read_ctm(where)
            return
        if not where.is_dir():
            raise FileNotFoundError(f"{where}: no such folder of label files")
        stems: dict[str, list[Path]] = {}
        for folder, folders, files in os.walk(where, followlinks=True):
            folders.sort()
            for name in sorted(files):
                path = Path(folder, name)
                suffix = path.suffix.lower()
                if name.startswith(".") or suffix not in SUFFIXES:
                    continue
                if suffix == ".ctm":
                    self._ctm.update(read_ctm(path))
                    continue
                self._paths.setdefault(path.relative_to(where).with_suffix("").as_posix(), path)
                stems.setdefault(path.stem, []).append(path)
        for stem, paths in stems.items():
            if len({path.with_suffix("") for path in paths}) == 1:
                self._paths.setdefault(stem, paths[0])

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._paths or self._ctm)

    def find(self, names: tuple[str, ...], sample_rate: int) -> tuple[Phone, ...] | None:
        """The phones of the first name that is known, or None; `sample_rate` in Hz is for .phn."""
        for name in names:
            if name in self._paths:
                return read_phones(self._paths[name], sample_rate)
            if name in self._ctm:
                return self._ctm[name]
        return None
