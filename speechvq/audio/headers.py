"""Where a header says that the samples of a file are: WAV, W64, AIFF, AU, CAF and SPHERE."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

_STREAMED = 0x7FFF0000
"""A 32-bit size of at least this, beyond the end of the file, means that a pipe knew no size."""
_STREAMED_64 = 1 << 60
"""The same for 64-bit sizes."""


class ChunkForm(NamedTuple):
    """How chunks are written."""

    header: str
    """Struct of name and length."""
    counted: int = 0
    """Bytes of the header that are counted in the length."""
    aligned: int = 2
    """Chunks begin at multiples of this, counted from the first."""


_RIFF, _IFF, W64, _CAF = (
    ChunkForm("<4sI"),
    ChunkForm(">4sI"),
    ChunkForm("<16sq", 24, 8),
    ChunkForm(">4sq", 0, 1),
)


@dataclass(frozen=True)
class Samples:
    """Where a header says that the samples are."""

    begin: int
    """First byte of the samples."""
    stated: int | None
    """Bytes of samples; None if the header leaves that open."""
    head: bytes
    """The header, up to the samples."""
    patch: tuple[int, str, int] | None
    """Offset and form of the size in the header, and what the size has beyond the samples."""
    frame: int = 1
    """Bytes of a sample of all channels, or 1 if they vary."""
    form: ChunkForm | None = None
    """The chunks that may follow; None if none may."""
    repaired: bool = False
    """Whether `head` differs from the file's header already."""


def chunks(
    raw: BinaryIO, position: int, size: int, form: ChunkForm
) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield name, begin, length and padded end of chunks, as long as their names are names."""
    header = struct.calcsize(form.header)
    while position + header <= size:
        name, length = struct.unpack(form.header, read_bytes(raw, position, position + header))
        if not re.fullmatch(rb"[ -~]{4}", name[:4]):
            return
        begin = position + header
        yield name[:4], begin, length, begin + length - form.counted
        if length < form.counted:
            return
        position += header - form.counted + length
        position += -length % form.aligned


def located(raw: BinaryIO, head: bytes, size: int) -> Samples | None:
    """Find the samples by the header; None for a container that is not known."""
    for magic, locate in _LOCATORS.items():
        if re.match(magic, head, re.DOTALL):
            try:
                return locate(raw, size)
            except (struct.error, ValueError, IndexError, TypeError):
                return None  # a damaged header is left to libsndfile
    return None


def read_bytes(raw: BinaryIO, begin: int, end: int) -> bytes:
    """The bytes that there are from `begin` to `end`; a header may state any."""
    end = min(end, raw.seek(0, os.SEEK_END))
    raw.seek(begin)
    return raw.read(max(0, end - begin))


def _riff(raw: BinaryIO, size: int) -> Samples | None:
    """RIFF, RIFX, RF64 and BW64."""
    magic = read_bytes(raw, 0, 4)
    order = ">" if magic == b"RIFX" else "<"
    head, position, repaired = read_bytes(raw, 0, 12), 12, False
    large, ds64, frame = None, 0, 1
    while position + 8 <= size:
        header = read_bytes(raw, position, position + 8)
        name, length = struct.unpack(order + "4sI", header)
        begin = position + 8
        if name == b"data":
            at = len(head) + 4
            head += header
            patch = (at, order + "I", 0)
            if magic in (b"RF64", b"BW64") and length == 0xFFFFFFFF and large is not None:
                length, patch = large, (ds64, order + "Q", 0)
            elif length >= _STREAMED and begin + length > size:
                length = None
            if length is not None and length >= _STREAMED_64:
                length = None
            form = _RIFF if order == "<" else _IFF
            return Samples(begin, length, head, patch, frame, form, repaired)
        if name == b"fmt ":
            frame = max(1, struct.unpack(order + "H", read_bytes(raw, begin + 12, begin + 14))[0])
        if name == b"ds64":
            ds64 = len(head) + 16
            large = struct.unpack("<Q", read_bytes(raw, begin + 8, begin + 16))[0]
        position = begin + length
        head += header + read_bytes(raw, begin, position)
        if length % 2:
            unpadded, padded = (read_bytes(raw, position + i, position + i + 4) for i in (0, 1))
            is_name = re.compile(rb"[ -~]{4}")
            if is_name.fullmatch(unpadded) and not is_name.fullmatch(padded):
                repaired = True
            else:
                position += 1
            head += b"\0"
    return None


def _w64(raw: BinaryIO, size: int) -> Samples | None:
    """Sony Wave64."""
    frame = 1
    for name, begin, length, _ in chunks(raw, 40, size, W64):
        if name == b"fmt ":
            frame = struct.unpack("<H", read_bytes(raw, begin + 12, begin + 14))[0]
        if name == b"data":
            stated = None if length < 0 or length >= _STREAMED_64 else max(0, length - 24)
            patch = (begin - 8, "<q", 24)
            return Samples(begin, stated, read_bytes(raw, 0, begin), patch, max(1, frame), W64)
    return None


def _aiff(raw: BinaryIO, size: int) -> Samples | None:
    frame = 1
    for name, begin, length, _ in chunks(raw, 12, size, _IFF):
        if name == b"COMM":
            channels, _, bits = struct.unpack(">hIh", read_bytes(raw, begin, begin + 8))
            kind = read_bytes(raw, begin + 18, begin + 22) if length >= 22 else b"NONE"
            if kind.lower() in (b"none", b"sowt", b"twos", b"fl32", b"fl64", b"in24", b"in32"):
                frame = channels * -(-bits // 8)
        if name == b"SSND":
            offset = struct.unpack(">I", read_bytes(raw, begin, begin + 4))[0]
            first = begin + 8 + offset
            stated = None
            if length < _STREAMED or begin + length <= size:
                stated = max(0, length - 8 - offset)
            patch = (begin - 4, ">I", 8 + offset)
            return Samples(first, stated, read_bytes(raw, 0, first), patch, max(1, frame), _IFF)
    return None


def _au(raw: BinaryIO, size: int) -> Samples | None:
    order = ">" if read_bytes(raw, 0, 4) == b".snd" else "<"
    begin, length, coding, _, channels = struct.unpack(order + "5I", read_bytes(raw, 4, 24))
    if begin < 24:  # within the header
        return None
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(coding)
    stated = None if length >= _STREAMED and begin + length > size else length
    frame = 1 if width is None else max(1, width * channels)
    return Samples(begin, stated, read_bytes(raw, 0, begin), (8, order + "I", 0), frame)


def _caf(raw: BinaryIO, size: int) -> Samples | None:
    frame = 1
    for name, begin, length, _ in chunks(raw, 8, size, _CAF):
        if name == b"desc":
            frame = struct.unpack(">I", read_bytes(raw, begin + 16, begin + 20))[0]
        if name == b"data":
            stated = None if length < 0 or length >= _STREAMED_64 else max(0, length - 4)
            first = begin + 4  # after the edit count
            patch = (begin - 8, ">q", 4)
            return Samples(first, stated, read_bytes(raw, 0, first), patch, max(1, frame), _CAF)
    return None


def _sphere(raw: BinaryIO, size: int) -> Samples | None:
    """NIST SPHERE; libsndfile takes the length from the file already, so nothing is patched."""
    begin = int(read_bytes(raw, 8, 16))
    text = read_bytes(raw, 0, begin)
    if begin < 16 or b"shorten" in text:
        return None

    def value(name: bytes) -> int | None:
        found = re.search(rb"^" + name + rb" -i (\d+)", text, re.MULTILINE)
        return None if found is None else int(found[1])

    # Some writers state 2 bytes for companded samples, too
    companded = re.search(rb"^sample_coding -s\d+ (ulaw|mu-law|alaw)", text, re.MULTILINE)
    width = 1 if companded else value(b"sample_n_bytes") or 2
    frame = (value(b"channel_count") or 1) * width
    count = value(b"sample_count")
    return Samples(begin, None if count is None else count * frame, text, None, frame)


_LOCATORS: dict[bytes, Callable[[BinaryIO, int], Samples | None]] = {
    rb"(RIFF|RIFX|RF64|BW64)....WAVE": _riff,
    rb"riff\x2e\x91\xcf\x11": _w64,
    rb"FORM....AIF[FC]": _aiff,
    rb"\.snd|dns\.": _au,
    rb"caff": _caf,
    rb"NIST_1A\n": _sphere,
}
