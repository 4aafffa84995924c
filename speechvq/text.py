"""Text files in the encodings that corpora and editors use: one decoder for all that is read.

A byte-order mark decides: UTF-8, UTF-16 or UTF-32. Without one a file is UTF-8. What is neither
may be Western European text in Windows-1252, which is decoded as a guess where the result looks
like text. Everything else is an error: there is no way to know.
"""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass
from pathlib import Path

MARKS = (  # UTF-32 first: the mark of UTF-16 LE is its beginning
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
GUESS = "cp1252"
MOST_OUTSIDE_ASCII = 1 / 3
"""Largest part of the characters outside ASCII that is plausible in Windows-1252."""


class EncodingError(ValueError):
    """A file is no text in an encoding that can be known; the message has no path."""


@dataclass(frozen=True)
class Text:
    """Content of a text file, without byte-order mark, lines ended by newlines.

    `guessed` is true for Windows-1252.
    """

    content: str
    guessed: bool = False


def decode(content: bytes) -> Text:
    """Decode the bytes of a text file; `EncodingError` where the encoding cannot be known."""
    for mark, encoding in MARKS:
        if content.startswith(mark):
            try:
                return Text(_lines(content[len(mark) :].decode(encoding)))
            except UnicodeDecodeError as error:
                raise EncodingError(
                    f"a byte-order mark of {encoding.upper()} and no {encoding.upper()} after it; "
                    "save the file as UTF-8"
                ) from error
    if content.count(0) > len(content) / 8:
        raise EncodingError(
            "not text, or UTF-16 or UTF-32 without a byte-order mark; save the file as UTF-8"
        )
    try:
        return Text(_lines(content.decode()))
    except UnicodeDecodeError as error:
        try:
            text = content.decode(GUESS)
        except UnicodeDecodeError:
            text = ""
        if _is_plausible(text):
            return Text(_lines(text), guessed=True)
        raise EncodingError(
            "neither UTF-8 nor UTF-16 with a byte-order mark; save the file as UTF-8"
        ) from error


def read_text(path: str | os.PathLike[str]) -> str:
    """Read a text file that must not be guessed; OSError, and the errors of `known`."""
    return known(Path(path).read_bytes())


def known(content: bytes) -> str:
    """Decode the bytes of a text file that must not be guessed.

    Raises
    ------
    EncodingError
        It is not text in UTF-8, or in UTF-16 or UTF-32 with a byte-order mark.
    """
    text = decode(content)
    if text.guessed:
        raise EncodingError(
            "neither UTF-8 nor UTF-16 with a byte-order mark; save the file as UTF-8"
        )
    return text.content


def _lines(text: str) -> str:
    """Make every line end a newline, as text files opened by Python have them."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_plausible(text: str) -> bool:
    """Return whether text looks like Western European: mostly ASCII, capitals at beginnings."""
    shown = [character for character in text if not character.isspace()]
    outside = sum(character > "\x7f" for character in shown)
    if not shown or outside > MOST_OUTSIDE_ASCII * len(shown):
        return False
    if any(ord(character) < 32 for character in shown):
        return False
    pairs = zip(text, text[1:], strict=False)
    return not any(a.islower() and b.isupper() and b > "\x7f" for a, b in pairs)
