"""The length of compressed audio, from its frames: FLAC, MPEG audio, Ogg."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

from speechvq.audio.errors import AudioError

MPEG_SLACK = 4608
"""Samples by which MPEG decoders and frames may differ: what encoders add at both ends."""


def id3_end(raw: BinaryIO) -> int:
    """Return the first byte after an ID3v2 tag at the beginning, 0 without a tag."""
    raw.seek(0)
    head = raw.read(10)
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    a, b, c, d = head[6:10]
    return 10 + (a << 21 | b << 14 | c << 7 | d) + 10 * (head[5] >> 4 & 1)


def _crc(value: int, polynomial: int, width: int) -> int:
    value <<= width
    for bit in range(width + 7, width - 1, -1):
        if value >> bit & 1:
            value ^= polynomial << (bit - width)
    return value


_CRC8 = [_crc(byte, 0x107, 8) for byte in range(256)]
_CRC16 = [_crc(byte, 0x18005, 16) for byte in range(256)]


def _crc16_fits(frame: bytes) -> bool:
    """Whether a frame, with its check sum, and nothing but zeros after it, is whole."""
    value = 0
    for byte in frame:
        value = (value << 8 & 0xFFFF) ^ _CRC16[value >> 8 ^ byte]
    return value == 0


class FlacEnd(NamedTuple):
    """The end of a FLAC file, by its last frames."""

    samples: int
    """Samples up to the end of the last whole frame."""
    end: int
    """Where this frame ends, in bytes."""
    block: int
    """Samples of a frame."""
    whole: bool
    """Whether no cut frame follows."""


def flac_end(raw: BinaryIO, size: int, stated: int, streaminfo: bytes) -> FlacEnd | None:
    """Find the last whole frame of a FLAC file; None if no frame is found.

    Parameters
    ----------
    raw, size
        The file, open for reading, and its bytes.
    stated
        Samples by the header; 0 for unknown.
    streaminfo
        The first 42 bytes of the stream.
    """
    block = struct.unpack(">H", streaminfo[10:12])[0]
    largest = int.from_bytes(streaminfo[15:18], "big")
    begin = max(0, size - max(2 * largest, 1 << 16))
    raw.seek(begin)
    tail = raw.read()
    if len(tail) > 128 and tail[-128:-125] == b"TAG":
        tail = tail[:-128]
    frames, at = [], len(tail)
    while (at := tail.rfind(b"\xff", 0, at)) >= 0:
        if (frame := _flac_frame(tail[at : at + 20], block)) is not None:
            frames.append((at, *frame))
            if stated and sum(frame) == stated and _crc16_fits(tail[at:]):
                return FlacEnd(stated, size, block, True)
    for at, first, count in frames:
        if _crc16_fits(tail[at:]):
            return FlacEnd(first + count, begin + len(tail), block, True)
    if frames:
        at, first, _ = frames[0]
        return FlacEnd(first, begin + at, block, False)
    return None


def _flac_frame(head: bytes, block: int) -> tuple[int, int] | None:
    """First sample and number of samples of a frame; None if these bytes begin no frame."""
    if len(head) < 6 or head[1] & 0xFE != 0xF8 or head[3] & 1:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    if size_code == 0 or rate_code == 15 or head[3] >> 4 > 10 or head[3] >> 1 & 7 == 3:
        return None
    ones = 8 - (head[4] ^ 0xFF).bit_length()  # as in UTF-8
    if ones in (1, 8):
        return None
    number = head[4] & (0x7F >> ones)
    at = 5
    for byte in head[5 : 4 + max(1, ones)]:
        if byte >> 6 != 2:
            return None
        number = number << 6 | byte & 0x3F
        at += 1
    if size_code in (6, 7):
        count = int.from_bytes(head[at : at + size_code - 5], "big") + 1
        at += size_code - 5
    else:
        count = 192 if size_code == 1 else (
            576 << (size_code - 2) if size_code < 6 else 256 << (size_code - 8)
        )  # fmt: skip
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if at >= len(head):
        return None
    value = 0
    for byte in head[:at]:
        value = _CRC8[value ^ byte]
    if value != head[at]:
        return None
    return (number if head[1] & 1 else number * block), count


_BITRATES = {  # kbit/s by version 1 or not, and layer
    (True, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_BITRATES[False, 3] = _BITRATES[False, 2]


def mpeg_frames(raw: BinaryIO, size: int) -> tuple[int, int, bytes, bool]:
    """Count the frames of an MPEG audio file.

    Returns
    -------
    begin : int
        First byte of the first frame of audio.
    samples : int
        Samples in all whole frames.
    head : bytes
        A frame without audio that states the number of frames, for a decoder to read first.
    cut : bool
        Whether the file ends within a frame.
    """
    position = id3_end(raw)
    begin, frames, count, first, in_step = position, 0, 0, b"", False
    with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while 0 <= position <= size - 4:
            found = _mpeg_frame(data[position : position + 4])
            if found is None or (
                not in_step
                and position + found[0] <= size - 4
                and _mpeg_frame(data[position + found[0] : position + found[0] + 4]) is None
            ):
                position = data.find(b"\xff", position + 1)
                in_step = False
                continue
            length, samples = found
            in_step = True
            if not frames:
                begin, first, count = position, data[position : position + 4], samples
                start = data[position : position + 64]
                if any(name in start for name in (b"Xing", b"Info", b"VBRI")):
                    position += length
                    begin = position
                    continue
            frames += position + length <= size
            position += length
    return begin, frames * count, _xing(first, frames, size - begin), position > size


def _mpeg_frame(head: bytes) -> tuple[int, int] | None:
    """Bytes and samples of a frame; None if these four bytes begin no frame."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3)
    rate_code, kilobits = head[2] >> 2 & 3, head[2] >> 4
    if version == 1 or layer == 4 or rate_code == 3 or kilobits in (0, 15):
        return None
    rate = (44100, 48000, 32000)[rate_code] >> {3: 0, 2: 1, 0: 2}[version]
    bits = 1000 * _BITRATES[version == 3, layer][kilobits - 1]
    padding = head[2] >> 1 & 1
    if layer == 1:
        return 4 * (12 * bits // rate + padding), 384
    samples = 576 if layer == 3 and version != 3 else 1152
    return samples // 8 * bits // rate + padding, samples


def _xing(first: bytes, frames: int, size: int) -> bytes:
    """Return a frame like that with the header `first` which states a number of frames."""
    if not first or 4 - (first[1] >> 1 & 3) != 3:
        return b""
    version1, mono = first[1] >> 3 & 3 == 3, first[3] >> 6 == 3
    side = (17 if mono else 32) if version1 else (9 if mono else 17)
    for code in range(1, 15):  # the smallest frame with room for it
        head = bytes([first[0], first[1] | 1, code << 4 | first[2] & 0x0C, first[3]])
        frame = _mpeg_frame(head)
        if frame is not None and (length := frame[0]) >= 4 + side + 16:
            tag = struct.pack(">4sIII", b"Xing", 3, frames, size & 0xFFFFFFFF)
            return (head + bytes(side) + tag).ljust(length, b"\0")
    return b""


def check_ogg(path: Path, raw: BinaryIO, size: int) -> None:
    """Raise for an Ogg file that ends within a page, or holds several streams after each other.

    libsndfile drops the page, and all streams but the first.
    """
    tail, page = _last_page(raw, size)
    complete = False
    if page >= 0 and page + 27 <= len(tail):
        body = page + 27 + tail[page + 26]
        complete = body <= len(tail) and body + sum(tail[page + 27 : body]) <= len(tail)
    if not complete:
        raise AudioError(f"{path}: truncated, the last page is incomplete")
    position, began = 0, False
    with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
        while position + 27 <= size and data[position : position + 4] == b"OggS":
            first = bool(data[position + 5] & 2)
            if first and began:
                raise AudioError(
                    f"{path}: several streams after each other, of which only the first could be "
                    "read; convert the file to WAV or FLAC, for example with ffmpeg"
                )
            began = began or not first
            lengths = data[position + 27 : position + 27 + data[position + 26]]
            position += 27 + len(lengths) + sum(lengths)


def ogg_is_ended(raw: BinaryIO, size: int) -> bool:
    """Whether the last page of an Ogg file is marked as the last of its stream."""
    tail, page = _last_page(raw, size)
    return bool(tail[page + 5] & 4)


def _last_page(raw: BinaryIO, size: int) -> tuple[bytes, int]:
    """Return the end of an Ogg file, and where its last page begins there."""
    raw.seek(max(0, size - (1 << 16) - 512))  # more than the longest page
    tail = raw.read()
    return tail, tail.rfind(b"OggS")
