"""Interface of a corpus reader.

A reader finds the recordings in a directory tree. `read_corpus` then reads the audio, the texts and
the phone labels, in the same way for every corpus. A reader needs no change of the package::

    class MyCorpus(CorpusReader):
        kind = "mine"
        layout = "audio/SPEAKER-NUMBER.wav"

        def recordings(self, root, faults):
            return [
                Recording(path.stem, path.stem.partition("-")[0], path)
                for path in sorted(root.glob("audio/*.wav"))
            ]

    prepare("/data/mine", MyCorpus(), out="exp/mine/data")
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from speechvq.data.corpora.faults import Faults
from speechvq.data.corpora.recording import Recording
from speechvq.data.manifest import CorpusError, Utterance

LEVELS = 2
"""Levels below the given folder on which a corpus is looked for."""
MOST_FOLDERS = 20
"""Folders of a level; more are speakers, and there is no corpus below them."""


class CorpusReader(ABC):
    """Finds the recordings of one kind of corpus.

    Options of one corpus, such as the microphone, are arguments of the constructor.

    Attributes
    ----------
    kind : str
        Name of this kind of corpus.
    layout : str
        Path of a recording in the corpus, as an example for error messages.
    expects_text : bool
        Whether a corpus without any text is worth a warning.
    """

    kind: ClassVar[str]
    layout: ClassVar[str]
    expects_text: ClassVar[bool] = True

    @abstractmethod
    def recordings(self, root: Path, faults: Faults) -> list[Recording]:
        """List all recordings below `root`, in order; what is left out is added to `faults`."""

    def speakers(self, root: Path) -> dict[str, dict[str, str]]:
        """Return facts about speakers, by name: gender, age, accent, …; empty if none are known."""
        return {}

    def is_root(self, folder: Path) -> bool:
        """Return whether a folder is the root of such a corpus; by default every folder is."""
        return True

    def sentence(self, utterance: Utterance) -> str | None:
        """Return the number or name of the sentence, where the corpus has one for all speakers.

        Utterances with the same one are never on two sides of a split; None where none is known.
        """
        return None

    def find_root(self, folder: Path) -> Path | None:
        """Return the folder, or the only corpus of this kind below; None without any.

        An archive that was unpacked twice has it two levels down.

        Raises
        ------
        CorpusError
            Several such corpora are on one level.
        """
        if self.is_root(folder):
            return folder
        level = folders_in(folder)
        for _ in range(LEVELS):
            found = [path for path in level if self.is_root(path)]
            if len(found) > 1:
                raise CorpusError(
                    f"{folder}: {len(found)} corpora in it, of the kind {self.kind}: "
                    f"{', '.join(str(path.relative_to(folder)) for path in found[:4])}; prepare "
                    "them one by one, or give --corpus folder where these are the speakers"
                )
            if found or len(level) > MOST_FOLDERS:
                break
            level = [below for path in level for below in folders_in(path)]
        return found[0] if found else None


def folders_in(folder: Path) -> list[Path]:
    """List the folders in a folder that can be entered, sorted, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            paths = [folder / entry.name for entry in entries if entry.name[0] != "."]
    except OSError:  # reported when the files are listed
        return []
    return sorted(path for path in paths if path.is_dir() and os.access(path, os.R_OK | os.X_OK))
