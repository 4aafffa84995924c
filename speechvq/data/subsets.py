"""Some utterances of a corpus, from which statistics are estimated."""

import logging
from collections.abc import Sequence

import numpy as np

from speechvq import audio
from speechvq.data.manifest import Utterance
from speechvq.data.pieces import equal_pieces
from speechvq.data.segments import Waveforms

logger = logging.getLogger(__name__)

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

    Raises
    ------
    ValueError
        None of a speaker's utterances can be decoded.
    """
    most = min(seconds, total / len(speakers)) * waveforms.sample_rate
    longest = round(STRETCH_SECONDS * waveforms.sample_rate)
    stretches: list[list[tuple[int, int, int]]] = [[] for _ in speakers]
    index = {name: i for i, name in enumerate(speakers)}
    for i, utterance in enumerate(waveforms.utterances):
        parts = equal_pieces(int(waveforms.lengths[i]), longest)
        stretches[index[utterance.speaker]] += [(i, start, length) for start, length in parts]
    chosen = []
    for speaker, own in zip(speakers, stretches, strict=True):
        count = len(own) * most / max(1, sum(length for _, _, length in own))
        picks = np.linspace(0, len(own) - 1, int(np.clip(np.ceil(count), 1, len(own))))
        found: dict[tuple[int, int, int], np.ndarray] = {}
        for p in picks.round().astype(int):
            for stretch in own[p:] + own[:p]:  # the next, if this one cannot be decoded
                if stretch in found:
                    continue
                waveform = waveforms.try_crop(*stretch)
                if waveform is not None:
                    found[stretch] = waveform
                    break
        if not found:
            raise ValueError(
                f"{waveforms.fault(own[0][0])}; nor can any other of {speaker} be decoded"
            )
        chosen.append(list(found.values()))
    return chosen


def within_minutes(
    utterances: Sequence[Utterance], path: str, max_minutes: float, seed: int
) -> list[Utterance]:
    """Draw whole utterances of the manifest `path` at random, until `max_minutes` are reached."""
    order = np.random.default_rng(seed).permutation(len(utterances))
    seconds = np.cumsum([utterances[index].duration for index in order])
    count = np.searchsorted(seconds, max_minutes * 60) + 1
    if count < len(utterances):
        logger.info("%s: %d of %d utterances drawn (--max-minutes)", path, count, len(utterances))
    return [utterances[index] for index in sorted(order[:count])]


def speech_level(waveforms: Waveforms, speakers: Sequence[str]) -> float:
    """Level of the speech of a corpus, in dB: the mean over speakers (audio/level.py).

    Raises
    ------
    ValueError
        There is silence alone.
    """
    some = sample_utterances(waveforms, speakers, LEVEL_SECONDS)
    levels = [audio.speech_level(utterances, waveforms.sample_rate) for utterances in some]
    audible = [level for level in levels if np.isfinite(level)]
    if not audible:
        raise ValueError(
            f"{waveforms.utterances[0].path}: silent, as are all other utterances that were "
            "listened to, so there is no speech to learn from; speechvq-prepare --check finds "
            "silent recordings"
        )
    return round(float(np.mean(audible)), 1)
