"""Whether audio can hold speech."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

import numpy as np

from speechvq.audio.errors import AudioError

SHORTEST = 0.1
"""Seconds below which audio is too short to hold speech."""
SILENT_PEAK = 1e-4
"""A peak below this (-80 dB of full scale) is silence."""


def checked(
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    path: str | os.PathLike,
    shortest: float = SHORTEST,
) -> Iterator[np.ndarray]:
    """Pass on the pieces (T,) of a file; at their end, refuse audio that cannot hold speech.

    Raises
    ------
    AudioError
        After the last piece: shorter than `shortest` seconds in all, or silent throughout (peak
        below `SILENT_PEAK`).
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


def check_speech(
    waveform: np.ndarray,
    sample_rate: int,
    path: str | os.PathLike,
    shortest: float = SHORTEST,
) -> None:
    """Refuse a waveform (T,) that cannot hold speech, as `checked` does.

    Raises
    ------
    AudioError
        Shorter than `shortest` seconds, or silent throughout (peak below `SILENT_PEAK`).
    """
    for _ in checked([waveform], sample_rate, path, shortest):
        pass
