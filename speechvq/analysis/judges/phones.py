"""Phone error rate by pocketsphinx with a phone language model, without words."""

from collections.abc import Iterable

import numpy as np

from speechvq.analysis.frames import normalise
from speechvq.analysis.judges.edits import ErrorRate
from speechvq.analysis.judges.missing import importing, named
from speechvq.data.labels import SILENCE
from speechvq.data.manifest import Phone, Utterance

PADDING, DITHER = 4000, 2.0
"""Samples of near silence at both ends; standard deviation of dither in steps of 16-bit audio."""

FOLDED = {
    "ax": "ah", "ax-h": "ah", "ix": "ih", "axr": "er", "el": "ah l", "em": "ah m", "en": "ah n",
    "eng": "ah ng", "nx": "n", "ux": "uw", "hv": "hh", "dx": "t", "q": "",
    "pcl": "", "bcl": "", "tcl": "", "dcl": "", "kcl": "", "gcl": "",
}  # fmt: skip
"""From phones of TIMIT and flite that CMUdict lacks to phones of CMUdict."""


class PhoneErrorRate(ErrorRate):
    """PER against the phones of the utterance, else the phones heard in the recording.

    Phones are the 39 of CMUdict, in lower case, without silence.

    Raises
    ------
    MissingJudge
        pocketsphinx or rapidfuzz is not installed.
    """

    title = "PER"
    formats = {"PER": ".0%", "PER / source": ".2f"}

    def __init__(self) -> None:
        with importing("pocketsphinx"):
            from pocketsphinx import Decoder, get_model_path
        with importing("rapidfuzz"):
            import rapidfuzz  # noqa: F401  for `count_errors`
        self.name = named("pocketsphinx")
        # Of language weights 1, 2, 3, 4 and 6.5 this has the lowest PER on the stand-in corpus.
        self._decoder = Decoder(
            lm=None, allphone=get_model_path("en-us/en-us-phone.lm.bin"), lw=2.0,
            beam=1e-20, pbeam=1e-20, loglevel="FATAL",
        )  # fmt: skip

    def reference(self, utterance: Utterance) -> list[str]:
        """Return the phones of an utterance."""
        return reference_phones(utterance.phones or ())

    def transcribe(self, waveform: np.ndarray) -> list[str]:
        """Recognise the phones of a waveform (T,) at 16 kHz."""
        samples = np.pad(np.asarray(waveform, dtype=np.float64) * 32767, PADDING)
        samples += np.random.default_rng(0).normal(0, DITHER, len(samples))
        self._decoder.reinit_feat()  # else the result depends on earlier recordings
        self._decoder.start_utt()
        try:
            content = np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()
            self._decoder.process_raw(content, full_utt=True)
        finally:
            self._decoder.end_utt()
        phones = [entry.word for entry in self._decoder.seg() or ()]
        return [phone.lower() for phone in phones if phone.isalpha() and phone != "SIL"]


def reference_phones(phones: Iterable[Phone]) -> list[str]:
    """Map the phones of an utterance to the symbols of :meth:`PhoneErrorRate.transcribe`."""
    labels = [phone.label for phone in normalise(phones)]
    return [
        symbol
        for label in labels
        if label != SILENCE
        for symbol in FOLDED.get(label, label).split()
    ]
