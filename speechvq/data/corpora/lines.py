"""Text files of corpora: a file that cannot be read is a fault of the corpus, and stops nothing."""

from __future__ import annotations

import logging
from pathlib import Path

from speechvq.data.corpora.faults import Fault, Faults, reason
from speechvq.text import EncodingError, Text, decode

logger = logging.getLogger(__name__)

GUESSED = "in no UTF encoding, read as Windows-1252"


def read_file(path: Path) -> Text:
    """Read and decode a text file.

    Raises
    ------
    OSError
        The file cannot be read, or is no regular file.
    EncodingError
        The encoding cannot be known; the message has the path.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise OSError(f"{path}: not a file")
    try:
        return decode(path.read_bytes())
    except EncodingError as error:
        raise EncodingError(f"{path}: {error}") from error


def read_lines(path: Path, faults: Faults | None = None) -> list[str]:
    """Read the lines of a file that concerns many recordings; none if the file cannot be read.

    Without `faults` what is wrong is logged.
    """
    try:
        text = read_file(path)
    except (OSError, EncodingError) as error:
        fault = Fault("text file", "that cannot be read, skipped", reason(error), unusable=True)
        if faults is None:
            logger.error("%s", reason(error))
        else:
            faults.add(fault)
        return []
    if text.guessed and faults is not None:
        faults.add(Fault("text file", GUESSED, str(path)))
    return text.content.split("\n")
