"""Some utterances of a corpus, from which statistics are estimated."""

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from speechvq import audio
from speechvq.data.manifest import Columns, Utterance
from speechvq.data.pieces import equal_pieces
from speechvq.data.segments import Waveforms

logger = logging.getLogger(__name__)

LEVEL_SECONDS = 20.0
"""Speech of each speaker in which the level is measured."""
LEVEL_SPEAKERS = 100
"""Most speakers whose level is measured, spread evenly over their names."""
STRETCH_SECONDS = 20.0
"""A longer utterance counts as several, of at most this length."""


def sampled(
    waveforms: Waveforms, speakers: Sequence[str], seconds: float, total: float = np.inf
) -> Iterator[list[np.ndarray]]:
    """Yield utterances (T,) of each speaker, spread evenly over the corpus.

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
    columns = waveforms.columns
    order = np.argsort(columns.speaker, kind="stable")
    bounds = np.searchsorted(columns.speaker[order], np.arange(len(columns.speakers) + 1))
    for speaker in speakers:
        place = columns.speakers.index(speaker)
        own = order[bounds[place] : bounds[place + 1]]
        ends = np.cumsum(-(-waveforms.lengths[own] // longest))  # of stretches, by utterance
        count, samples = int(ends[-1]), int(waveforms.lengths[own].sum())
        picks = np.linspace(0, count - 1, int(np.clip(np.ceil(count * most / samples), 1, count)))
        found: dict[int, np.ndarray] = {}
        for pick in picks.round().astype(int).tolist():
            # The next, if it is not decoded
            for stretch in itertools.chain(range(pick, count), range(pick)):
                if stretch in found:
                    continue
                at = int(np.searchsorted(ends, stretch, side="right"))
                pieces = equal_pieces(int(waveforms.lengths[own[at]]), longest)
                waveform = waveforms.try_crop(int(own[at]), *pieces[stretch - int(ends[at])])
                if waveform is not None:
                    found[stretch] = waveform
                    break
        if not found:
            raise ValueError(
                f"{waveforms.fault(int(own[0]))}; nor can any other of {speaker} be decoded"
            )
        yield list(found.values())


def within_minutes(
    utterances: Sequence[Utterance], path: str, max_minutes: float, seed: int
) -> list[Utterance]:
    """Draw whole utterances of the manifest `path` at random, until `max_minutes` are reached.

    Those that cannot be decoded are left out (`decodable`).
    """
    order = np.random.default_rng(seed).permutation(len(utterances))
    seconds = np.cumsum(Columns.of(utterances).durations[order])
    count = np.searchsorted(seconds, max_minutes * 60) + 1
    if count < len(utterances):
        logger.info("%s: %d of %d utterances drawn (--max-minutes)", path, count, len(utterances))
    return decodable(utterances[index] for index in sorted(order[:count]))


def decodable(utterances: Iterable[Utterance]) -> list[Utterance]:
    """The utterances whose audio can be decoded, as it is now; each other one is logged.

    Raises
    ------
    AudioError, OSError
        None can be.
    """
    found, fault = [], None
    for utterance in utterances:
        try:
            for _ in audio.blocks(utterance.path, None, utterance.start, utterance.duration):
                pass
        except (audio.AudioError, OSError) as error:
            logger.error("%s; left out", error)
            fault = fault or error
        else:
            found.append(utterance)
    if fault and not found:
        raise fault
    return found


def speech_level(waveforms: Waveforms, speakers: Sequence[str]) -> float:
    """Level of the speech of a corpus, in dB: the mean over (some) speakers (audio/level.py).

    Raises
    ------
    ValueError
        There is silence alone.
    """
    count = min(len(speakers), LEVEL_SPEAKERS)
    heard = np.linspace(0, len(speakers) - 1, count).round().astype(int)
    some = sampled(waveforms, [speakers[i] for i in heard], LEVEL_SECONDS)
    levels = [audio.speech_level(utterances, waveforms.sample_rate) for utterances in some]
    audible = [level for level in levels if np.isfinite(level)]
    if not audible:
        raise ValueError(
            f"{waveforms.utterances[0].path}: silent, as are all other utterances that were "
            "listened to, so there is no speech to learn from; speechvq-prepare --check finds "
            "silent recordings"
        )
    return round(float(np.mean(audible)), 1)
