"""Corpora: a directory tree becomes a list of utterances.

A `CorpusReader` finds the recordings in the directory tree of one kind of corpus; `read_corpus`
looks at the audio, the texts and the phone labels, which is the same for all kinds.
"""

from __future__ import annotations

import os

from speechvq.data.corpora.arctic import Arctic
from speechvq.data.corpora.esd import ESD
from speechvq.data.corpora.faults import Fault, Faults
from speechvq.data.corpora.folder import Folder
from speechvq.data.corpora.librispeech import LibriSpeech
from speechvq.data.corpora.libritts import LibriTTS
from speechvq.data.corpora.read import corpus_root, existing_folder, read_corpus
from speechvq.data.corpora.reader import CorpusReader
from speechvq.data.corpora.recording import Recording
from speechvq.data.corpora.speechocean762 import SpeechOcean762
from speechvq.data.corpora.timit import TIMIT
from speechvq.data.corpora.vctk import VCTK
from speechvq.data.manifest import CorpusError

__all__ = [
    "ESD",
    "READERS",
    "TIMIT",
    "VCTK",
    "Arctic",
    "CorpusReader",
    "Fault",
    "Faults",
    "Folder",
    "LibriSpeech",
    "LibriTTS",
    "Recording",
    "SpeechOcean762",
    "corpus_root",
    "detect",
    "read_corpus",
]

READERS: dict[str, type[CorpusReader]] = {
    reader.kind: reader
    for reader in (VCTK, LibriSpeech, LibriTTS, TIMIT, Arctic, ESD, SpeechOcean762, Folder)
}
"""Readers by kind of corpus, in the order in which `detect` tries them."""


def detect(root: str | os.PathLike[str]) -> str:
    """Return the kind of a corpus, a key of `READERS`, by its directory tree.

    Raises
    ------
    FileNotFoundError, CorpusError
        The folder does not exist, or no reader knows its layout.
    """
    folder = existing_folder(root)
    for kind, reader in READERS.items():
        if reader().find_root(folder) is not None:
            return kind
    layouts = "; ".join(f"{kind}: {reader.layout}" for kind, reader in READERS.items())
    raise CorpusError(f"{folder}: no corpus in it; expected {layouts}")
