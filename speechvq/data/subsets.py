"""Some utterances of each speaker of a corpus, from which statistics are estimated."""

from collections.abc import Sequence

import numpy as np

from speechvq import audio
from speechvq.data.segments import Waveforms, equal_pieces

LEVEL_SECONDS = 20.0
"""Speech of each speaker in which the level is measured."""
STRETCH_SECONDS = 20.0
"""A longer utterance counts as several, of at most this length."""


def sample_utterances(
    waveforms: Waveforms, speakers: Sequence[str], seconds: float, total: float = np.inf
) -> list[list[np.ndarray]]:
    """Utterances (T,) of each speaker, spread evenly over the corpus.

    Parameters
    ----------
    waveforms : Waveforms
        Of the corpus.
    speakers : sequence of str
        Whose utterances.
    seconds : float
        Of each speaker, about so much.
    total : float
        Seconds of all speakers, at most.
    """
    most = min(seconds, total / len(speakers)) * waveforms.sample_rate
    longest = round(STRETCH_SECONDS * waveforms.sample_rate)
    stretches: list[list[tuple[int, int, int]]] = [[] for _ in speakers]
    index = {name: i for i, name in enumerate(speakers)}
    for i, utterance in enumerate(waveforms.utterances):
        parts = equal_pieces(int(waveforms.lengths[i]), longest)
        stretches[index[utterance.speaker]] += [(i, start, length) for start, length in parts]
    chosen = []
    for own in stretches:
        count = len(own) * most / max(1, sum(length for _, _, length in own))
        picks = np.linspace(0, len(own) - 1, int(np.clip(np.ceil(count), 1, len(own))))
        chosen.append([waveforms.crop(*own[p]) for p in picks.round().astype(int)])
    return chosen


def speech_level(waveforms: Waveforms, speakers: Sequence[str]) -> float:
    """Level of the speech of a corpus, in dB: the mean over speakers (audio/level.py)."""
    some = sample_utterances(waveforms, speakers, LEVEL_SECONDS)
    levels = [audio.speech_level(utterances, waveforms.sample_rate) for utterances in some]
    audible = [level for level in levels if np.isfinite(level)]
    return round(float(np.mean(audible)), 1) if audible else 0.0
