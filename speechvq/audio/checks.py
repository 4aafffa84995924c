"""Checks that audio can hold speech: long enough and not silent."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np

from speechvq.audio.errors import AudioError

RATES = (1000, 1_000_000)
"""Lowest and highest sample rate that a header may state, in Hz."""
SHORTEST = 0.1
"""Shortest audio that can hold speech, in seconds."""
SILENT_PEAK = 1e-4
"""A peak below this (-80 dB of full scale) is silence."""


def check_rate(path: str | os.PathLike[str], sample_rate: int) -> None:
    """Raise AudioError for a sample rate that no recording of speech has."""
    if not RATES[0] <= sample_rate <= RATES[1]:
        raise AudioError(
            f"{path}: the header states a sample rate of {sample_rate} Hz; expected {RATES[0]} to "
            f"{RATES[1]} Hz"
        )


def checked(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    path: str | os.PathLike[str],
    shortest: float = SHORTEST,
) -> Iterator[np.ndarray]:
    """Yield the blocks (T,) of a file; after the last one, raise if the audio cannot hold speech.

    Raises
    ------
    AudioError
        After the last block: the audio is shorter than `shortest` seconds, or silent throughout
        (peak below `SILENT_PEAK`).
    """
    T, peak = 0, 0.0
    for block in blocks:
        T += len(block)
        peak = max(peak, np.abs(block).max(initial=0.0))
        yield block
    duration = T / sample_rate
    if duration < shortest:
        raise AudioError(f"{path}: too short, {duration:.3f} s; at least {shortest:g} s is needed")
    if peak < SILENT_PEAK:
        raise AudioError(f"{path}: silent from beginning to end")


def check_floats(what: str | os.PathLike[str], waveform: np.ndarray) -> None:
    """Raise ValueError for samples that are no floats: whole numbers have another full scale."""
    if waveform.size and not np.issubdtype(waveform.dtype, np.floating):
        raise ValueError(
            f"{what}: expected floats in [-1, 1], got {waveform.dtype}; divide them by full "
            "scale, 16 bits by 32768"
        )
