"""Writing audio and other files atomically: a file appears whole or not at all.

That holds where the power is cut, too: a file is on the disk before it gets its name. Of a process
that is killed (SIGKILL), the hidden file ``.NAME.PROCESS.THREAD.tmp`` may stay beside the output.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import itertools
import os
import re
import shutil
import signal
import struct
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from speechvq.audio.checks import check_floats

WRITTEN = {".wav": "WAV", ".flac": "FLAC"}
"""Formats of audio files that can be written, by suffix."""


class Writer:
    """A 16-bit WAV or FLAC file, by suffix, written in blocks.

    Blocks go to a temporary file in the same folder, which gets its name when it is closed. Missing
    folders are made. As a context manager, the writer closes the file at the end of the body, and
    discards it if the body raises an error. Any thread may write, one block at a time.

    Parameters
    ----------
    path
        Path of the file.
    sample_rate
        Hz.
    comment
        Stands in the header of the file.

    Raises
    ------
    ValueError
        The suffix is neither .wav nor .flac.
    OSError
        The folder cannot be written to.
    """

    def __init__(self, path: str | os.PathLike[str], sample_rate: int, comment: str = ""):
        self.path = Path(path)
        kind = WRITTEN.get(self.path.suffix.lower())
        if kind is None:
            suffix = self.path.suffix or "without a suffix"
            raise ValueError(f"{path}: cannot write {suffix}; use .wav or .flac")
        self._lock = threading.Lock()  # an interrupted thread may discard while another one writes
        self._open = True
        self._new = _NewFile(self.path)
        try:
            # By its descriptor: through a Python object, Ctrl-C would get lost in libsndfile.
            self._sound = soundfile.SoundFile(
                self._new.raw.fileno(), "w", sample_rate, 1, "PCM_16", format=kind, closefd=False
            )
            if comment:
                self._sound.comment = comment
        except BaseException as error:
            self._new.discard()
            if isinstance(error, soundfile.LibsndfileError) and sample_rate > 0:
                raise self._full() from error
            raise

    def write(self, waveform: np.ndarray) -> None:
        """Append a block (T,), clipped to [-1, 1]; T may be 0.

        Raises
        ------
        ValueError
            The shape is not (T,), a sample is not finite, or the file has been closed.
        OSError
            The disk is full.
        """
        waveform = np.asarray(waveform)
        if waveform.ndim != 1:
            raise ValueError(
                f"{self.path}: expected one channel of shape (T,), got {waveform.shape}"
            )
        check_floats(self.path, waveform)
        if not np.isfinite(waveform).all():
            raise ValueError(f"{self.path}: the waveform to write holds NaN or infinite samples")
        levels = to_pcm(waveform)
        with self._lock:
            if not self._open:
                raise ValueError(f"{self.path}: closed, nothing more can be written to it")
            try:
                self._sound.write(levels)
            except soundfile.LibsndfileError as error:
                raise self._full() from error

    def close(self) -> None:
        """Give the file its name; no effect if it has been closed or discarded.

        Raises
        ------
        ValueError
            No samples were written; no file appears.
        OSError
            The disk is full, or the file cannot be renamed.
        """
        with self._lock:
            if not self._open:
                return
            try:
                T = self._sound.frames
                if not T:
                    raise ValueError(f"{self.path}: no samples to write")
                self._sound.close()
                if not self._holds(T):
                    raise self._full()
                self._new.keep()
            finally:
                self._discard()

    def discard(self) -> None:
        """Delete the temporary file; no effect if it has been closed or discarded."""
        with self._lock:
            if self._open:
                self._discard()

    def _discard(self) -> None:
        self._open = False
        with contextlib.suppress(soundfile.LibsndfileError):
            self._sound.close()
        self._new.discard()

    def _holds(self, T: int) -> bool:
        """Whether the file has all T samples; FLAC can lose the last ones without an error."""
        try:
            return soundfile.info(os.fsencode(self._new.temporary)).frames == T
        except soundfile.LibsndfileError:
            return False

    def _full(self) -> OSError:
        """Return the error for a failed write; libsndfile does not pass on the system's error."""
        return OSError(errno.ENOSPC, "cannot be written: is the disk full?", str(self.path))

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def to_pcm(waveform: np.ndarray) -> np.ndarray:
    """Convert a waveform (T,), clipped to [-1, 1], to 16-bit integers."""
    # Readers divide by 32768, so a 16-bit file is the same after reading and writing.
    levels = np.rint(np.asarray(waveform, dtype=np.float64) * 32768)
    return np.clip(levels, -32768, 32767).astype("<i2")


def stream_header(sample_rate: int) -> bytes:
    """Return the header of a 16-bit mono WAV stream of unknown length, for a pipe."""
    return _wav_header(sample_rate, 0xFFFFFFFF)


def _wav_header(sample_rate: int, size: int) -> bytes:
    """Header of a 16-bit mono WAV file with so many bytes of samples."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", min(36 + size, 0xFFFFFFFF), b"WAVE")
        + form
        + struct.pack("<4sI", b"data", size)
    )


def write(path: str | os.PathLike[str], waveform: np.ndarray, sample_rate: int) -> None:
    """Write a waveform (T,) as 16-bit WAV or FLAC, by suffix, clipped to [-1, 1].

    The file appears whole or not at all; missing folders are made.

    Raises
    ------
    ValueError
        The suffix is neither .wav nor .flac, the shape is not (T,), T is 0, or a sample is not
        finite.
    OSError
        The folder cannot be written to.
    """
    with Writer(path, sample_rate) as writer:
        writer.write(waveform)


def write_bytes(path: str | os.PathLike[str], content: bytes | Iterable[bytes]) -> None:
    """Write a file atomically, by a temporary file in the same folder.

    The content may come in pieces; if these raise an error, no file appears.
    """
    new = _NewFile(Path(path))
    try:
        for piece in [content] if isinstance(content, bytes) else content:
            with naming(new.path):
                new.raw.write(piece)
        new.keep()
    finally:
        new.discard()


@contextlib.contextmanager
def spooled(stream: BinaryIO, pcm_rate: int | None = None) -> Iterator[Path]:
    """Copy what comes from a pipe to a temporary file, as readers of audio go back and forth.

    Parameters
    ----------
    stream
        The pipe; read to its end.
    pcm_rate
        Hz of raw 16-bit little-endian samples of one channel; None for an audio file.

    Yields
    ------
    Path
        The file, removed afterwards.
    """
    _remove_at_termination()
    descriptor, name = tempfile.mkstemp(prefix="speechvq-pipe-", suffix=f".{os.getpid()}.tmp")
    _temporaries.add(Path(name))
    try:
        with open(descriptor, "wb") as file:
            if pcm_rate is not None:
                file.write(_wav_header(pcm_rate, 0))
            shutil.copyfileobj(stream, file)
            if pcm_rate is not None:
                size = file.tell() - 44
                file.seek(0)
                file.write(_wav_header(pcm_rate, min(size - size % 2, 0xFFFFFFFF - 36)))
        yield Path(name)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)
        _temporaries.discard(Path(name))


_numbers = itertools.count()


class _NewFile:
    """A file under a temporary name in the same folder, until it is kept or discarded."""

    def __init__(self, path: Path):
        self.path = path
        number = next(_numbers)  # the first letters of two names can be the same
        self.temporary = path.with_name(f".{path.name[:50]}.{os.getpid()}.{number}.tmp")
        _remove_at_termination()
        with naming(path):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a folder")
            if path.exists() and not path.is_file():
                raise OSError(errno.EINVAL, "it is a device or a pipe, where a file was expected")
            path.parent.mkdir(parents=True, exist_ok=True)
            _temporaries.add(self.temporary)
            self.raw = open(self.temporary, "wb")  # noqa: SIM115

    def keep(self) -> None:
        """Rename the temporary file to its final name, once it is on the disk."""
        with naming(self.path):
            self.raw.flush()
            os.fsync(self.raw.fileno())
            self.raw.close()
            os.replace(self.temporary, self.path)
            _sync_folder(self.path.parent)
        _temporaries.discard(self.temporary)

    def discard(self) -> None:
        """Remove the temporary file, unless it has been kept."""
        with contextlib.suppress(OSError):
            self.raw.close()
        with contextlib.suppress(OSError):
            self.temporary.unlink()
        _temporaries.discard(self.temporary)


def remove_leftovers(*folders: Path) -> None:
    """Remove the temporary files of processes that were killed while they wrote into folders.

    No other process may be writing there.
    """
    for folder in folders:
        for path in folder.glob(".*.tmp"):
            if re.fullmatch(r"\..+\.\d+\.\d+\.tmp", path.name):
                path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have new names on the disk, where the system can: without it a name may be lost, or old."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


_temporaries: set[Path] = set()


def _remove_at_termination() -> None:
    """Let SIGTERM and SIGHUP, where nothing else handles them, remove the temporary files first."""
    if threading.current_thread() is not threading.main_thread():
        return  # Python handles signals in the main thread alone
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _terminated)


@atexit.register  # a signal can end the work before an object knows of its file
def _remove_temporaries() -> None:
    for temporary in list(_temporaries):
        if f".{os.getpid()}." in temporary.name:  # and not that of a parent process
            with contextlib.suppress(OSError):
                temporary.unlink()


def _terminated(number: int, _: object) -> None:
    _remove_temporaries()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Raise errors of the system with a path, and not with that of a temporary file."""
    try:
        yield
    except (FileExistsError, NotADirectoryError) as error:
        reason = "cannot be written: a part of its folder's path is a file"
        raise NotADirectoryError(errno.ENOTDIR, reason, str(path)) from error
    except OSError as error:
        reason = f"cannot be written: {error.strerror}"
        raise OSError(error.errno, reason, str(path)) from error
