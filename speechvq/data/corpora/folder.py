"""Any folder of ``speaker/utterance.wav``.

A speaker's folder may contain folders. Beside ``utterance.wav`` may be the text in
``utterance.txt`` (or ``utterance.lab``, as aligners expect it) and the phone labels in
``utterance.TextGrid``, ``.phn`` or ``.lab``. A ``.lab`` file with times holds labels, else text.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from pathlib import Path

from speechvq import audio
from speechvq.data.corpora.faults import Fault, Faults
from speechvq.data.corpora.lines import read_file
from speechvq.data.corpora.reader import CorpusReader
from speechvq.data.corpora.recording import Recording
from speechvq.data.labels import has_times
from speechvq.data.manifest import CorpusError, Utterance
from speechvq.text import EncodingError

logger = logging.getLogger(__name__)


class Folder(CorpusReader):
    """Reader of any folder of recordings with a folder for each speaker."""

    kind = "folder"
    layout = "SPEAKER/UTTERANCE.wav (or .flac, .ogg, .mp3)"
    expects_text = False

    def is_root(self, folder: Path) -> bool:
        """Return whether folders in this folder hold audio."""
        return any(path.parent != folder for path in audio.walk(folder))

    def recordings(self, root: Path, faults: Faults) -> list[Recording]:
        """List all recordings, in order.

        Files outside a speaker's folder and repeated names are faults.
        """
        paths = []
        for path in audio.find([root], faults.report):
            if path.parent == root:
                faults.add(Fault("file", "in no speaker's folder, skipped", str(path)))
            else:
                paths.append(path)
        if not paths:
            raise CorpusError(f"{root}: audio without speakers' folders; expected {self.layout}")
        _doubt_level(root, paths)
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
            found[id] = Recording(
                id,
                speaker,
                path,
                text_path=text_path,
                label_path=label_path,
                label_names=tuple(names),
                times_in_text=label_path is not None and label_path.suffix.lower() == ".phn",
            )
        return list(found.values())

    def sentence(self, utterance: Utterance) -> str | None:
        """Return the name of the file without that of the speaker, for an utterance without text.

        Where several speakers have files of the same names, these may be the same sentences.
        """
        if utterance.text is not None:
            return None
        return utterance.id.removeprefix(utterance.speaker).lstrip("_-").lower()

    def find_root(self, folder: Path) -> Path | None:
        """Return the folder if it holds audio; one level down would be a speaker's folder."""
        # For audio at the top alone `recordings` raises the error
        return next((folder for _ in audio.walk(folder)), None)


_PART = re.compile(
    r"(train|test|dev|devel|valid|validation|eval|val)(ing|set)?([-_ ].*|\d*)"
    r"|wavs?\d*(_.*)?|audio|clips|flac|mp3|data|corpus|vctk.*|timit|libri(tts|speech).*"
    r"|orig(inal)?|raw|clean|noisy|mics?[-_ ]?\d*|ch(annel)?[-_ ]?\d+|\d+k(hz)?|dr\d|(fe)?males?"
    r"|(session|chapter|part|cd|disc)s?[-_ ]?\d*",
    re.IGNORECASE,
)
"""Names of parts of a corpus, which are no speakers."""


def _doubt_level(root: Path, paths: list[Path]) -> None:
    """Log a warning when the folders in the root look like parts of a corpus, not like speakers."""
    inside = {path.relative_to(root).parts[:-1] for path in paths}
    speakers = sorted({parts[0] for parts in inside})
    below: dict[str, set[str]] = {
        name: {parts[1] for parts in inside if parts[0] == name and len(parts) > 1}
        for name in speakers
    }
    all_deep = all(len(parts) > 1 for parts in inside)
    if len(speakers) == 1 and all_deep:
        logger.warning(
            "all audio is of one speaker, %r, with folders inside; if those are the speakers, give "
            "%s as the root",
            speakers[0],
            root / speakers[0],
        )
        return
    shared = len(set().union(*below.values())) < sum(map(len, below.values()))
    parts = [name for name in speakers if _PART.fullmatch(name)]
    if parts or (all_deep and not shared):
        lower = next((f"{name}/{min(below[name])}" for name in speakers if below[name]), None)
        logger.warning(
            "the folders in %s are taken for the speakers: %s; if the speakers are lower%s, give "
            "the folder that holds them as the root, part by part",
            root,
            ", ".join(map(repr, speakers[:4])) + (", …" if len(speakers) > 4 else ""),
            f", as in {lower}" if lower else "",
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
    try:
        return has_times(read_file(lab).content)
    except (OSError, EncodingError):  # reported when it is read as a text
        return False
