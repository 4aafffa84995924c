"""LibriTTS: ``dev-clean/84/121123/84_121123_000007_000001.wav`` and ``….normalized.txt``."""

from __future__ import annotations

import re
from pathlib import Path

from speechvq.data.corpora.by_path import ByPath, beside
from speechvq.data.corpora.lines import read_lines
from speechvq.data.corpora.recording import Recording


class LibriTTS(ByPath):
    """Reader of LibriTTS and LibriTTS-R, whole, some splits or one."""

    kind = "libritts"
    layout = "dev-clean/84/121123/84_121123_000007_000001.wav beside ….normalized.txt"
    path = re.compile(r"/(?P<name>(?P<speaker>\d+)_(?P<chapter>\d+)_\d+_\d+)\.\w+$")

    def recording(self, path: Path, match: re.Match[str]) -> Recording:
        """Return the recording of a path."""
        name, speaker, chapter = match["name"], match["speaker"], match["chapter"]
        return Recording(
            name,
            speaker,
            path,
            text_path=beside(path, ".normalized.txt", ".original.txt", ".txt", ".lab"),
            label_path=beside(path, ".TextGrid"),
            label_names=(f"{speaker}/{chapter}/{name}", f"{speaker}/{name}", name),
        )

    def speakers(self, root: Path) -> dict[str, dict[str, str]]:
        """Return gender and name of each speaker, from speakers.tsv (reader, gender, …, name)."""
        places = [folder / "speakers.tsv" for folder in (root, root.parent)]
        path = next((place for place in places if place.is_file()), None)
        found = {}
        for line in read_lines(path) if path else []:
            fields = [field.strip() for field in line.split("\t")]
            if len(fields) >= 4 and fields[0].isdigit():
                found[fields[0]] = {"gender": fields[1], "name": fields[3]}
        return found
