"""One recording of a corpus, as a corpus reader finds it in the directory tree."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Recording:
    """An audio file with speaker, text and label files, before the audio is read.

    Attributes
    ----------
    id : str
        Id of the utterance, unique in the corpus.
    speaker : str
        Name of the speaker.
    path : Path
        The audio file.
    text : str, optional
        The transcript, where the corpus lists transcripts in one file.
    text_path : Path, optional
        The file of the transcript, where the corpus has a text file for each recording.
    times_in_text : bool
        Whether the file of the transcript begins with two sample counts, as TIMIT's do.
    label_path : Path, optional
        A phone label file beside the audio.
    label_names : tuple of str
        Possible names of the label file in a separate folder, without suffix, most specific first.
    header : tuple of float and int, optional
        Duration in seconds and sample rate in Hz, where the reader of the corpus knows them.
    """

    id: str
    speaker: str
    path: Path
    text: str | None = None
    text_path: Path | None = None
    label_path: Path | None = None
    label_names: tuple[str, ...] = ()
    times_in_text: bool = False
    header: tuple[float, int] | None = None
