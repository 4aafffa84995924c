"""Praat's TextGrids: read in the long, short and chronological text formats and the binary one.

They are written in the long one. Text is read as Praat does: strings in quotes, flags in angle
brackets and numbers that begin a word are values, everything else is a comment.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from speechvq.data.manifest import CorpusError
from speechvq.text import EncodingError, decode

CHRONOLOGICAL = "Praat chronological TextGrid text file"
UNKNOWN = "\ufffd"
"""Stands for a letter of an encoding that is not known."""
_BINARY = b"ooBinaryFile"
_VALUE = re.compile(
    r'"(?P<string>(?:[^"]|"")*)"|!.*|<(?P<flag>\w+)>'
    r"|(?<!\S)(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
)


@dataclass
class Tier:
    """A tier: its name, its (start, end, label) in seconds; points have none."""

    name: str
    is_interval: bool
    intervals: list[tuple[float, float, str]] = field(default_factory=list)


def read_textgrid(path: Path) -> list[Tier]:
    """Read all tiers of a TextGrid; CorpusError if it is none or ends too early."""
    content = path.read_bytes()
    try:
        if content.startswith(_BINARY):
            values: _Values = _Binary(content)
        else:
            text = decode(content)
            # Only the letters outside ASCII are a guess: a tier without any can be used
            plain = re.sub(r"[^\x00-\x7f]", UNKNOWN, text.content) if text.guessed else text.content
            values = _Values(plain)
        return values.tiers()
    except EncodingError as error:
        raise CorpusError(f"{path}:1: not a TextGrid ({error})") from error
    except (LookupError, struct.error, StopIteration, ArithmeticError, ValueError) as error:
        raise CorpusError(
            f"{path}:1: not a TextGrid that can be read; it ends too early, or a number is none"
        ) from error


class _Values:
    """Values of a text file, in order."""

    def __init__(self, text: str) -> None:
        self._values: Iterator[str | float] = _values(text)

    def string(self) -> str:
        value = next(self._values)
        if not isinstance(value, str):
            raise ValueError(value)
        return value

    def number(self) -> float:
        value = next(self._values)
        if not isinstance(value, float):
            raise ValueError(value)
        return value

    def tiers(self) -> list[Tier]:
        kind = self.string()
        if kind == CHRONOLOGICAL:
            return self._by_time()
        if kind != "ooTextFile" or not self.string().startswith("TextGrid"):
            raise ValueError(kind)
        self.number(), self.number()
        if self.string() != "<exists>":
            return []
        return [self._tier() for _ in range(int(self.number()))]

    def _heading(self) -> Tier:
        kind = self.string()
        tier = Tier(self.string(), kind == "IntervalTier")
        self.number(), self.number()
        return tier

    def _tier(self) -> Tier:
        tier = self._heading()
        for _ in range(int(self.number())):
            self._entry(tier)
        return tier

    def _entry(self, tier: Tier) -> None:
        start = self.number()
        end = self.number() if tier.is_interval else start
        tier.intervals.append((start, end, self.string().strip()))

    def _by_time(self) -> list[Tier]:
        self.number(), self.number()
        tiers = [self._heading() for _ in range(int(self.number()))]
        for number in self._values:
            if not isinstance(number, float) or not 1 <= number <= len(tiers):
                raise ValueError(number)
            self._entry(tiers[int(number) - 1])
        return tiers


def _values(text: str) -> Iterator[str | float]:
    for match in _VALUE.finditer(text):
        if match["string"] is not None:
            yield match["string"].replace('""', '"')
        elif match["flag"]:
            yield f"<{match['flag']}>"
        elif match["number"]:
            yield float(match["number"])


class _Binary(_Values):
    """Values of a binary file; numbers are big-endian."""

    def __init__(self, content: bytes) -> None:
        self._content, self._position = content, len(_BINARY)

    def _unpack(self, form: str) -> float:
        (value,) = struct.unpack_from(form, self._content, self._position)
        self._position += struct.calcsize(form)
        return value

    def _bytes(self, count: int) -> bytes:
        self._position += count
        if self._position > len(self._content):
            raise ValueError(count)
        return self._content[self._position - count : self._position]

    def number(self) -> float:
        return self._unpack(">d")

    def short_string(self) -> str:
        return self._bytes(int(self._unpack("B"))).decode("ascii")

    def string(self) -> str:
        length = int(self._unpack(">H"))
        if length == 0xFFFF:
            return self._bytes(2 * int(self._unpack(">H"))).decode("utf-16-be")
        return self._bytes(length).decode("latin-1")

    def tiers(self) -> list[Tier]:
        if not self.short_string().startswith("TextGrid"):
            raise ValueError("class")
        self.number(), self.number()
        if not self._unpack("B"):
            return []
        tiers = []
        for _ in range(int(self._unpack(">i"))):
            kind = self.short_string()
            tiers.append(Tier(self.string(), kind.startswith("IntervalTier")))
            self.number(), self.number()
            for _ in range(int(self._unpack(">i"))):
                self._entry(tiers[-1])
        return tiers


def textgrid(tiers: Sequence[Tier], end: float) -> str:
    """Text of a TextGrid of interval tiers from 0 to `end` seconds, in Praat's long format.

    Praat wants intervals that follow each other: a time without one gets an empty label. What is
    beyond `end` is cut off.
    """
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end!r}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for number, tier in enumerate(tiers, 1):
        intervals = list(_without_gaps(tier.intervals, end))
        lines += [
            f"    item [{number}]:",
            '        class = "IntervalTier"',
            f"        name = {_quoted(tier.name)}",
            "        xmin = 0",
            f"        xmax = {end!r}",
            f"        intervals: size = {len(intervals)}",
        ]
        for place, (start, stop, label) in enumerate(intervals, 1):
            lines += [
                f"        intervals [{place}]:",
                f"            xmin = {start!r}",
                f"            xmax = {stop!r}",
                f"            text = {_quoted(label)}",
            ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _without_gaps(
    intervals: Iterable[tuple[float, float, str]], end: float
) -> Iterator[tuple[float, float, str]]:
    at = 0.0
    for start, stop, label in [*intervals, (end, end, "")]:
        start, stop = min(start, end), min(stop, end)
        if start > at:
            yield at, start, ""
            at = start
        if stop > start:
            yield start, stop, label
            at = stop
