"""Audio that is read from a pipe while it is recorded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soundfile

from speechvq.audio.checks import check_rate
from speechvq.audio.errors import AudioError
from speechvq.audio.reading import VALUES, check_peak, mixed, resampled

SECONDS = 0.04
"""Length of a block: what the reader waits for."""
UNKNOWN = 2**29 - 4096
"""A WAV file whose header states at least so many samples has none to state: 2 GB and more."""


def live_blocks(
    descriptor: int, sample_rate: int, pcm_rate: int | None = None, name: str = "stdin"
) -> Iterator[np.ndarray]:
    """Read a pipe block by block, each as soon as it has come.

    Parameters
    ----------
    descriptor : int
        File descriptor of a pipe with a WAV file, of a known length or not, or raw samples. It is
        left open.
    sample_rate : int
        Hz, of the blocks. Audio of another rate is resampled, which delays it by some milliseconds.
    pcm_rate : int, optional
        Hz, of raw 16-bit little-endian samples of one channel; None for a WAV file.
    name : str
        Of the pipe, in messages.

    Yields
    ------
    ndarray
        (t,) float32 in [-1, 1], `SECONDS` long.

    Raises
    ------
    AudioError
        What comes is no WAV file or no waveform in [-1, 1], has no samples, or ends before the
        length that its header states.
    """
    raw = {"samplerate": pcm_rate, "channels": 1, "subtype": "PCM_16", "format": "RAW"}
    try:
        file = soundfile.SoundFile(descriptor, closefd=False, **(raw if pcm_rate else {}))
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"{name}: not a WAV file, which is what can be read while it is recorded; pipe WAV, or "
            "raw 16-bit samples with --pcm RATE"
        ) from error
    with file:
        check_rate(name, file.samplerate)
        yield from resampled(_mono(file, name), file.samplerate, sample_rate, "MQ")


def _mono(file: soundfile.SoundFile, name: str) -> Iterator[np.ndarray]:
    """Yield blocks (t,), channels averaged, as they come."""
    came, most = 0, min(round(SECONDS * file.samplerate), VALUES // file.channels)
    while True:
        try:
            block = file.read(most, "float32", True)
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{name}: damaged after {came / file.samplerate:.2f} s") from error
        if not len(block):
            break
        came += len(block)
        check_peak(name, block)
        yield mixed(block)
    if not came:
        raise AudioError(
            f"{name}: no samples came, or its header says that there are none; pipe the samples "
            "alone with --pcm RATE"
        )
    if came < file.frames and file.frames * file.channels < UNKNOWN:
        rate = file.samplerate
        raise AudioError(f"{name}: truncated, {came / rate:.2f} s of {file.frames / rate:.2f} s")
