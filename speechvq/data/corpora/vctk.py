"""VCTK, versions 0.80 and 0.92.

0.80: ``wav48/p225/p225_001.wav``; speaker-info.txt has ids without p.
0.92: ``wav48_silence_trimmed/p225/p225_001_mic1.flac``, two microphones; ids with p; speaker s5.
Both: ``txt/p225/p225_001.txt``. VCTK has no phone labels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from speechvq.audio import SUFFIXES
from speechvq.data.corpora.faults import Fault, Faults
from speechvq.data.corpora.reader import CorpusReader
from speechvq.data.corpora.recording import Recording
from speechvq.data.manifest import CorpusError

AUDIO_FOLDERS = ("wav48_silence_trimmed", "wav48")

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

    def __post_init__(self):
        if self.mic not in (1, 2):
            raise CorpusError(f"there is no microphone {self.mic}; VCTK 0.92 has 1 and 2")

    def is_root(self, folder: Path) -> bool:
        """Return whether a folder has the layout of VCTK."""
        return any((folder / name).is_dir() for name in AUDIO_FOLDERS)

    def recordings(self, root: Path, faults: Faults) -> list[Recording]:
        """List the recordings of one microphone, in order.

        Faults are files that are no audio (p376_295.raw in 0.80), recordings of the other
        microphone alone (p280 and p315 have no mic2), and texts without audio (some of p362).
        """
        audio = next(root / name for name in AUDIO_FOLDERS if (root / name).is_dir())
        found: list[Recording] = []
        microphones: set[int | None] = set()
        for folder in sorted(path for path in audio.iterdir() if path.is_dir()):
            speaker = folder.name
            chosen: dict[str, Path] = {}
            other: set[str] = set()
            for path in sorted(folder.iterdir()):
                if path.name.startswith("."):
                    continue
                match = _NAME.fullmatch(path.stem)
                if path.suffix.lower() not in SUFFIXES or match is None:
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
            texts = _texts(root / "txt" / speaker)
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
                f"{audio}: has one microphone only, as in VCTK 0.80; choose microphone 1"
            )
        return found

    def speakers(self, root: Path) -> dict[str, dict[str, str]]:
        """Return age, gender, accent, region and comment of each speaker, from speaker-info.txt."""
        path = root / "speaker-info.txt"
        if not path.is_file():
            return {}
        found = {}
        for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
            match = _INFO.fullmatch(line.strip())
            if match is None:  # the heading
                continue
            name = "p" + match["id"] if match["id"].isdigit() else match["id"]
            facts = {key: (value or "").strip(" )") for key, value in match.groupdict().items()}
            del facts["id"]
            found[name] = {key: value for key, value in facts.items() if value}
        return found


def _texts(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {path.stem: path for path in folder.glob("*.txt") if not path.name.startswith(".")}
