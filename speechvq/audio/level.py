"""Level of speech, without pauses."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

FRAME = 0.02
"""Seconds over which power is averaged."""
LOUD = 0.95
"""Quantile of the power of the frames that is taken as the power of loud speech."""
PAUSE = 30.0
"""Frames at least this many dB below loud speech are pauses."""


def speech_level(blocks: Iterable[np.ndarray], sample_rate: int) -> float:
    """Measure the level of the speech in a recording, without pauses.

    Parameters
    ----------
    blocks : iterable of ndarray
        The recording in blocks (T,), of any lengths.
    sample_rate : int
        Hz.

    Returns
    -------
    float
        dB; 0 dB is a root mean square of 1. Minus infinity for silence.
    """
    size = max(1, round(FRAME * sample_rate))
    rest, powers = np.zeros(0, np.float32), [np.zeros(0, np.float32)]
    for block in blocks:
        samples = np.concatenate([rest, block])
        whole = len(samples) // size * size
        powers.append(np.square(samples[:whole]).reshape(-1, size).mean(1))
        rest = samples[whole:]
    if len(rest):
        powers.append(np.square(rest).mean(keepdims=True))
    power = np.concatenate(powers)
    if not power.any():
        return -np.inf
    speech = power[power > np.quantile(power, LOUD) * 10 ** (-PAUSE / 10)]
    return float(10 * np.log10(speech.mean() if len(speech) else power.mean()))
