"""What an audio file really holds, whatever its header states.

Headers are wrong where a recorder was killed, a pipe could not seek back, or a file grew beyond the
size of its fields. libsndfile believes some of these headers and silently corrects others. Here the
header is compared with the file: `examine` finds the samples that are there, and a `Patched` file
shows libsndfile these samples under a header that states them.

Covered: WAV (RIFF, RIFX, RF64, BW64), W64, AIFF and AIFC, AU, CAF, SPHERE, FLAC, MPEG audio, Ogg.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from speechvq.audio import compressed
from speechvq.audio.errors import AudioError

_STREAMED = 0x7FFF0000
"""A 32-bit size of at least this, beyond the end of the file, means that a pipe knew no size."""
_STREAMED_64 = 1 << 60
"""The same for 64-bit sizes."""


_HEADER = 64
"""Some writers count the header as samples: bytes that may be missing without being missed."""


@dataclass(frozen=True)
class Finding:
    """How a file is to be read where its header is wrong."""

    warning: str
    """What is wrong, and what is read; without the path. Empty if all samples are read."""
    head: bytes = b""
    """Header that replaces that of the file; empty if the file is to be read as it is."""
    begin: int = 0
    """First byte of the file after the header."""
    end: int = 0
    """End of the samples in the file, in bytes."""


class Patched(io.RawIOBase):
    """A file as libsndfile is to see it: another header, then bytes `begin` to `end` of the file.

    Parameters
    ----------
    raw
        The file, open for reading.
    finding
        Header, begin and end.
    """

    def __init__(self, raw: BinaryIO, finding: Finding):
        self._raw, self._finding = raw, finding
        self._at = 0
        self._size = len(finding.head) + finding.end - finding.begin

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset, from the beginning, the position or the end."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def readinto(self, buffer) -> int:
        """Fill the buffer as far as there are bytes; return the number of bytes."""
        head, begin = self._finding.head, self._finding.begin
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self._size - self._at))
        done = 0
        if self._at < len(head):
            piece = head[self._at : self._at + wanted]
            view[: len(piece)] = piece
            done = len(piece)
        if done < wanted:
            self._raw.seek(begin + self._at + done - len(head))
            piece = self._raw.read(wanted - done)
            view[done : done + len(piece)] = piece
            done += len(piece)
        self._at += done
        return done


def examine(path: Path, raw: BinaryIO, size: int) -> Finding | None:
    """Compare the header of a file with what the file holds.

    Parameters
    ----------
    path
        Path of the file, for messages.
    raw
        The file, open for reading.
    size
        Bytes in the file.

    Returns
    -------
    Finding or None
        None if the header is right, or the container is not known here.

    Raises
    ------
    AudioError
        The file is truncated: more is missing than a header's length.
    """
    start = compressed.id3_end(raw)
    raw.seek(start)
    head = raw.read(16)
    if head[:4] == b"fLaC":
        return _flac(path, raw, start, size)
    if head[:4] == b"OggS":
        compressed.check_ogg(path, raw, size)
        if not compressed.ogg_is_ended(raw, size):
            return Finding("the Ogg stream is not ended; what is there is read")
        return None
    samples = _located(raw, head, size)
    return None if samples is None else _compared(path, raw, samples, size)


def mpeg_finding(raw: BinaryIO, size: int, stated: int) -> Finding | None:
    """Compare the length in samples that a decoder takes an MPEG file for with the file's frames.

    None unless the decoder would leave audio out, or the last frame is cut. A decoder estimates the
    length of a file whose header states none.
    """
    begin, samples, head, cut = compressed.mpeg_frames(raw, size)
    if samples <= stated + compressed.MPEG_SLACK:
        return Finding("the last frame is cut and left out") if cut else None
    warning = f"{samples} samples are there and {stated} were to be expected by the header; all "
    return Finding(warning + "are read", head, begin, size)


class _ChunkForm(NamedTuple):
    """How chunks are written."""

    header: str
    """Struct of name and length."""
    counted: int = 0
    """Bytes of the header that are counted in the length."""
    aligned: int = 2
    """Chunks begin at multiples of this, counted from the first."""


_RIFF, _IFF, _W64, _CAF = (
    _ChunkForm("<4sI"),
    _ChunkForm(">4sI"),
    _ChunkForm("<16sq", 24, 8),
    _ChunkForm(">4sq", 0, 1),
)


@dataclass(frozen=True)
class _Samples:
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
    form: _ChunkForm | None = None
    """The chunks that may follow; None if none may."""
    repaired: bool = False
    """Whether `head` differs from the file's header already."""


def _compared(path: Path, raw: BinaryIO, samples: _Samples, size: int) -> Finding | None:
    """Compare the size that a header states with that of the file."""
    held, stated = size - samples.begin, samples.stated
    warning = None
    length = held
    if stated is None:
        warning = "the header states no length; the file is read to its end"
    elif stated > held:
        if held < samples.frame or stated - held > max(samples.begin, _HEADER, samples.frame):
            raise AudioError(
                f"{path}: truncated, the header states {stated} bytes of audio "
                f"and the file has {held}"
            )
        warning = (
            f"the header states {stated} bytes of audio and the file has {held}; these are read"
        )
    elif _follows(raw, samples, size):
        length = stated
    else:
        warning = (
            f"the header states {stated} bytes of audio and {held - stated} more follow; "
            "the file is read to its end"
        )
    # libsndfile reads a W64 or SPHERE file to its end, whatever follows the samples
    reads_on = length < held and (samples.patch is None or samples.form is _W64)
    if warning is None and not samples.repaired:
        if not reads_on:
            return None
        warning = ""
    length -= length % samples.frame
    head = bytearray(samples.head)
    if samples.patch is not None:
        at, form, beyond = samples.patch
        most = (1 << 8 * struct.calcsize(form) - form[-1].islower()) - 1
        struct.pack_into(form, head, at, min(length + beyond, most))
    if warning is None:
        warning = "a chunk of odd length lacks its pad byte"
    return Finding(warning, bytes(head), samples.begin, samples.begin + length)


_KNOWN = re.compile(
    rb"LIST|list|ID3 |id3 |bext|cue |smpl|fact|JUNK|junk|PAD |PEAK|iXML|_PMX|axml|acid|inst"
    rb"|MARK|COMT|COMM|NAME|AUTH|ANNO|INST|APPL|\(c\) |info|mark"
)
"""Names of chunks that follow samples."""


def _follows(raw: BinaryIO, samples: _Samples, size: int) -> bool:
    """Whether nothing but chunks, a tag or a pad byte follows the samples that are stated."""
    position = samples.begin + samples.stated
    rest = size - position
    if rest <= min(1, samples.stated):
        return True
    raw.seek(position)
    start = raw.read(9)
    if rest == 128 and start.startswith(b"TAG"):
        return True
    if samples.form is None:
        return False
    if any(_KNOWN.match(start, skipped) for skipped in (0, 1)):
        return True
    for skipped in {0, -samples.stated % samples.form.aligned}:
        ends = [end for *_, end in _chunks(raw, position + skipped, size, samples.form)]
        if ends and size <= ends[-1] < size + samples.form.aligned:
            return True
    return False


def _chunks(
    raw: BinaryIO, position: int, size: int, form: _ChunkForm
) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield name, begin, length and padded end of chunks, as long as their names are names."""
    header = struct.calcsize(form.header)
    while position + header <= size:
        name, length = struct.unpack(form.header, _bytes(raw, position, position + header))
        if not re.fullmatch(rb"[ -~]{4}", name[:4]):
            return
        begin = position + header
        yield name[:4], begin, length, begin + length - form.counted
        if length < form.counted:
            return
        position += header - form.counted + length
        position += -length % form.aligned


def _located(raw: BinaryIO, head: bytes, size: int) -> _Samples | None:
    """Find the samples by the header; None for a container that is not known."""
    for magic, locate in _LOCATORS.items():
        if re.match(magic, head, re.DOTALL):
            try:
                return locate(raw, size)
            except (struct.error, ValueError, IndexError, TypeError):
                return None  # a damaged header is left to libsndfile
    return None


def _bytes(raw: BinaryIO, begin: int, end: int) -> bytes:
    raw.seek(begin)
    return raw.read(end - begin)


def _riff(raw: BinaryIO, size: int) -> _Samples | None:
    """RIFF, RIFX, RF64 and BW64."""
    magic = _bytes(raw, 0, 4)
    order = ">" if magic == b"RIFX" else "<"
    head, position, repaired = _bytes(raw, 0, 12), 12, False
    large, ds64, frame = None, None, 1
    while position + 8 <= size:
        header = _bytes(raw, position, position + 8)
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
            return _Samples(begin, length, head, patch, frame, form, repaired)
        if name == b"fmt ":
            frame = max(1, struct.unpack(order + "H", _bytes(raw, begin + 12, begin + 14))[0])
        if name == b"ds64":
            ds64 = len(head) + 16
            large = struct.unpack("<Q", _bytes(raw, begin + 8, begin + 16))[0]
        position = begin + length
        head += header + _bytes(raw, begin, position)
        if length % 2:
            unpadded, padded = (_bytes(raw, position + i, position + i + 4) for i in (0, 1))
            is_name = re.compile(rb"[ -~]{4}")
            if is_name.fullmatch(unpadded) and not is_name.fullmatch(padded):
                repaired = True
            else:
                position += 1
            head += b"\0"
    return None


def _w64(raw: BinaryIO, size: int) -> _Samples | None:
    """Sony Wave64."""
    frame = 1
    for name, begin, length, _ in _chunks(raw, 40, size, _W64):
        if name == b"fmt ":
            frame = struct.unpack("<H", _bytes(raw, begin + 12, begin + 14))[0]
        if name == b"data":
            stated = None if length < 0 or length >= _STREAMED_64 else max(0, length - 24)
            patch = (begin - 8, "<q", 24)
            return _Samples(begin, stated, _bytes(raw, 0, begin), patch, max(1, frame), _W64)
    return None


def _aiff(raw: BinaryIO, size: int) -> _Samples | None:
    frame = 1
    for name, begin, length, _ in _chunks(raw, 12, size, _IFF):
        if name == b"COMM":
            channels, _, bits = struct.unpack(">hIh", _bytes(raw, begin, begin + 8))
            kind = _bytes(raw, begin + 18, begin + 22) if length >= 22 else b"NONE"
            if kind.lower() in (b"none", b"sowt", b"twos", b"fl32", b"fl64", b"in24", b"in32"):
                frame = channels * -(-bits // 8)
        if name == b"SSND":
            offset = struct.unpack(">I", _bytes(raw, begin, begin + 4))[0]
            first = begin + 8 + offset
            stated = None
            if length < _STREAMED or begin + length <= size:
                stated = max(0, length - 8 - offset)
            patch = (begin - 4, ">I", 8 + offset)
            return _Samples(first, stated, _bytes(raw, 0, first), patch, max(1, frame), _IFF)
    return None


def _au(raw: BinaryIO, size: int) -> _Samples:
    order = ">" if _bytes(raw, 0, 4) == b".snd" else "<"
    begin, length, coding, _, channels = struct.unpack(order + "5I", _bytes(raw, 4, 24))
    width = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}.get(coding)
    stated = None if length >= _STREAMED and begin + length > size else length
    frame = 1 if width is None else max(1, width * channels)
    return _Samples(begin, stated, _bytes(raw, 0, begin), (8, order + "I", 0), frame)


def _caf(raw: BinaryIO, size: int) -> _Samples | None:
    frame = 1
    for name, begin, length, _ in _chunks(raw, 8, size, _CAF):
        if name == b"desc":
            frame = struct.unpack(">I", _bytes(raw, begin + 16, begin + 20))[0]
        if name == b"data":
            stated = None if length < 0 or length >= _STREAMED_64 else max(0, length - 4)
            first = begin + 4  # after the edit count
            patch = (begin - 8, ">q", 4)
            return _Samples(first, stated, _bytes(raw, 0, first), patch, max(1, frame), _CAF)
    return None


def _sphere(raw: BinaryIO, size: int) -> _Samples | None:
    """NIST SPHERE; libsndfile takes the length from the file already, so nothing is patched."""
    begin = int(_bytes(raw, 8, 16))
    text = _bytes(raw, 0, begin)
    if b"shorten" in text:
        return None

    def value(name: bytes) -> int | None:
        found = re.search(rb"^" + name + rb" -i (\d+)", text, re.MULTILINE)
        return None if found is None else int(found[1])

    # Some writers state 2 bytes for companded samples, too
    companded = re.search(rb"^sample_coding -s\d+ (ulaw|mu-law|alaw)", text, re.MULTILINE)
    width = 1 if companded else value(b"sample_n_bytes") or 2
    frame = (value(b"channel_count") or 1) * width
    count = value(b"sample_count")
    return _Samples(begin, None if count is None else count * frame, text, None, frame)


_LOCATORS: dict[bytes, Callable[[BinaryIO, int], _Samples | None]] = {
    rb"(RIFF|RIFX|RF64|BW64)....WAVE": _riff,
    rb"riff\x2e\x91\xcf\x11": _w64,
    rb"FORM....AIF[FC]": _aiff,
    rb"\.snd|dns\.": _au,
    rb"caff": _caf,
    rb"NIST_1A\n": _sphere,
}


def _flac(path: Path, raw: BinaryIO, start: int, size: int) -> Finding | None:
    """Compare the number of samples that a FLAC header states with its last frames."""
    head = bytearray(_bytes(raw, start, start + 42))
    if len(head) < 42 or head[4] & 0x7F:
        return None
    stated = (head[21] & 0x0F) << 32 | struct.unpack(">I", head[22:26])[0]
    last = compressed.flac_end(raw, size, stated, bytes(head))
    if last is None or last.samples == stated:
        return None
    if stated > last.samples + last.block:
        rate = head[18] << 12 | head[19] << 4 | head[20] >> 4
        raise AudioError(f"{path}: truncated, {last.samples / rate:.2f} s of {stated / rate:.2f} s")
    if not last.samples or last.samples >> 36:
        return None
    head[21] = head[21] & 0xF0 | last.samples >> 32
    head[22:26] = struct.pack(">I", last.samples & 0xFFFFFFFF)
    states = f"states {stated} samples" if stated else "states no length"
    cut = "" if last.whole else ", the last block is cut"
    warning = f"the header {states}{cut}; the {last.samples} samples that are there are read"
    return Finding(warning, bytes(head), start + 42, last.end)
