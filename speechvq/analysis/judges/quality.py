"""Speech quality by DNSMOS: networks that predict mean opinion scores from 1 to 5."""

import numpy as np

from speechvq.analysis.judges.judge import Judge, Score, Speech
from speechvq.analysis.judges.level import SAMPLE_RATE
from speechvq.analysis.judges.missing import importing, named

MARKS = {"overall": "ovrl_mos", "speech": "sig_mos", "background": "bak_mos", "p808": "p808_mos"}
"""Our names for ITU-T P.835 overall quality, speech and background, and for P.808."""


class DNSMOS(Judge):
    """DNSMOS from 1 (bad) to 5 (excellent).

    The training data is calls with and without noise suppression, so differences between systems
    are more reliable than absolute scores.

    Raises
    ------
    MissingJudge
        speechmos, or a package that it needs and does not declare, is not installed.
    """

    title = "DNSMOS"
    formats = dict.fromkeys(MARKS, ".2f")

    def __init__(self) -> None:
        with importing("speechmos"):
            from speechmos import dnsmos
        self.name = f"DNSMOS, {named('speechmos')}"
        self._run = dnsmos.run

    def score(self, speech: Speech) -> Score:
        """Predict the opinion scores of speech."""
        return Score(speech.measured(self.rate))

    def rate(self, waveform: np.ndarray) -> dict[str, float]:
        """Predict the scores of a waveform (T,) at 16 kHz, T at least 1, by names of :data:`MARKS`.

        Speech shorter than 9 s is repeated.
        """
        marks = self._run(np.asarray(waveform, dtype=np.float32), SAMPLE_RATE)
        return {ours: float(marks[theirs]) for ours, theirs in MARKS.items()}
