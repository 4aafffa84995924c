"""Which phones are heard, by pocketsphinx with a model of phone sequences and no words."""

from collections.abc import Iterable

import numpy as np

from speechvq.analysis.frames import normalise
from speechvq.analysis.judges.missing import importing, named
from speechvq.data.labels import SILENCE
from speechvq.data.manifest import Phone

PADDING, DITHER = 4000, 2.0
"""Samples of near silence at both ends, and its spread in steps of 16-bit audio."""

FOLDED = {
    "ax": "ah", "ax-h": "ah", "ix": "ih", "axr": "er", "el": "ah l", "em": "ah m", "en": "ah n",
    "eng": "ah ng", "nx": "n", "ux": "uw", "hv": "hh", "dx": "t", "q": "",
    "pcl": "", "bcl": "", "tcl": "", "dcl": "", "kcl": "", "gcl": "",
}  # fmt: skip
"""Phones of TIMIT and flite that CMUdict does not have, in those that it has."""


class Phones:
    """Hears phones: the 39 of CMUdict, in lower case, without silence.

    Raises
    ------
    MissingJudge
        pocketsphinx or rapidfuzz is not installed.
    """

    def __init__(self) -> None:
        with importing("pocketsphinx"):
            from pocketsphinx import Decoder, get_model_path
        with importing("rapidfuzz"):
            import rapidfuzz  # noqa: F401  for `edits`
        self.name = named("pocketsphinx")
        # The weight gave the fewest errors of 1, 2, 3, 4 and 6.5 on the stand-in corpus.
        self._decoder = Decoder(
            lm=None, allphone=get_model_path("en-us/en-us-phone.lm.bin"), lw=2.0,
            beam=1e-20, pbeam=1e-20, loglevel="FATAL",
        )  # fmt: skip

    def hear(self, waveform: np.ndarray) -> list[str]:
        """Hear the phones of a waveform (T,) at 16 kHz."""
        samples = np.pad(np.asarray(waveform, dtype=np.float64) * 32767, PADDING)
        samples += np.random.default_rng(0).normal(0, DITHER, len(samples))
        self._decoder.reinit_feat()  # else what it hears depends on what it heard before
        self._decoder.start_utt()
        try:
            content = np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
            self._decoder.process_raw(content, full_utt=True)
        finally:
            self._decoder.end_utt()
        heard = [entry.word for entry in self._decoder.seg() or ()]
        return [phone.lower() for phone in heard if phone.isalpha() and phone != "SIL"]


def said(phones: Iterable[Phone]) -> list[str]:
    """Put the phones of an utterance into the symbols that :meth:`Phones.hear` has."""
    labels = [phone.label for phone in normalise(phones)]
    return [
        symbol
        for label in labels
        if label != SILENCE
        for symbol in FOLDED.get(label, label).split()
    ]
