"""Level normalisation: the level of a recording, and the gains to the model's level and back.

Codes depend on the level of the speech. A recording is therefore scaled to the level of the
training speech before it is encoded, and a conversion is scaled back to the level of its source.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

MAX_LEVEL = -20.0
"""Level of converted speech, dB, that is not exceeded: its peaks would be clipped."""
SOFTEST = 20.0
"""dB below the training speech. Softer speech is raised to there for a streaming encoder."""


class Gains(NamedTuple):
    """Factors of amplitude."""

    to_model: float
    """From a recording to the level of the training speech."""
    to_source: float
    """From speech at the level of the training speech to the level of the recording."""


NO_GAIN = Gains(1.0, 1.0)


def gains_between(level: float, model_level: float) -> Gains:
    """Gains between a recording and a model, by the level of the speech in each.

    Parameters
    ----------
    level : float
        dB; minus infinity for silence.
    model_level : float
        Level of the training speech, dB.

    Returns
    -------
    Gains
        A silent recording keeps its level. The gain back leads to `MAX_LEVEL` at most.
    """
    if not math.isfinite(level):
        level = model_level
    return Gains(
        10 ** ((model_level - level) / 20), 10 ** ((min(level, MAX_LEVEL) - model_level) / 20)
    )


def apply_gain(gain: float, waveform: np.ndarray) -> np.ndarray:
    """Scale a waveform (T,) and clip it to [-1, 1]; a gain of 1 gives the waveform itself."""
    return waveform if gain == 1 else (gain * waveform).clip(-1, 1)
