"""speechocean762: ``WAVE/SPEAKER0001/000010011.WAV``, and texts in ``train/text``, ``test/text``.

The lines of the texts are number and text. Its speakers are numbers, as LibriSpeech's are: here
they are named so0001.
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


class SpeechOcean762(ByPath):
    """Reader of speechocean762, whole or one speaker."""

    kind = "speechocean762"
    layout = "WAVE/SPEAKER0001/000010011.WAV, and train/text and test/text"
    path = re.compile(r"/SPEAKER(?P<speaker>\d{4})/(?P<name>\d{9})\.\w+$")

    def recording(self, path: Path, match: re.Match[str]) -> Recording:
        """Return the recording of a path, without the text."""
        name, speaker = match["name"], f"so{match['speaker']}"
        return Recording(name, speaker, path, label_names=(f"{speaker}/{name}", name))

    def _recordings(self, root: Path, faults: Faults) -> Iterator[Recording]:
        texts = cache(lambda home: _texts(home, faults))
        for found in super()._recordings(root, faults):
            yield replace(found, text=texts(found.path.parents[2]).get(found.id))


def _texts(home: Path, faults: Faults) -> dict[str, str]:
    paths = [home / part / "text" for part in ("train", "test")]
    lines = [line for path in paths if path.is_file() for line in read_lines(path, faults)]
    fields = (line.split(maxsplit=1) for line in lines)
    return {row[0]: row[1].strip() for row in fields if len(row) > 1}
