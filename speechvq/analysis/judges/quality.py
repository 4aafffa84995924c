"""How speech sounds, by DNSMOS: networks trained on people's marks from 1 to 5."""

import numpy as np

from speechvq.analysis.judges.level import SAMPLE_RATE
from speechvq.analysis.judges.missing import importing, named

MARKS = {"overall": "ovrl_mos", "speech": "sig_mos", "background": "bak_mos", "p808": "p808_mos"}
"""Our names: of ITU-T P.835 the overall quality, the speech, the background; and of P.808."""


class Quality:
    """Gives marks from 1 (bad) to 5 (excellent).

    They were learned from calls with and without noise suppression, so a difference says more
    than a mark.

    Raises
    ------
    MissingJudge
        speechmos, or what it needs and does not ask for, is not installed.
    """

    def __init__(self) -> None:
        with importing("speechmos"):
            from speechmos import dnsmos
        self.name = f"DNSMOS, {named('speechmos')}"
        self._run = dnsmos.run

    def rate(self, waveform: np.ndarray) -> dict[str, float]:
        """Mark a waveform (T,) at 16 kHz, T at least 1; the keys are those of :data:`MARKS`.

        What is shorter than 9 s is heard again and again.
        """
        marks = self._run(np.asarray(waveform, dtype=np.float32), SAMPLE_RATE)
        return {ours: float(marks[theirs]) for ours, theirs in MARKS.items()}
