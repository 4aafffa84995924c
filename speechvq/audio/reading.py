"""Reading audio files, whole or in blocks."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from speechvq.audio.checks import check_floats, checked
from speechvq.audio.errors import AudioError
from speechvq.audio.opening import Opened, SoundFile, opened, quiet_mpeg

logger = logging.getLogger(__name__)

BLOCK = 10.0
"""Default length of a block, in seconds."""

VALUES = 1 << 22
"""Most samples of all channels that are decoded at a time."""

FRAMES = 500
"""Frames of which statistics are computed at a time."""

LACKING = 0.1
"""Seconds by which a part may be shorter than a manifest states, which rounds."""

CANCELLED = 0.01
"""Channels whose average has less than this part of the power of the loudest cancel out."""

_MP3_SLACK = 2304  # two MPEG frames: the padding of encoders differs by this much


def read(
    path: str | os.PathLike[str],
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
        Hz to resample to; None keeps the sample rate of the file.
    start
        Start in the file, in seconds.
    duration
        Longest duration to read, in seconds; None reads to the end.

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
        Silent and short audio is no error here; see `checked`.
    """
    path = Path(path)
    with opened(path) as file:
        pieces = list(_blocks(path, file, sample_rate, start, duration, BLOCK))
        rate = file.samplerate if sample_rate is None else sample_rate
    return np.concatenate([np.zeros(0, np.float32), *pieces]), rate


def blocks(
    path: str | os.PathLike[str],
    sample_rate: int | None = None,
    start: float = 0.0,
    duration: float | None = None,
    seconds: float = BLOCK,
) -> Iterator[np.ndarray]:
    """Read an audio file, or a part of it, in blocks, with one block in memory at a time.

    Parameters
    ----------
    path, sample_rate, start, duration
        As in `read`.
    seconds
        Duration of a block.

    Yields
    ------
    ndarray
        float32 (T,) in [-1, 1], T at least 1 and not the same in all blocks. The blocks
        concatenated are the waveform of `read`.

    Raises
    ------
    FileNotFoundError, AudioError
        As `read`. Errors in the header are raised before the first block, others at their block.
    """
    path = Path(path)
    with opened(path) as file:
        yield from _blocks(path, file, sample_rate, start, duration, seconds)


@dataclass(frozen=True)
class Recording:
    """A file, or a part of it, whose speech can be read in blocks again and again.

    Iterating raises the errors of `blocks`, and after the last block those of `checked`, and
    AudioError if the file ends before the part does.
    """

    path: Path
    sample_rate: int
    """Hz to resample to."""
    start: float = 0.0
    """Seconds."""
    duration: float | None = None
    """Seconds; None reads to the end."""

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield blocks (T,)."""
        read = blocks(self.path, self.sample_rate, self.start, self.duration)
        count = 0
        for block in checked(read, self.sample_rate, self.path):
            count += len(block)
            yield block
        found = count / self.sample_rate
        if self.duration is not None and found < self.duration - LACKING:
            raise AudioError(
                f"{self.path}: holds {found:.2f} s from {self.start:.2f} s on, where "
                f"{self.duration:.2f} s were expected; has it changed since its manifest was made?"
            )


def framed(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Cut a recording anew, into blocks of whole frames of `size` samples.

    Parameters
    ----------
    blocks
        The recording in blocks (T,), of any lengths.
    size
        Samples of a frame.

    Yields
    ------
    ndarray
        At most `FRAMES` frames; the last block holds what is left, less than a frame.
    """
    rest = np.zeros(0, np.float32)
    for block in blocks:
        for first in range(0, len(block), FRAMES * size):
            samples = np.concatenate([rest, block[first : first + FRAMES * size]])
            whole = len(samples) // size * size
            if whole:
                yield samples[:whole]
            rest = samples[whole:]
    if len(rest):
        yield rest


def info(path: str | os.PathLike[str]) -> tuple[float, int]:
    """Return duration in seconds and sample rate in Hz, from the header alone.

    Raises
    ------
    FileNotFoundError, AudioError
        As `read`, for errors that show in the header and in the size of the file.
    """
    with opened(Path(path)) as file:
        return file.frames / file.samplerate, file.samplerate


def _blocks(
    path: Path,
    file: Opened,
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
    most = max(1, min(round(seconds * rate), VALUES // file.channels))
    mono = _mono(path, file, first, last, most)
    yield from resampled(_waveform(path, mono), rate, sample_rate or rate)


def _waveform(path: Path, mono: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield blocks (T,) that are a waveform, and warn in the end if it has to be clipped."""
    peak = 0.0
    for block in mono:
        peak = max(peak, check_peak(path, block))
        yield block
    if peak > 1.01:
        logger.warning("%s: samples reach %.2f; clipped to [-1, 1]", path, peak)


def resampled(
    blocks: Iterable[np.ndarray], rate: int, sample_rate: int, quality: str = "HQ"
) -> Iterator[np.ndarray]:
    """Resample blocks (T,) from `rate` to `sample_rate`, in Hz, and clip them to [-1, 1]."""
    resampler = None
    if sample_rate != rate:
        import soxr

        resampler = soxr.ResampleStream(rate, sample_rate, 1, quality=quality)
    for block in blocks:
        if resampler is not None:
            block = resampler.resample_chunk(block)
        if len(block):
            yield _clipped(block)
    if resampler is not None:
        block = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        if len(block):
            yield _clipped(block)


def _mono(path: Path, file: Opened, first: int, last: int, size: int) -> Iterator[np.ndarray]:
    """Yield samples first to last, channels averaged, in blocks (T,) of at most `size`."""
    # Codecs that cannot seek are decoded from the beginning, and samples before `first` dropped. An
    # MP3 frame depends on earlier ones, so a second before `first` is decoded and dropped.
    before = file.samplerate if file.format == "MP3" else 0
    position = max(0, first - before) if file.can_seek else 0
    if position and isinstance(file, SoundFile):
        with _decoding(path, file, position, file.samplerate):
            file.seek(position)
    while position < last:
        wanted = min(size, last - position)
        with _decoding(path, file, position, wanted):
            block = file.read(wanted, dtype="float32", always_2d=True)
        if not len(block):
            break
        mono = mixed(block)
        mono = mono[max(0, first - position) :]
        position += len(block)
        if len(mono):
            yield mono
    slack = {"MP3": _MP3_SLACK, "FFMPEG": file.samplerate // 10}.get(file.format, 0)
    if position < last - slack:
        raise AudioError(
            f"{path}: truncated, {position / file.samplerate:.2f} s "
            f"of {file.frames / file.samplerate:.2f} s"
        )


def mixed(block: np.ndarray) -> np.ndarray:
    """Average the channels of (T, channels); of channels that cancel out, take the loudest."""
    if block.shape[1] == 1:
        return block[:, 0]
    mono = block.mean(axis=1)
    powers = np.square(block).sum(axis=0)
    if np.square(mono).sum() < CANCELLED * powers.max():
        return block[:, powers.argmax()]
    return mono


@contextlib.contextmanager
def _decoding(path: Path, file: Opened, position: int, samples: int) -> Iterator[None]:
    """Turn an error of the decoder into an AudioError with the path and the time."""
    with quiet_mpeg() if file.format == "MP3" else contextlib.nullcontext():
        try:
            yield
        except (soundfile.LibsndfileError, ValueError) as error:
            begin, end = (at / file.samplerate for at in (position, position + samples))
            raise AudioError(
                f"{path}: truncated or damaged between {begin:.2f} and {end:.2f} s"
            ) from error


def check_peak(path: Path | str, block: np.ndarray) -> float:
    """Return the peak magnitude of a block; AudioError if it is no waveform in [-1, 1]."""
    if not np.isfinite(block).all():
        raise AudioError(f"{path}: holds NaN or infinite samples; export it again")
    peak = float(np.abs(block).max())
    if peak > 8:
        raise AudioError(
            f"{path}: samples reach {peak:g} where [-1, 1] was expected; divide them by full scale"
        )
    return peak


def checked_waveform(samples: npt.ArrayLike) -> np.ndarray:
    """Samples (T,) as float32; ValueError for what is no waveform in [-1, 1].

    Integers are refused, which have another full scale; so are NaN and infinite samples.
    """
    waveform = np.asarray(samples)
    if waveform.ndim != 1:
        raise ValueError(f"waveform: expected shape (T,), T at least 1, got {waveform.shape}")
    check_floats("waveform", waveform)
    if waveform.size:
        check_peak("waveform", waveform)
    return waveform.astype(np.float32, copy=False)


def _clipped(block: np.ndarray) -> np.ndarray:
    return np.clip(block, -1.0, 1.0, dtype=np.float32)
