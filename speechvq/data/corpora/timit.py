"""TIMIT: ``TRAIN/DR1/FCJF0/SA1.WAV``, with ``.TXT`` and ``.PHN`` beside it.

Copies in RIFF form, ``SA1.WAV.wav`` or ``SA1_.wav``, are taken instead of NIST's where there are
any.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from speechvq.data.corpora.by_path import ByPath, beside
from speechvq.data.corpora.recording import Recording
from speechvq.data.manifest import Utterance


class TIMIT(ByPath):
    """Reader of TIMIT, whole or a part."""

    kind = "timit"
    layout = "TRAIN/DR1/FCJF0/SA1.WAV beside SA1.TXT and SA1.PHN"
    path = re.compile(
        r"/(?P<speaker>[FM][A-Z]{2}[A-Z0-9]\d)/(?P<name>(SA|SI|SX)\d+)(_|\.WAV)?\.\w+$",
        re.IGNORECASE,
    )

    def recording(self, path: Path, match: re.Match[str]) -> Recording:
        """Return the recording of a path."""
        speaker, name = match["speaker"].upper(), match["name"].upper()
        plain = path.with_name(match["name"] + ".wav")
        return Recording(
            f"{speaker}_{name}",
            speaker,
            path,
            text_path=beside(plain, ".TXT"),
            label_path=beside(plain, ".PHN", ".TextGrid"),
            label_names=(f"{speaker}/{name}", f"{speaker}/{path.stem}", f"{speaker}_{name}"),
            times_in_text=True,
        )

    def rank(self, path: Path) -> tuple[Any, ...]:
        """Return the order of a path: a copy in RIFF form has the longer name, and comes first."""
        return (path.parent, -len(path.name), path.name)

    def sentence(self, utterance: Utterance) -> str | None:
        """Return the name of the sentence: SA are read by all speakers, SX by seven each."""
        return utterance.id.rpartition("_")[2]
