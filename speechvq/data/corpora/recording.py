"""One recording of a corpus, as its kind's reader finds it in the directory tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Recording:
    """An audio file and what its corpus says of it, before the audio has been looked at.

    Attributes
    ----------
    id
        The utterance's id, one of its kind in the corpus.
    speaker
        The speaker's name.
    path
        The audio file.
    text
        What is said, where the corpus keeps that in a list.
    text_path
        The file to read it from, where it keeps a file for each; None where there is none.
    label_path
        A label file beside the audio.
    label_names
        What a label file in a folder of its own would be called, without suffix, the surest first.
    """

    id: str
    speaker: str
    path: Path
    text: str | None = None
    text_path: Path | None = None
    label_path: Path | None = None
    label_names: tuple[str, ...] = ()
