"""Error rates of recognisers: WER and PER."""

from collections.abc import Sequence

import numpy as np

from speechvq.analysis.judges.judge import SOURCE, Errors, Judge, Score, Speech
from speechvq.data.manifest import Utterance


def count_errors(reference: Sequence[str], transcript: Sequence[str]) -> int:
    """Count substitutions, deletions and insertions: the Levenshtein distance."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(reference, transcript)


class ErrorRate(Judge):
    """Base class of recognisers: errors per symbol of the reference, a word or a phone.

    The reference of an utterance without transcript is what the recogniser hears of the recording;
    the recording then has no error rate of its own.
    """

    def reference(self, utterance: Utterance) -> list[str]:
        """Return the symbols of an utterance that are known; empty if none are."""
        raise NotImplementedError

    def transcribe(self, waveform: np.ndarray) -> list[str]:
        """Recognise the symbols of a waveform (T,) at 16 kHz."""
        raise NotImplementedError

    def score(self, speech: Speech) -> Score:
        """Count errors against the reference, if it is not empty."""
        heard = speech.measured(self.transcribe)
        reference = self.reference(speech.utterance)
        if not reference and speech.kind != SOURCE:
            reference = speech.of_recording(self.transcribe)
        numbers = {}
        if reference:
            numbers[self.title] = Errors(count_errors(reference, heard), len(reference))
        return Score(numbers, " ".join(heard))
