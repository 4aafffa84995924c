"""Any folder of ``speaker/utterance.wav``.

A speaker's folder may contain folders. Beside ``utterance.wav`` may be the text in
``utterance.txt`` (or ``utterance.lab``, as aligners expect it) and the phone labels in
``utterance.TextGrid``, ``.phn`` or ``.lab``. A ``.lab`` file with times holds labels, else text.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from pathlib import Path

from speechvq import audio
from speechvq.data.corpora.faults import Fault, Faults
from speechvq.data.corpora.reader import CorpusReader
from speechvq.data.corpora.recording import Recording
from speechvq.data.manifest import CorpusError

logger = logging.getLogger(__name__)


class Folder(CorpusReader):
    """Reader of any folder of recordings with a folder for each speaker."""

    kind = "folder"
    layout = "SPEAKER/UTTERANCE.wav (or .flac, .ogg, .mp3)"
    expects_text = False

    def is_root(self, folder: Path) -> bool:
        """Return whether folders in this folder hold audio."""
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
        return any(
            name.lower().endswith(audio.SUFFIXES)
            for speaker in inside
            for _, _, names in os.walk(speaker, followlinks=True)
            for name in names
        )

    def recordings(self, root: Path, faults: Faults) -> list[Recording]:
        """List all recordings, in order.

        Files outside a speaker's folder and repeated names are faults.
        """
        paths = []
        for path in audio.find([root]):
            if path.parent == root:
                faults.add(Fault("file", "in no speaker's folder, skipped", str(path)))
            else:
                paths.append(path)
        if faults.by_kind and not paths:
            raise CorpusError(f"{root}: audio without speakers' folders; expected {self.layout}")
        _warn_of_single_speaker(root, paths)
        stems = Counter(path.stem for path in paths)
        neighbours = _Neighbours()
        found: dict[str, Recording] = {}
        for path in paths:
            relative = path.relative_to(root).with_suffix("")
            speaker = relative.parts[0]
            id = "_".join(relative.parts[1:])
            if not id.startswith(f"{speaker}_") and not id.startswith(f"{speaker}-"):
                id = f"{speaker}_{id}"
            if id in found:
                what = "with the name of another, skipped"
                faults.add(Fault("file", what, f"{path} beside {found[id].path}", speaker))
                continue
            text_path, label_path = neighbours.text_and_labels(path)
            names = [relative.as_posix(), f"{speaker}/{path.stem}", f"{speaker}/{id}", id]
            if stems[path.stem] == 1:
                names.append(path.stem)
            found[id] = Recording(id, speaker, path, None, text_path, label_path, tuple(names))
        return list(found.values())

    def find_root(self, folder: Path) -> Path | None:
        """Return the folder if it holds audio; one level down would be a speaker's folder."""
        at_top = any(
            path.is_file() and path.suffix.lower() in audio.SUFFIXES for path in folder.iterdir()
        )
        # For audio at the top `recordings` raises the error
        return folder if at_top or self.is_root(folder) else None


def _warn_of_single_speaker(root: Path, paths: list[Path]) -> None:
    """Log a warning when the root looks like the folder above a corpus."""
    inside = {path.relative_to(root).parts[:-1] for path in paths}
    speakers = {parts[0] for parts in inside}
    below = {parts[1] for parts in inside if len(parts) > 1}
    if len(speakers) == 1 and below and all(len(parts) > 1 for parts in inside):
        speaker = speakers.pop()
        logger.warning(
            "all audio is of one speaker, %r, with folders inside; if those are the speakers, give "
            "%s as the root",
            speaker,
            root / speaker,
        )


class _Neighbours:
    """Files beside an audio file; each folder is listed once; suffixes in any case."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._names: dict[tuple[str, str], Path] = {}

    def text_and_labels(self, path: Path) -> tuple[Path | None, Path | None]:
        """Return the text file and the label file beside an audio file, None for a missing one."""
        if path.parent != self._folder:
            self._folder = path.parent
            entries = map(Path, sorted(os.listdir(path.parent)))
            self._names = {(e.stem, e.suffix.lower()): path.parent / e for e in entries}
        text = self._names.get((path.stem, ".txt"))
        for suffix in (".textgrid", ".phn", ".lab"):
            candidate = self._names.get((path.stem, suffix))
            if candidate is None:
                continue
            if suffix != ".lab" or _has_times(candidate):
                return text, candidate
            text = text or candidate
        return text, None


def _has_times(lab: Path) -> bool:
    """Return whether a .lab file holds labels with times rather than a text to be aligned."""
    with open(lab, encoding="utf-8-sig", errors="replace") as file:
        fields = next((line.split() for line in file if line.strip()), [])
    try:
        return len(fields) >= 2 and float(fields[1]) >= float(fields[0])
    except ValueError:
        return False
