"""Opening audio files, with checks of header and file size."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import soundfile

from speechvq.audio import containers, places
from speechvq.audio.checks import check_rate
from speechvq.audio.errors import AudioError
from speechvq.audio.ffmpeg import FFmpegFile
from speechvq.audio.finding import SUFFIXES_OF_FFMPEG, bad_name, is_text

logger = logging.getLogger(__name__)

READ = "WAV, FLAC, OGG or MP3"
_MOST_FINDINGS = 4096  # of files that are kept
_UNKNOWN_LENGTH = 1 << 62  # frame count that libsndfile reports for a header without length


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


Opened = SoundFile | FFmpegFile


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Open an audio file as what it really holds.

    Where the header is wrong, the samples that are there are read, with a warning.

    Raises
    ------
    AudioError
        The file is empty, truncated, or not audio.
    """
    with places.raw(path) as raw:
        if raw.size == 0:
            raise AudioError(f"{path}: an empty file")
        finding = _once(path, raw, None)
        file = None
        try:
            if finding is None and _is_mpeg(path, raw):
                with contextlib.suppress(AudioError):  # by a wrong header, perhaps
                    file = _sound_file(path, raw, None)
                if file is None or file.format == "MP3":
                    stated = 0 if file is None else file.frames
                    finding = _once(path, raw, stated)
                if finding is not None and file is not None:
                    file.close()
            if file is None or file.closed:
                file = _sound_file(path, raw, finding)
            if file.frames == 0:
                raise AudioError(f"{path}: no samples in it")
            if file.frames >= _UNKNOWN_LENGTH:
                raise AudioError(f"{path}: the header has no length; convert the file again")
            check_rate(path, file.samplerate)
            if finding is not None and finding.warning:
                _warn_once(f"{path}: {finding.warning}")
            yield file
        finally:
            if file is not None:
                file.close()


def _sound_file(path: Path, raw: places.Raw, finding: containers.Finding | None) -> Opened:
    """Open a file, under another header if one was found; AudioError if it is not audio."""
    with quiet_mpeg() if _is_mpeg(path, raw) else contextlib.nullcontext():
        try:
            # By its bytes: a name need not be text
            if finding is not None and finding.head:
                return SoundFile(containers.Patched(raw.file, finding))
            raw.file.seek(0)
            return SoundFile(raw.file if raw.name is None else raw.name)
        except soundfile.LibsndfileError as error:
            return _by_ffmpeg(path, raw, error)


def _by_ffmpeg(path: Path, raw: places.Raw, error: Exception) -> FFmpegFile:
    """Open a file that libsndfile cannot read; AudioError, with advice, if nothing can read it."""
    raw.file.seek(0)
    start = raw.file.read(64).lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    reason = f"not audio that can be read ({READ}), or a damaged file"
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        reason = "not audio but a web page; download the file again"
    elif start.startswith(b"version https://git-lfs"):
        reason = "not audio but a pointer of Git LFS; fetch the file with: git lfs pull"
    elif not is_text(path):
        raise AudioError(bad_name(path)) from error
    elif _is_of_ffmpeg(path, start):
        try:
            raw.file.seek(0)
            return FFmpegFile(raw.file if raw.name is None else path)
        except ImportError:
            reason = (
                f"not read without PyAV; pip install 'speechvq[formats]', or convert it: "
                f"ffmpeg -i {path.name} {path.stem}.wav"
            )
        except ValueError:
            reason = "damaged, or of a kind that FFmpeg cannot read, either"
    raise AudioError(f"{path}: {reason}") from error


def _is_of_ffmpeg(path: Path, start: bytes) -> bool:
    """Whether a file may be audio of a kind that only FFmpeg reads."""
    magics = (b"\x30\x26\xb2\x75", b"#!amr", b"\x1a\x45\xdf\xa3", b"mac ", b"wvpk")
    aac = start[:1] == b"\xff" and start[1:2] in (b"\xf1", b"\xf9")
    by_name = path.suffix.lower() in SUFFIXES_OF_FFMPEG
    return by_name or aac or start.startswith(magics) or start[4:8] == b"ftyp"


def _is_mpeg(path: Path, raw: places.Raw) -> bool:
    """Whether a file may be MPEG audio."""
    raw.file.seek(0)
    start = raw.file.read(3)
    sync = start[:1] == b"\xff" and start[1:2] >= b"\xe0"
    return path.suffix.lower() == ".mp3" or start == b"ID3" or sync


_findings: dict[tuple[object, ...], containers.Finding | None] = {}


def _once(path: Path, raw: places.Raw, stated: int | None) -> containers.Finding | None:
    """What `examine` finds in a file, or `mpeg_finding` for a length that a decoder states.

    A file is searched once until it changes.
    """
    key = path, raw.changed, raw.size, stated
    if key not in _findings:
        if len(_findings) >= _MOST_FINDINGS:
            _findings.clear()
        if stated is None:
            _findings[key] = containers.examine(path, raw.file, raw.size)
        else:
            _findings[key] = containers.mpeg_finding(raw.file, raw.size, stated)
    return _findings[key]


@functools.lru_cache(maxsize=4096)
def _warn_once(message: str) -> None:
    logger.warning("%s", message)


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
