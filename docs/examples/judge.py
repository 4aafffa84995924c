"""A new judge of conversions: the spectral centroid, a measure of how bright a voice is.

    python docs/examples/judge.py MODEL MANIFEST.jsonl

converts utterances of a manifest and prints the scores of each kind of speech.
"""

import sys

import numpy as np

import speechvq
from speechvq.analysis.judges.judge import CONVERSION, REAL_TARGET, SOURCE, Judge, Score, Speech
from speechvq.analysis.judges.level import SAMPLE_RATE
from speechvq.analysis.judges.table import score_table
from speechvq.evaluation.conversion import evaluate_conversion
from speechvq.evaluation.trials import choose_trials


class SpectralCentroid(Judge):
    """Mean spectral centroid in Hz, and its distance to that of the target's recordings."""

    title = "centroid"
    name = "numpy's FFT"
    kinds = (SOURCE, REAL_TARGET, CONVERSION)
    formats = {"centroid": ".0f", "distance to target": ".0f"}

    def score(self, speech: Speech) -> Score:
        """Score one piece of speech; recordings are measured once each."""
        centroid = speech.measured(spectral_centroid)
        numbers = {"centroid": centroid}
        if speech.target is not None:
            pool = speech.recordings.pools[speech.target]
            real = [speech.recordings.measured(spectral_centroid, u) for u in pool]
            numbers["distance to target"] = abs(centroid - float(np.mean(real)))
        return Score(numbers)


def spectral_centroid(waveform: np.ndarray) -> float:
    """Centre of gravity, in Hz, of the power spectrum of a waveform (T,) at 16 kHz."""
    power = np.abs(np.fft.rfft(waveform)) ** 2
    frequencies = np.fft.rfftfreq(len(waveform), 1 / SAMPLE_RATE)
    return float((power * frequencies).sum() / max(power.sum(), 1e-12))


def main(folder: str, manifest: str, trials: int = 4) -> None:
    """Convert, judge and print a table."""
    model = speechvq.load(folder)
    chosen = choose_trials(manifest, model, None, trials, seed=0)
    judge = SpectralCentroid()
    result = evaluate_conversion(model, chosen, [judge])
    print(score_table(judge.formats, result.judged[judge.title].scores))


if __name__ == "__main__":
    main(*sys.argv[1:])
