"""CMU ARCTIC and L2-ARCTIC.

CMU ARCTIC: ``cmu_us_slt_arctic/wav/arctic_a0001.wav``, texts in ``etc/txt.done.data``, labels of
Festival in ``lab``; ``orig`` has the same recordings again. L2-ARCTIC:
``ABA/wav/arctic_a0001.wav``, ``ABA/transcript/arctic_a0001.txt``,
``ABA/textgrid/arctic_a0001.TextGrid``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from speechvq.data.corpora.by_path import ByPath, beside
from speechvq.data.corpora.faults import Faults
from speechvq.data.corpora.lines import read_lines
from speechvq.data.corpora.recording import Recording
from speechvq.data.manifest import Utterance

_PROMPT = re.compile(r'\(\s*(?P<name>\w+)\s+"(?P<text>.*)"\s*\)')


class Arctic(ByPath):
    """Reader of CMU ARCTIC and L2-ARCTIC, one speaker or several."""

    kind = "arctic"
    layout = "cmu_us_slt_arctic/wav/arctic_a0001.wav and etc/txt.done.data"
    path = re.compile(
        r"/(cmu_[a-z]+_)?(?P<speaker>[^/]+?)(_arctic)?/(wav|orig)/(?P<name>arctic_[ab]\d{4})\.\w+$",
        re.IGNORECASE,
    )

    def recording(self, path: Path, match: re.Match[str]) -> Recording:
        """Return the recording of a path, without the text."""
        speaker, name, home = match["speaker"], match["name"].lower(), path.parent.parent
        return Recording(
            f"{speaker}_{name}",
            speaker,
            path,
            text_path=beside(home / "transcript" / path.name, ".txt"),
            label_path=beside(home / "textgrid" / path.name, ".TextGrid")
            or beside(home / "lab" / path.name, ".lab"),
            label_names=(f"{home.name}/{name}", f"{speaker}/{name}", f"{speaker}_{name}"),
        )

    def _recordings(self, root: Path, faults: Faults) -> Iterator[Recording]:
        prompts = cache(lambda home: _prompts(home / "etc" / "txt.done.data", faults))
        for found in super()._recordings(root, faults):
            text = prompts(found.path.parent.parent).get(found.path.stem.lower())
            if text:
                found = replace(found, text=text, text_path=None)
            yield found

    def rank(self, path: Path) -> tuple[Any, ...]:
        """Return the order of a path: ``wav`` precedes ``orig``, which has the same recordings."""
        return (path.parent.parent, path.parent.name.lower() == "orig", path.name)

    def sentence(self, utterance: Utterance) -> str | None:
        """Return the name of the sentence, which all speakers read."""
        return utterance.id[-len("arctic_a0001") :]


def _prompts(path: Path, faults: Faults) -> dict[str, str]:
    if not path.is_file():
        return {}
    matches = (_PROMPT.search(line) for line in read_lines(path, faults))
    return {m["name"].lower(): m["text"].replace('\\"', '"') for m in matches if m}
