"""Counting what is wrong with a corpus, to say it once a kind and not once a file."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fault:
    """One thing wrong with one file or utterance.

    Attributes
    ----------
    noun
        What it befell: "file", "utterance", "text".
    what
        The kind, to follow the noun: "without text, kept".
    example
        The name to give when it is the first of its kind, perhaps with the reason.
    speaker
        Whose it is, where that is known.
    """

    noun: str
    what: str
    example: str
    speaker: str | None = None


@dataclass
class Faults:
    """Faults met so far, in the order in which their kinds appeared."""

    met: dict[tuple[str, str], list[Fault]] = field(default_factory=dict)

    def add(self, fault: Fault) -> None:
        """Count one."""
        self.met.setdefault((fault.noun, fault.what), []).append(fault)

    def lines(self) -> list[str]:
        """One line a kind: how many, of which speakers, and the first."""
        return [_line(faults) for faults in self.met.values()]

    def warn(self) -> None:
        """Log the lines as warnings."""
        for line in self.lines():
            logger.warning("%s", line)


def _line(faults: list[Fault]) -> str:
    first, count = faults[0], len(faults)
    speakers = sorted({fault.speaker for fault in faults if fault.speaker is not None})
    of = ""
    if len(speakers) > 4:
        of = f" of {len(speakers)} speakers"
    elif speakers:
        of = f" of {', '.join(speakers)}"
    example = f"the first: {first.example}" if count > 1 else first.example
    return f"{count} {first.noun}{'s' if count > 1 else ''}{of} {first.what} ({example})"
