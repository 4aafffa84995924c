"""LibriSpeech: ``train-clean-100/84/121123/84-121123-0000.flac`` and ``84-121123.trans.txt``."""

from __future__ import annotations

import re
from pathlib import Path

from speechvq import audio
from speechvq.data.corpora.faults import Fault, Faults
from speechvq.data.corpora.lines import read_lines
from speechvq.data.corpora.reader import CorpusReader
from speechvq.data.corpora.recording import Recording

_NAME = re.compile(r"(\d+)-(\d+)-(\d+)")
_PATH = re.compile(r"/(\d+)/(\d+)/\1-\2-\d{4}\.\w+$")
_TRANSCRIPT = re.compile(r"\d+-\d+\.trans\.txt", re.IGNORECASE)


class LibriSpeech(CorpusReader):
    """Reader of LibriSpeech, whole or one split."""

    kind = "librispeech"
    layout = "train-clean-100/84/121123/84-121123-0000.flac beside 84-121123.trans.txt"

    def is_root(self, folder: Path) -> bool:
        """Return whether a folder is LibriSpeech, or a part of LibriSpeech."""
        transcript = next(audio.walk(folder, (".trans.txt",)), None)
        if transcript is not None:
            return _TRANSCRIPT.fullmatch(transcript.name) is not None
        first = next(audio.walk(folder), None)
        return first is not None and _PATH.search(first.as_posix()) is not None

    def find_root(self, folder: Path) -> Path | None:
        """Return the folder itself, which may be any level of LibriSpeech."""
        return folder if self.is_root(folder) else None

    def recordings(self, root: Path, faults: Faults) -> list[Recording]:
        """List all recordings, in order; texts without audio and other file names are faults."""
        found: dict[str, Recording] = {}
        texts: dict[str, str] = {}
        for transcript in audio.walk(root, (".trans.txt",)):
            texts.update(_texts(transcript, faults))
        for path in audio.find([root], faults.report):
            match = _NAME.fullmatch(path.stem)
            if match is None:
                faults.add(Fault("file", "not named as LibriSpeech's audio is, skipped", str(path)))
                continue
            speaker, chapter, _ = match.groups()
            if path.stem in found:
                example = f"{path} beside {found[path.stem].path}"
                faults.add(Fault("file", "with the name of another, skipped", example, speaker))
                continue
            names = (
                path.relative_to(root).with_suffix("").as_posix(),
                f"{speaker}/{chapter}/{path.stem}",
                f"{speaker}/{path.stem}",
                path.stem,
            )
            text = texts.get(path.stem)
            found[path.stem] = Recording(path.stem, speaker, path, text, label_names=names)
        for id in sorted(texts.keys() - found.keys()):
            faults.add(Fault("text", "without audio, skipped", id, id.partition("-")[0]))
        return list(found.values())

    def speakers(self, root: Path) -> dict[str, dict[str, str]]:
        """Return gender and name of each speaker, from SPEAKERS.TXT."""
        places = (root / "SPEAKERS.TXT", root.parent / "SPEAKERS.TXT")
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            return {}
        found = {}
        for line in read_lines(path):
            fields = [field.strip() for field in line.split("|")]
            if not line.startswith(";") and len(fields) >= 5:
                found[fields[0]] = {"gender": fields[1], "name": fields[4]}
        return found


def _texts(transcript: Path, faults: Faults) -> dict[str, str]:
    texts = {}
    for number, line in enumerate(read_lines(transcript, faults), 1):
        id, _, text = line.strip().partition(" ")
        if _NAME.fullmatch(id) and text.strip():
            texts[id] = text.strip()
        elif line.strip():
            what = "of a transcript not 'speaker-chapter-number TEXT', skipped"
            faults.add(Fault("line", what, f"{transcript}:{number}"))
    return texts
