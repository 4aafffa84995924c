"""Reading and writing audio files.

Everything that enters is mono float32 in [-1, 1]; everything that leaves is 16-bit. What cannot be
used is an `AudioError` of one line that begins with the file's path.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import struct
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

logger = logging.getLogger(__name__)

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
"""What `find` looks for in folders."""

WRITTEN = {".wav": "WAV", ".flac": "FLAC"}
SHORTEST = 0.1
"""Seconds below which audio is too short to hold speech."""
SILENT_PEAK = 1e-4
"""A peak below this (-80 dB of full scale) is silence."""

_BLOCK = 1 << 18  # frames per read, so that a long stereo file is never whole in memory as stereo
_UNKNOWN_LENGTH = 1 << 62  # libsndfile's frame count when the header does not tell
_STREAMED = 0x7FFF0000  # chunk sizes from here on are a pipe's "size unknown"
_MP3_SLACK = 2304  # two MPEG frames: encoders disagree about their padding by so much


class AudioError(ValueError):
    """An audio file that cannot be used; the message begins with its path."""


def read(
    path: str | os.PathLike,
    sample_rate: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
) -> tuple[np.ndarray, int]:
    """Read an audio file, or a part of it, as one channel.

    Parameters
    ----------
    path
        WAV, FLAC, OGG (Vorbis, Opus) or MP3, of any sample rate, bit depth and channel count.
        Channels are averaged.
    sample_rate
        Hz to resample to; None keeps the file's own.
    start
        Seconds into the file at which to begin.
    duration
        Seconds to read at most; None reads to the end.

    Returns
    -------
    waveform
        float32 (T,) in [-1, 1].
    sample_rate
        Hz of `waveform`.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    AudioError
        The file is empty, not audio, truncated or damaged, or holds NaN or infinite samples.
        Silence and short audio are no errors here: see `check_speech`.
    """
    path = Path(path)
    if sample_rate is not None and sample_rate <= 0:
        raise ValueError(f"sample_rate must be positive, not {sample_rate}")
    if start < 0 or (duration is not None and duration < 0):
        raise ValueError(
            f"{path}: start ({start} s) and duration ({duration} s) cannot be negative"
        )
    with _opened(path) as file:
        rate = file.samplerate
        first = round(start * rate)
        last = file.frames if duration is None else min(file.frames, first + round(duration * rate))
        if first > 0 and first >= file.frames:
            raise AudioError(
                f"{path}: holds {file.frames / rate:.2f} s, so nothing begins at {start:.2f} s; "
                "has the file changed since its manifest was made?"
            )
        waveform = _read_frames(path, file, first, last)
    if not np.isfinite(waveform).all():
        raise AudioError(f"{path}: holds NaN or infinite samples; export it again")
    peak = float(np.abs(waveform).max(initial=0.0))
    if peak > 8:
        raise AudioError(
            f"{path}: samples reach {peak:g} where [-1, 1] was expected; divide them by full scale"
        )
    if peak > 1.01:
        logger.warning("%s: samples reach %.2f; clipped to [-1, 1]", path, peak)
    if sample_rate is not None and sample_rate != rate:
        import soxr

        waveform = soxr.resample(waveform, rate, sample_rate)
        rate = sample_rate
    return np.clip(waveform, -1.0, 1.0, dtype=np.float32), rate


def info(path: str | os.PathLike) -> tuple[float, int]:
    """Duration in seconds and sample rate in Hz, from the header alone.

    Raises
    ------
    FileNotFoundError, AudioError
        As `read`, as far as the header and the file's size can tell.
    """
    with _opened(Path(path)) as file:
        return file.frames / file.samplerate, file.samplerate


def check_speech(
    waveform: np.ndarray,
    sample_rate: int,
    path: str | os.PathLike,
    shortest: float = SHORTEST,
) -> None:
    """Refuse audio (T,) that cannot hold speech.

    Raises
    ------
    AudioError
        Shorter than `shortest` seconds, or silent throughout (peak below `SILENT_PEAK`).
    """
    duration = len(waveform) / sample_rate
    if duration < shortest:
        raise AudioError(f"{path}: too short, {duration:.3f} s; at least {shortest:g} s is needed")
    if np.abs(waveform).max() < SILENT_PEAK:
        raise AudioError(f"{path}: silent from beginning to end")


def write(path: str | os.PathLike, waveform: np.ndarray, sample_rate: int) -> None:
    """Write a waveform (T,) as 16-bit WAV or FLAC, by suffix, clipped to [-1, 1].

    The file appears whole or not at all; missing folders are made.

    Raises
    ------
    ValueError
        Another suffix, another shape than (T,), nothing to write, or NaN.
    OSError
        The folder cannot be written to.
    """
    path = Path(path)
    kind = WRITTEN.get(path.suffix.lower())
    if kind is None:
        raise ValueError(
            f"{path}: cannot write {path.suffix or 'without a suffix'}; use .wav or .flac"
        )
    waveform = np.asarray(waveform)
    if waveform.ndim != 1:
        raise ValueError(f"{path}: expected one channel of shape (T,), got {waveform.shape}")
    if not len(waveform):
        raise ValueError(f"{path}: no samples to write")
    if not np.isfinite(waveform).all():
        raise ValueError(f"{path}: the waveform to write holds NaN or infinite samples")
    # Times 32768, as readers divide: a 16-bit file survives reading and writing bit for bit.
    samples = np.clip(np.rint(waveform.astype(np.float64) * 32768), -32768, 32767).astype(np.int16)
    encoded = io.BytesIO()  # encoded in memory, so that a full disk is an OSError of ours
    soundfile.write(encoded, samples, sample_rate, format=kind, subtype="PCM_16")
    write_bytes(path, encoded.getvalue())


def write_bytes(path: str | os.PathLike, content: bytes) -> None:
    """Write a file that appears whole or not at all, by a temporary one in the same folder."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.tmp")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "cannot be written: a part of its folder's path is a file"
            raise NotADirectoryError(errno.ENOTDIR, reason, str(path)) from error
        if isinstance(error, OSError):  # name the file that was asked for, not the temporary one
            reason = f"cannot be written: {error.strerror}"
            raise OSError(error.errno, reason, str(path)) from error
        raise


def find(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """Audio files: files as they are given, folders searched to the bottom for `SUFFIXES`.

    The files of a folder come sorted; a file met twice is given once; hidden files are passed over.

    Raises
    ------
    FileNotFoundError
        A path does not exist, or a folder holds no audio.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(_walk(path, set()))
            if not inside:
                raise FileNotFoundError(f"{path}: no {', '.join(SUFFIXES)} file in this folder")
            found.update(dict.fromkeys(inside))
        elif path.exists():
            found[path] = None
        else:
            raise _missing(path)
    return list(found)


def _walk(folder: Path, entered: set[tuple[int, int]]) -> Iterator[Path]:
    """Audio files below a folder; links are followed, a loop of links is not."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in entered:
        return
    entered = entered | {(status.st_dev, status.st_ino)}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(folder / entry.name, entered)
            elif entry.name.lower().endswith(SUFFIXES):
                yield folder / entry.name


def _missing(path: Path) -> FileNotFoundError:
    if path.is_symlink():
        return FileNotFoundError(f"{path}: the link points to nothing")
    return FileNotFoundError(f"{path}: no such file")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a file whose header promises at least one sample and no more than the file holds."""
    if path.is_dir():
        raise AudioError(f"{path}: a folder, where an audio file was expected")
    if not path.exists():
        raise _missing(path)
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
    with _quiet_mpeg() if is_mpeg else contextlib.nullcontext():
        try:
            file = soundfile.SoundFile(path)
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{path}: not audio that can be read (WAV, FLAC, OGG or MP3), or a damaged file"
            ) from error
        with file:
            if file.frames == 0:
                raise AudioError(f"{path}: no samples in it")
            if file.frames >= _UNKNOWN_LENGTH:
                raise AudioError(f"{path}: its header does not tell its length; convert it again")
            yield file


def _read_frames(path: Path, file: soundfile.SoundFile, first: int, last: int) -> np.ndarray:
    """Frames first to last, channels averaged; float32 (last - first,)."""
    waveform = np.empty(max(0, last - first), dtype=np.float32)
    # Some codecs cannot seek: those are read from the beginning and the first part dropped.
    position = first if file.seekable() else 0
    slack = _MP3_SLACK if file.format == "MP3" else 0
    try:
        if position:
            file.seek(position)
        while position < last:
            block = file.read(min(_BLOCK, last - position), dtype="float32", always_2d=True)
            if not len(block):
                break
            mono = block[:, 0] if file.channels == 1 else block.mean(axis=1)
            low = max(position, first)
            waveform[low - first : position + len(mono) - first] = mono[low - position :]
            position += len(mono)
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{path}: truncated or damaged, not readable past {position / file.samplerate:.2f} s"
        ) from error
    if position < last - slack:
        raise AudioError(
            f"{path}: truncated, {position / file.samplerate:.2f} s "
            f"of {file.frames / file.samplerate:.2f} s"
        )
    return waveform[: max(0, position - first)]


def _check_riff(path: Path, raw: io.BufferedReader, size: int) -> None:
    """Refuse a WAV whose data chunk promises more than the file holds (libsndfile shortens it)."""
    position = 12
    while position + 8 <= size:
        raw.seek(position)
        name, length = struct.unpack("<4sI", raw.read(8))
        position += 8
        if name == b"data":
            held = size - position
            if held < length < _STREAMED:
                raise AudioError(
                    f"{path}: truncated, its header promises {length} bytes of audio "
                    f"and {held} are there"
                )
            return
        position += length + length % 2


def _check_ogg(path: Path, raw: io.BufferedReader, size: int) -> None:
    """Refuse an Ogg file that ends within a page (libsndfile drops the page)."""
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
        raise AudioError(f"{path}: truncated, its last part is incomplete")


_mpeg_lock = threading.Lock()
_mpeg_users = 0
_mpeg_stderr = -1


@contextlib.contextmanager
def _quiet_mpeg() -> Iterator[None]:
    """Keep the MPEG decoder, a C library, from writing to stderr: our own errors say it better."""
    global _mpeg_users, _mpeg_stderr
    with _mpeg_lock:
        if _mpeg_users == 0:
            with contextlib.suppress(OSError):  # no stderr at all: nothing to keep quiet
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
