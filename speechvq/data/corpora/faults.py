"""Faults of a corpus, counted so that each kind is logged once and not once a file."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one file or utterance.

    Attributes
    ----------
    noun : str
        The faulty thing: "file", "utterance", "text".
    what : str
        Kind of fault, worded to follow the noun: "without text, kept".
    example : str
        Name of the faulty thing, with a reason if there is one; shown for the first of a kind.
    speaker : str, optional
        Name of the speaker, where known.
    unusable : bool
        Whether something is there that cannot be read, entered, decoded or named: an error, where
        other faults are warnings.
    """

    noun: str
    what: str
    example: str
    speaker: str | None = None
    unusable: bool = False


def reason(error: Exception) -> str:
    """Return the message of an error, for one of the system with the path first."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


@dataclass
class Faults:
    """Faults found so far, by kind, in the order in which the kinds were found first."""

    by_kind: dict[tuple[str, str], list[Fault]] = field(default_factory=dict)

    def add(self, *faults: Fault) -> None:
        """Count faults."""
        for fault in faults:
            self.by_kind.setdefault((fault.noun, fault.what), []).append(fault)

    def report(self, line: str) -> None:
        """Count a file or folder that cannot be read, entered or named."""
        self.add(Fault("path", "that cannot be used, skipped", line, unusable=True))

    def lines(self) -> list[str]:
        """Describe each kind of fault in one line: count, speakers, first example."""
        return [_line(faults) for faults in self.by_kind.values()]

    def warn(self) -> None:
        """Log the lines as warnings, or as errors for what cannot be used."""
        for faults in self.by_kind.values():
            level = logging.ERROR if faults[0].unusable else logging.WARNING
            logger.log(level, "%s", _line(faults))


def _line(faults: list[Fault]) -> str:
    first, count = faults[0], len(faults)
    speakers = sorted({fault.speaker for fault in faults if fault.speaker is not None})
    who = ""
    if len(speakers) > 4:
        who = f" of {len(speakers)} speakers"
    elif speakers:
        who = f" of {', '.join(speakers)}"
    example = f"the first: {first.example}" if count > 1 else first.example
    return f"{count} {first.noun}{'s' if count > 1 else ''}{who} {first.what} ({example})"
