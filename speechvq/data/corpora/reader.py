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

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from speechvq.data.corpora.faults import Faults
from speechvq.data.corpora.recording import Recording


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

    def find_root(self, folder: Path) -> Path | None:
        """Return the folder, or the only corpus of this kind one level down; None without any."""
        if self.is_root(folder):
            return folder
        inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and self.is_root(path)]
        return inside[0] if len(inside) == 1 else None
