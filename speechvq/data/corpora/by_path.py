"""Readers of corpora whose recordings are known by their paths."""

from __future__ import annotations

import itertools
import re
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from speechvq import audio
from speechvq.data.corpora.faults import Fault, Faults
from speechvq.data.corpora.reader import CorpusReader
from speechvq.data.corpora.recording import Recording

LOOKED_AT = 200
"""Files that are looked at to know a corpus."""


class ByPath(CorpusReader):
    """Reader of a corpus whose paths say the speaker and the number of a recording.

    The path is matched from its end, so that the corpus is known on every level: the whole, a part
    of it, one speaker.

    Attributes
    ----------
    path : Pattern
        Matches the end of the absolute path of a recording; `name` is the group of the name.
    """

    path: ClassVar[re.Pattern[str]]

    @abstractmethod
    def recording(self, path: Path, match: re.Match[str]) -> Recording:
        """Return the recording of a path."""

    def is_root(self, folder: Path) -> bool:
        """Return whether most of the first audio files below a folder are named as this corpus."""
        matches = [self._match(p) for p in itertools.islice(audio.walk(folder), LOOKED_AT)]
        return sum(match is not None for match in matches) > len(matches) / 2

    def find_root(self, folder: Path) -> Path | None:
        """Return the folder itself, which may be any level of the corpus."""
        return folder if self.is_root(folder) else None

    def recordings(self, root: Path, faults: Faults) -> list[Recording]:
        """List all recordings, in order; other names and copies are faults."""
        found: dict[str, Recording] = {}
        for recording in self._recordings(root, faults):
            if recording.id in found:
                what = "a copy of another, skipped"
                example = f"{recording.path} beside {found[recording.id].path}"
                faults.add(Fault("file", what, example, recording.speaker))
            else:
                found[recording.id] = recording
        return list(found.values())

    def _recordings(self, root: Path, faults: Faults) -> Iterator[Recording]:
        for path in sorted(audio.find([root], faults.report), key=self.rank):
            match = self._match(path)
            if match is None:
                what = f"not named as the audio of {self.kind} is, skipped"
                faults.add(Fault("file", what, str(path)))
            else:
                yield self.recording(path, match)

    def rank(self, path: Path) -> tuple[Any, ...]:
        """Return the order of a path: of several copies the first one is taken."""
        return (path,)

    def _match(self, path: Path) -> re.Match[str] | None:
        return self.path.search(path.as_posix())


def beside(path: Path, *suffixes: str) -> Path | None:
    """Return the file beside a path with the same name and the first suffix that is there."""
    for suffix in suffixes:
        for form in (suffix, suffix.lower(), suffix.upper()):
            candidate = path.with_name(path.name.partition(".")[0] + form)
            if candidate.is_symlink() or candidate.exists():
                return candidate
    return None
