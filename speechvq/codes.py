"""Files of codes: plain text, one utterance a line.

::

    # speechvq codes 1
    # codebook_size 128
    # hop_length 640
    # sample_rate 16000
    # model 595857f535cf
    p225_001<TAB>17 17 93 4 4 121
    p225_002<TAB>9 88

The header lines begin with ``#``; the first one states the format and version. `model` is the
fingerprint of the encoder and codebook that made the codes, `hop_length` is in samples per code,
`sample_rate` in Hz. Each further line is an utterance: the id, a tab, and the codes, which are
integers from 0 to codebook_size - 1, separated by blanks. The last line ends with a newline, too;
without it the file is refused as cut. Further lines that begin with ``#`` are comments. UTF-8.

A product code of several codebooks has a header line ``# codebooks 4``, and an integer of each
codebook, joined by colons, for each code: ``17:93:4:121``.

Shapes: N codes, G codebooks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechvq.audio import write_bytes
from speechvq.text import EncodingError, known

PIECE = 4096
"""Codes that are written as text at a time: as text they take a hundred times the memory."""
_FIRST = "# speechvq codes 1"
_LARGEST = 2**31 - 1
"""Of the numbers of a header, and so of a code."""


@dataclass(frozen=True)
class Codebook:
    """Header of a file of codes.

    Attributes
    ----------
    codebook_size : int
        K.
    hop_length : int
        Samples per code.
    sample_rate : int
        Hz.
    model : str
        `speechvq.model_folder.fingerprint` of the model, or the name of another origin.
    codebooks : int
        G.
    """

    codebook_size: int
    hop_length: int
    sample_rate: int
    model: str
    codebooks: int = 1

    @property
    def frame_rate(self) -> float:
        """Codes per second."""
        return self.sample_rate / self.hop_length

    def check_same(self, other: Codebook, where: str) -> None:
        """Raise ValueError if `other` differs; `where` names these codes in the message."""
        wanted = asdict(other)
        for key, value in asdict(self).items():
            if value != wanted[key]:
                raise ValueError(
                    f"{where}: made with {key} {value}, this model has {wanted[key]}; pass --model "
                    "with the model that made the codes, or encode again with this one"
                )


def header(codebook: Codebook) -> str:
    """Return the header lines of a file, with line ends."""
    values = asdict(codebook)
    if codebook.codebooks == 1:
        del values["codebooks"]
    return "".join([f"{_FIRST}\n", *(f"# {key} {value}\n" for key, value in values.items())])


def check_id(id: str) -> str:
    """Return the id of an utterance; ValueError if it is not allowed in a file of codes."""
    if (
        not id
        or id != id.strip()
        or id.startswith("#")
        or re.search(r"[\t\n\r\0\ud800-\udfff]", id)
    ):
        raise ValueError(
            f"utterance id {id!r}: must not be empty, begin with '#', begin or end with a blank, "
            "or hold tabs, line ends, zeros or what is no character; rename it"
        )
    return id


def check_speaker(name: str) -> str:
    """Return the name of a speaker; ValueError for one that could lead out of a folder."""
    if "/" in name or not name.isprintable():
        raise ValueError(
            f"speaker {name!r}: files are named after speakers; expected no '/' and no character "
            "that cannot be printed"
        )
    return name


def line(id: str, codes: np.ndarray) -> str:
    """Return the line of an utterance with codes (N,) or (N, G), with line end."""
    codes = np.asarray(codes)
    if not len(codes):
        raise ValueError(f"utterance {id!r}: no codes; leave it out")
    of_codebooks = codes.reshape(len(codes), -1)
    pieces = (of_codebooks[i : i + PIECE].tolist() for i in range(0, len(codes), PIECE))
    words = (" ".join(":".join(map(str, code)) for code in piece) for piece in pieces)
    return f"{check_id(id)}\t{' '.join(words)}\n"


def lines(codebook: Codebook, utterances: Iterable[tuple[str, np.ndarray]]) -> Iterator[str]:
    """Yield the text of a file piece by piece: the header, and the line of each utterance."""
    yield header(codebook)
    for id, codes in utterances:
        yield line(id, checked(id, codes, codebook))


def checked(id: str, codes: np.ndarray, codebook: Codebook) -> np.ndarray:
    """Codes (N,) or (N, G) of an utterance; ValueError for those that are not the codebook's."""
    codes, K, G = np.asarray(codes), codebook.codebook_size, codebook.codebooks
    if not are_codes(codes, G):
        raise ValueError(
            f"utterance {id!r}: expected codes of shape {shape_of_codes(G)}, integers; got "
            f"{codes.dtype} of shape {codes.shape}"
        )
    if codes.size and not 0 <= codes.min() <= codes.max() < K:
        raise ValueError(f"utterance {id!r}: codes must be 0 … {K - 1}")
    return codes


def are_codes(array: np.ndarray, codebooks: int) -> bool:
    """Whether an array has integers, and the shape of codes of so many codebooks."""
    of_code = () if codebooks == 1 else (codebooks,)
    return np.issubdtype(array.dtype, np.integer) and array.ndim > 0 and array.shape[1:] == of_code


def shape_of_codes(codebooks: int) -> str:
    """The shape of codes of so many codebooks, for a message."""
    return "(N,)" if codebooks == 1 else f"(N, {codebooks})"


def write_codes(
    path: str | os.PathLike[str],
    codebook: Codebook,
    utterances: Mapping[str, np.ndarray] | Iterable[tuple[str, np.ndarray]],
) -> None:
    """Write the codes (N,) or (N, G) of utterances by id; the file appears whole or not at all.

    Raises
    ------
    ValueError
        No utterances, an id twice or not allowed, or codes that are not the codebook's.
    """
    pairs = utterances.items() if isinstance(utterances, Mapping) else utterances
    write_bytes(path, (text.encode() for text in lines(codebook, _different(pairs))))


def _different(utterances: Iterable[tuple[str, np.ndarray]]) -> Iterator[tuple[str, np.ndarray]]:
    """The utterances; ValueError for an id that comes twice, or if there are none."""
    seen = set()
    for id, codes in utterances:
        if id in seen:
            raise ValueError(f"utterance {id!r}: is there twice; give each an id of its own")
        seen.add(id)
        yield id, codes
    if not seen:
        raise ValueError("no utterances to write")


def read_codes(path: str | os.PathLike[str]) -> tuple[Codebook, dict[str, np.ndarray]]:
    """Read a file of codes.

    Returns
    -------
    codebook : Codebook
        The header.
    utterances : dict of str to ndarray
        Codes (N,) int64 of each utterance, (N, G) of a product code, in the order of the file.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        The format is another one, or a line is invalid; the message begins with ``file:line``.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; speechvq-encode makes them") from None
    return decode_codes(content, str(path))


def decode_codes(content: bytes, where: str) -> tuple[Codebook, dict[str, np.ndarray]]:
    """Read the bytes of a file of codes; `where` is the name of the file in messages."""
    try:
        text = known(content)
    except EncodingError as error:
        raise ValueError(
            f"{where}: not UTF-8 text, as speechvq-encode writes it ({error})"
        ) from error
    return parse_codes(text, where)


def parse_codes(text: str, where: str) -> tuple[Codebook, dict[str, np.ndarray]]:
    """Parse the text of a file of codes, with newlines; `where` is its name in messages."""
    lines = text.split("\n")
    if lines[0] != _FIRST:
        got = "nothing" if not text.strip() else repr(lines[0][:40])
        raise ValueError(
            f"{where}:1: expected {_FIRST!r}, got {got}; not the output of speechvq-encode, "
            "or of another version"
        )
    n = 1
    fields: dict[str, str] = {}
    while n < len(lines) and lines[n].startswith("#"):
        key, _, value = lines[n][1:].strip().partition(" ")
        if key in fields:
            raise ValueError(f"{where}:{n + 1}: a second line '# {key} …'; encode again")
        fields[key] = value.strip()
        n += 1
    codebook = _codebook(fields, where)
    if lines[-1]:
        raise ValueError(
            f"{where}:{len(lines)}: ends within this line, so the file may have been cut; encode "
            "again, or end the line if it is whole"
        )
    utterances: dict[str, np.ndarray] = {}
    for number, entry in enumerate(lines[n:], n + 1):
        if not entry.strip() or entry.startswith("#"):
            continue
        id, tab, rest = entry.partition("\t")
        if not tab or not id:
            raise ValueError(
                f"{where}:{number}: expected an id, a tab and codes, got {entry[:40]!r}"
            )
        if id in utterances:
            raise ValueError(f"{where}:{number}: {id!r} is in the file twice; remove one line")
        try:
            check_id(id)
        except ValueError as error:
            raise ValueError(f"{where}:{number}: {error}") from error
        utterances[id] = _codes(rest, codebook, f"{where}:{number}")
    if not utterances:
        raise ValueError(f"{where}: no utterances in it; encode again")
    return codebook, utterances


def _codebook(fields: dict[str, str], where: str) -> Codebook:
    values: dict[str, Any] = {}
    fields = {"codebooks": "1", **fields}
    for key in ("codebook_size", "hop_length", "sample_rate", "model", "codebooks"):
        if not fields.get(key):
            raise ValueError(f"{where}: no line '# {key} …' in its header; encode again")
        if key == "model":
            values[key] = fields[key]
        elif 0 < (number := _whole(fields[key])) <= _LARGEST:
            values[key] = number
        else:
            raise ValueError(
                f"{where}: {key} must be a whole number from 1 to {_LARGEST}, got "
                f"{fields[key][:20]!r}"
            )
    return Codebook(**values)


def _whole(text: str) -> int:
    """A whole number; -1 for what is none, and `_LARGEST` + 1 for a larger one."""
    if not (text.isascii() and text.isdecimal()):
        return -1
    return min(int(text[:4000]), _LARGEST + 1)


def _codes(text: str, codebook: Codebook, where: str) -> np.ndarray:
    """Codes (N,), or (N, G) of a product code."""
    K, G = codebook.codebook_size, codebook.codebooks
    codes = []
    for word in text.split():
        code = word.split(":")
        if len(code) != G:
            raise ValueError(
                f"{where}: expected {G} number{'s' * (G > 1)} for each code, got {word[:20]!r}"
            )
        for number in code:
            value = _whole(number)
            if value < 0:
                raise ValueError(f"{where}: a code must be a whole number, got {number[:20]!r}")
            if value >= K:
                raise ValueError(f"{where}: code {number[:20]} is out of range 0 … {K - 1}")
            codes.append(value)
    if not codes:
        raise ValueError(f"{where}: no codes after the tab")
    found = np.array(codes, dtype=np.int64)
    return found if G == 1 else found.reshape(-1, G)
