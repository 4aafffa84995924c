"""VCTK, versions 0.80 and 0.92.

0.80: ``wav48/p225/p225_001.wav``; speaker-info.txt has ids without p.
0.92: ``wav48_silence_trimmed/p225/p225_001_mic1.flac``, two microphones; ids with p; speaker s5.
Both: ``txt/p225/p225_001.txt``. VCTK has no phone labels. Copies at another rate, as in ``wav16``,
and the folder of the audio itself are known, too; upper and lower case make no difference.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from speechvq import audio
from speechvq.data.corpora.faults import Fault, Faults
from speechvq.data.corpora.lines import read_lines
from speechvq.data.corpora.reader import CorpusReader, folders_in
from speechvq.data.corpora.recording import Recording
from speechvq.data.manifest import CorpusError

AUDIO_FOLDERS = ("wav48_silence_trimmed", "wav48")

_AUDIO_FOLDER = re.compile(r"(wav|flac)s?\d*(_silence_trimmed)?", re.IGNORECASE)
_AUDIO_FILE = re.compile(r"[ps]\d+_\d{3}(_mic\d)?", re.IGNORECASE)

_NAME = re.compile(r"(?P<id>.+_\d+?)(?:_mic(?P<mic>\d))?")
_INFO = re.compile(
    r"(?P<id>[ps]?\d+)\s+(?P<age>\d+)\s+(?P<gender>[FM])"
    r"(?:\s+(?P<accent>[^\s(]+))?(?:\s+(?P<region>[^\s(][^(]*?))?\s*(?:\((?P<comment>.*)\)?)?"
)


@dataclass(frozen=True)
class VCTK(CorpusReader):
    """Reader of VCTK.

    Attributes
    ----------
    mic : {1, 2}
        Microphone of VCTK 0.92; version 0.80 has microphone 1 alone.
    """

    kind: ClassVar[str] = "vctk"
    layout: ClassVar[str] = (
        "wav48_silence_trimmed/p225/p225_001_mic1.flac (0.92) or wav48/p225/p225_001.wav (0.80)"
    )

    mic: int = 1

    def __post_init__(self) -> None:
        if self.mic not in (1, 2):
            raise CorpusError(f"there is no microphone {self.mic}; VCTK 0.92 has 1 and 2")

    def is_root(self, folder: Path) -> bool:
        """Return whether a folder has the layout of VCTK."""
        return _audio_folder(folder) is not None

    def find_root(self, folder: Path) -> Path | None:
        """Return the root of VCTK, of which the folder may be the folder of the audio."""
        if _may_be_audio(folder) and _holds_speakers(folder):
            return folder.parent if _audio_folder(folder.parent) == folder else folder
        return super().find_root(folder)

    def recordings(self, root: Path, faults: Faults) -> list[Recording]:
        """List the recordings of one microphone, in order.

        Faults are files that are no audio (p376_295.raw in 0.80), recordings of the other
        microphone alone (p280 and p315 have no mic2), and texts without audio (some of p362).
        """
        place = _audio_folder(root) or root
        txt = _folder(place.parent, "txt")
        by_speaker: dict[str, list[Path]] = {path.name: [] for path in folders_in(place)}
        for path in audio.walk(place, ("",), faults.report):
            if path.parent != place:
                by_speaker.setdefault(path.relative_to(place).parts[0], []).append(path)
        found: list[Recording] = []
        microphones: set[int | None] = set()
        for speaker, paths in sorted(by_speaker.items()):
            chosen: dict[str, Path] = {}
            other: set[str] = set()
            for path in sorted(paths):
                match = _NAME.fullmatch(path.stem)
                if path.suffix.lower() not in audio.SUFFIXES or match is None:
                    what = "not named as VCTK's audio is, skipped"
                    faults.add(Fault("file", what, str(path), speaker))
                    continue
                recorded = int(match["mic"]) if match["mic"] else None
                microphones.add(recorded)
                if recorded in (self.mic, None):
                    chosen.setdefault(match["id"], path)
                else:
                    other.add(match["id"])
            for id in sorted(other - chosen.keys()):
                faults.add(
                    Fault("utterance", f"without microphone {self.mic}, skipped", id, speaker)
                )
            texts = _texts(txt / speaker, faults)
            for id in sorted(texts.keys() - chosen.keys() - other):
                faults.add(Fault("text", "without audio, skipped", id, speaker))
            found += [
                Recording(
                    id=id,
                    speaker=speaker,
                    path=path,
                    text_path=texts.get(id),
                    label_names=(f"{speaker}/{id}", f"{speaker}/{path.stem}", id, path.stem),
                )
                for id, path in chosen.items()
            ]
        if self.mic != 1 and microphones == {None}:
            raise CorpusError(
                f"{place}: has one microphone only, as in VCTK 0.80; choose microphone 1"
            )
        return found

    def speakers(self, root: Path) -> dict[str, dict[str, str]]:
        """Return age, gender, accent, region and comment of each speaker, from speaker-info.txt."""
        path = ((_audio_folder(root) or root).parent) / "speaker-info.txt"
        if not path.is_file():
            return {}
        found = {}
        for line in read_lines(path):
            match = _INFO.fullmatch(line.strip())
            if match is None:  # the heading
                continue
            name = "p" + match["id"] if match["id"].isdigit() else match["id"]
            facts = {key: (value or "").strip(" )") for key, value in match.groupdict().items()}
            del facts["id"]
            found[name] = {key: value for key, value in facts.items() if value}
        return found


def _texts(folder: Path, faults: Faults) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {path.stem: path for path in audio.walk(folder, (".txt",), faults.report)}


def _audio_folder(root: Path) -> Path | None:
    """Return the folder of the speakers' audio in a root; first that of VCTK as it is published."""
    inside = [path for path in folders_in(root) if _may_be_audio(path)]
    for name in AUDIO_FOLDERS:
        for path in inside:
            if path.name.lower() == name:
                return path
    return next((path for path in reversed(inside) if _holds_speakers(path)), None)


def _may_be_audio(folder: Path) -> bool:
    """Return whether a folder is named as that of the audio, and is not a root of that name."""
    names = [folder.name, *(path.name for path in folders_in(folder))]
    return [name for name in names if _AUDIO_FOLDER.fullmatch(name)] == [folder.name]


def _holds_speakers(folder: Path) -> bool:
    """Return whether the first audio file below a folder is named as VCTK's is."""
    first = next(audio.walk(folder), None)
    return first is not None and _AUDIO_FILE.fullmatch(first.stem) is not None


def _folder(root: Path, name: str) -> Path:
    """Return the folder of a name, in any case."""
    return next((path for path in folders_in(root) if path.name.lower() == name), root / name)
