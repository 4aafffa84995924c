"""Phone labels of recordings, from a folder of label files or from a CTM file."""

from __future__ import annotations

import os
from pathlib import Path

from speechvq.data.labels import SUFFIXES, read_ctm, read_phones
from speechvq.data.manifest import CorpusError, Phone

EXPECTED = "expected SPEAKER/UTTERANCE.TextGrid (or .lab, .phn), or a .ctm file"


class LabelFiles:
    """Label files below a folder, by name, or the utterances of a CTM file.

    A file is found by the path below the folder or by the file name alone, both without suffix. A
    file name that occurs twice is ambiguous and finds nothing.

    Parameters
    ----------
    where : Path
        A folder, searched recursively, or one ``.ctm`` file.
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
        """Return whether there are any labels."""
        return bool(self._paths or self._ctm)

    def find(self, names: tuple[str, ...], sample_rate: int) -> tuple[Phone, ...] | None:
        """Return the phones of the first name found, else None; .phn needs `sample_rate` in Hz."""
        for name in names:
            if name in self._paths:
                return read_phones(self._paths[name], sample_rate)
            if name in self._ctm:
                return self._ctm[name]
        return None
