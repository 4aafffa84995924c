"""ESD, the Emotional Speech Dataset: ``0011/Angry/0011_000351.wav`` and ``0011/0011.txt``.

Each speaker says 350 sentences in five emotions; the number of the recording runs on. Speakers 1 to
10 speak Mandarin, 11 to 20 English. The lines of the text are number, tab, text, tab, emotion.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from speechvq.data.corpora.by_path import ByPath
from speechvq.data.corpora.faults import Faults
from speechvq.data.corpora.lines import read_lines
from speechvq.data.corpora.recording import Recording
from speechvq.data.manifest import Utterance

SENTENCES = 350
MANDARIN_SPEAKERS = 10


class ESD(ByPath):
    """Reader of ESD, whole or a part."""

    kind = "esd"
    layout = "0011/Angry/0011_000351.wav and 0011/0011.txt"
    path = re.compile(
        r"/(?P<home>(?P<speaker>\d{4}))/[A-Z][a-z]+(/\w+)?/(?P<name>(?P=speaker)_\d{6})\.\w+$"
    )

    def recording(self, path: Path, match: re.Match[str]) -> Recording:
        """Return the recording of a path, without the text."""
        name, speaker = match["name"], match["speaker"]
        return Recording(name, speaker, path, label_names=(f"{speaker}/{name}", name))

    def _recordings(self, root: Path, faults: Faults) -> Iterator[Recording]:
        texts = cache(lambda home: _texts(home / f"{home.name}.txt", faults))
        for found in super()._recordings(root, faults):
            home = next(p for p in found.path.parents if p.name == found.speaker)
            yield replace(found, text=texts(home).get(found.id))

    def sentence(self, utterance: Utterance) -> str | None:
        """Return the language and the number of the sentence."""
        speaker, _, number = utterance.id.partition("_")
        language = "Mandarin" if int(speaker) <= MANDARIN_SPEAKERS else "English"
        return f"{language} {(int(number) - 1) % SENTENCES + 1}"


def _texts(path: Path, faults: Faults) -> dict[str, str]:
    if not path.is_file():
        return {}
    fields = (line.split("\t") for line in read_lines(path, faults))
    return {row[0].strip(): row[1].strip() for row in fields if len(row) > 1}
