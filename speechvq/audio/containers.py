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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from speechvq.audio import compressed
from speechvq.audio.errors import AudioError
from speechvq.audio.headers import W64, Samples, chunks, located, read_bytes

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

    def readinto(self, buffer: Any) -> int:
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
    samples = located(raw, head, size)
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


def _compared(path: Path, raw: BinaryIO, samples: Samples, size: int) -> Finding | None:
    """Compare the size that a header states with that of the file."""
    held, stated = size - samples.begin, samples.stated
    if held < 0:
        raise AudioError(f"{path}: truncated, the audio begins after the end of the file")
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
    elif _follows(raw, samples, stated, size):
        length = stated
    else:
        warning = (
            f"the header states {stated} bytes of audio and {held - stated} more follow; "
            "the file is read to its end"
        )
    # libsndfile reads a W64 or SPHERE file to its end, whatever follows the samples
    reads_on = length < held and (samples.patch is None or samples.form is W64)
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


def _follows(raw: BinaryIO, samples: Samples, stated: int, size: int) -> bool:
    """Whether nothing but chunks, a tag or a pad byte follows the samples that are stated."""
    position = samples.begin + stated
    rest = size - position
    if rest <= min(1, stated):
        return True
    raw.seek(position)
    start = raw.read(9)
    if rest == 128 and start.startswith(b"TAG"):
        return True
    if samples.form is None:
        return False
    if any(_KNOWN.match(start, skipped) for skipped in (0, 1)):
        return True
    for skipped in {0, -stated % samples.form.aligned}:
        ends = [end for *_, end in chunks(raw, position + skipped, size, samples.form)]
        if ends and size <= ends[-1] < size + samples.form.aligned:
            return True
    return False


def _flac(path: Path, raw: BinaryIO, start: int, size: int) -> Finding | None:
    """Compare the number of samples that a FLAC header states with its last frames."""
    head = bytearray(read_bytes(raw, start, start + 42))
    if len(head) < 42 or head[4] & 0x7F:
        return None
    stated = (head[21] & 0x0F) << 32 | struct.unpack(">I", head[22:26])[0]
    last = compressed.flac_end(raw, size, stated, bytes(head))
    if last is None or last.samples == stated:
        return None
    rate = head[18] << 12 | head[19] << 4 | head[20] >> 4
    if rate and stated > last.samples + last.block:
        raise AudioError(f"{path}: truncated, {last.samples / rate:.2f} s of {stated / rate:.2f} s")
    if not last.samples or last.samples >> 36:
        return None
    head[21] = head[21] & 0xF0 | last.samples >> 32
    head[22:26] = struct.pack(">I", last.samples & 0xFFFFFFFF)
    states = f"states {stated} samples" if stated else "states no length"
    cut = "" if last.whole else ", the last block is cut"
    warning = f"the header {states}{cut}; the {last.samples} samples that are there are read"
    return Finding(warning, bytes(head), start + 42, last.end)
