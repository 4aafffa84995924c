"""Opening audio files, with checks of header and file size."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import soundfile

from speechvq.audio.errors import AudioError, missing

_UNKNOWN_LENGTH = 1 << 62  # frame count that libsndfile reports for a header without length
_STREAMED = 0x7FFF0000  # a chunk size of at least this means that a pipe did not know the size


class SoundFile(soundfile.SoundFile):
    """An audio file that seeks only when asked to.

    soundfile seeks after every read where possible. A seek clears the state of an MP3 decoder, on
    which the next frame depends.
    """

    def seekable(self) -> bool:
        """Return False, so that soundfile does not seek by itself."""
        return False

    @property
    def can_seek(self) -> bool:
        """Whether `seek` works; some codecs can only decode from the beginning."""
        return super().seekable()


@contextlib.contextmanager
def opened(path: Path) -> Iterator[SoundFile]:
    """Open an audio file; AudioError if it is empty, truncated, or not audio."""
    if path.is_dir():
        raise AudioError(f"{path}: a folder, where an audio file was expected")
    if not path.exists():
        raise missing(path)
    if not path.is_file():
        raise AudioError(f"{path}: not a regular file")
    with open(path, "rb") as raw:  # an unreadable file is a PermissionError here
        size = os.fstat(raw.fileno()).st_size
        if size == 0:
            raise AudioError(f"{path}: an empty file")
        head = raw.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            _check_riff(path, raw, size)
        elif head[:4] == b"OggS":
            _check_ogg(path, raw, size)
    is_mpeg = path.suffix.lower() == ".mp3" or head[:3] == b"ID3"
    with quiet_mpeg() if is_mpeg else contextlib.nullcontext():
        try:
            file = SoundFile(path)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{path}: not audio that can be read (WAV, FLAC, OGG or MP3), or a damaged file"
            ) from error
    with file:
        if file.frames == 0:
            raise AudioError(f"{path}: no samples in it")
        if file.frames >= _UNKNOWN_LENGTH:
            raise AudioError(f"{path}: the header has no length; convert the file again")
        yield file


def _check_riff(path: Path, raw: io.BufferedReader, size: int) -> None:
    """Raise for a WAV file with less data than the header states (libsndfile accepts it)."""
    position = 12
    while position + 8 <= size:
        raw.seek(position)
        name, length = struct.unpack("<4sI", raw.read(8))
        position += 8
        if name == b"data":
            held = size - position
            if held < length < _STREAMED:
                raise AudioError(
                    f"{path}: truncated, the header states {length} bytes of audio "
                    f"and the file has {held}"
                )
            return
        position += length + length % 2


def _check_ogg(path: Path, raw: io.BufferedReader, size: int) -> None:
    """Raise for an Ogg file that ends within a page (libsndfile drops the page)."""
    begin = max(0, size - (1 << 16) - 512)  # more than the longest page
    raw.seek(begin)
    tail = raw.read()
    page = tail.rfind(b"OggS")
    complete = False
    if page >= 0 and page + 27 <= len(tail):
        segments = tail[page + 26]
        body = page + 27 + segments
        complete = body <= len(tail) and body + sum(tail[page + 27 : body]) <= len(tail)
    if not complete:
        raise AudioError(f"{path}: truncated, the last page is incomplete")


_mpeg_lock = threading.Lock()
_mpeg_users = 0
_mpeg_stderr = -1


@contextlib.contextmanager
def quiet_mpeg() -> Iterator[None]:
    """Silence stderr of the MPEG decoder, a C library; errors are raised as AudioError instead."""
    global _mpeg_users, _mpeg_stderr
    with _mpeg_lock:
        if _mpeg_users == 0:
            with contextlib.suppress(OSError):  # without a stderr there is nothing to silence
                _mpeg_stderr = os.dup(2)
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, 2)
                os.close(nowhere)
        _mpeg_users += 1
    try:
        yield
    finally:
        with _mpeg_lock:
            _mpeg_users -= 1
            if _mpeg_users == 0 and _mpeg_stderr >= 0:
                os.dup2(_mpeg_stderr, 2)
                os.close(_mpeg_stderr)
                _mpeg_stderr = -1
