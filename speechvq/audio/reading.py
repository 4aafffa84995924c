"""Reading audio files, whole or piece by piece."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from speechvq.audio.errors import AudioError
from speechvq.audio.opening import SoundFile, opened, quiet_mpeg

logger = logging.getLogger(__name__)

BLOCK = 10.0
"""Seconds of a file that are read at a time."""

_MP3_SLACK = 2304  # two MPEG frames: encoders disagree about their padding by so much


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
    with opened(path) as file:
        pieces = list(_blocks(path, file, sample_rate, start, duration, BLOCK))
        rate = file.samplerate if sample_rate is None else sample_rate
    return np.concatenate([np.zeros(0, np.float32), *pieces]), rate


def blocks(
    path: str | os.PathLike,
    sample_rate: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    seconds: float = BLOCK,
) -> Iterator[np.ndarray]:
    """Read an audio file, or a part of it, piece by piece, in memory for a piece at a time.

    Parameters
    ----------
    path, sample_rate, start, duration
        As in `read`.
    seconds
        Of the file that are read at a time.

    Yields
    ------
    ndarray
        float32 (T,) in [-1, 1], T at least 1 and not the same in all pieces. One after the other,
        they are the waveform of `read`.

    Raises
    ------
    FileNotFoundError, AudioError
        As `read`: before the first piece what the header tells, the rest where it is met.
    """
    path = Path(path)
    with opened(path) as file:
        yield from _blocks(path, file, sample_rate, start, duration, seconds)


def info(path: str | os.PathLike) -> tuple[float, int]:
    """Duration in seconds and sample rate in Hz, from the header alone.

    Raises
    ------
    FileNotFoundError, AudioError
        As `read`, as far as the header and the file's size can tell.
    """
    with opened(Path(path)) as file:
        return file.frames / file.samplerate, file.samplerate


def _blocks(
    path: Path,
    file: SoundFile,
    sample_rate: int | None,
    start: float,
    duration: float | None,
    seconds: float,
) -> Iterator[np.ndarray]:
    if sample_rate is not None and sample_rate <= 0:
        raise ValueError(f"sample_rate must be positive, not {sample_rate}")
    if start < 0 or (duration is not None and duration < 0):
        raise ValueError(
            f"{path}: start ({start} s) and duration ({duration} s) cannot be negative"
        )
    if seconds <= 0:
        raise ValueError(f"seconds must be positive, not {seconds}")
    rate = file.samplerate
    first = round(start * rate)
    last = file.frames if duration is None else min(file.frames, first + round(duration * rate))
    if first > 0 and first >= file.frames:
        raise AudioError(
            f"{path}: holds {file.frames / rate:.2f} s, so nothing begins at {start:.2f} s; "
            "has the file changed since its manifest was made?"
        )
    resampler = None
    if sample_rate is not None and sample_rate != rate:
        import soxr

        resampler = soxr.ResampleStream(rate, sample_rate, 1)
    peak = 0.0
    for block in _mono(path, file, first, last, max(1, round(seconds * rate))):
        peak = max(peak, _peak(path, block))
        if resampler is not None:
            block = resampler.resample_chunk(block)
        if len(block):
            yield _clipped(block)
    if peak > 1.01:
        logger.warning("%s: samples reach %.2f; clipped to [-1, 1]", path, peak)
    if resampler is not None:
        block = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        if len(block):
            yield _clipped(block)


def _mono(path: Path, file: SoundFile, first: int, last: int, size: int) -> Iterator[np.ndarray]:
    """Frames first to last, at most `size` at a time, channels averaged; float32 (T,)."""
    # Some codecs cannot seek: those are read from the beginning and the first part dropped. MP3
    # frames build upon earlier ones: a second of those is decoded and dropped.
    before = file.samplerate if file.format == "MP3" else 0
    position = max(0, first - before) if file.can_seek else 0
    if position:
        with _decoding(path, file, position):
            file.seek(position)
    while position < last:
        with _decoding(path, file, position):
            block = file.read(min(size, last - position), dtype="float32", always_2d=True)
        if not len(block):
            break
        mono = block[:, 0] if file.channels == 1 else block.mean(axis=1)
        mono = mono[max(0, first - position) :]
        position += len(block)
        if len(mono):
            yield mono
    slack = _MP3_SLACK if file.format == "MP3" else 0
    if position < last - slack:
        raise AudioError(
            f"{path}: truncated, {position / file.samplerate:.2f} s "
            f"of {file.frames / file.samplerate:.2f} s"
        )


@contextlib.contextmanager
def _decoding(path: Path, file: SoundFile, position: int) -> Iterator[None]:
    """Name the file, and the place, when its decoder stumbles."""
    with quiet_mpeg() if file.format == "MP3" else contextlib.nullcontext():
        try:
            yield
        except soundfile.LibsndfileError as error:
            second = position / file.samplerate
            raise AudioError(
                f"{path}: truncated or damaged, not readable past {second:.2f} s"
            ) from error


def _peak(path: Path, block: np.ndarray) -> float:
    """The largest magnitude in (T,); AudioError where it cannot be a waveform's."""
    if not np.isfinite(block).all():
        raise AudioError(f"{path}: holds NaN or infinite samples; export it again")
    peak = float(np.abs(block).max())
    if peak > 8:
        raise AudioError(
            f"{path}: samples reach {peak:g} where [-1, 1] was expected; divide them by full scale"
        )
    return peak


def _clipped(block: np.ndarray) -> np.ndarray:
    return np.clip(block, -1.0, 1.0, dtype=np.float32)
