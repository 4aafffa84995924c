"""What a training's recordings say in acoustic units, for the encoder to learn.

Shapes: T frames of 10 ms, K units.
"""

from collections import Counter

import numpy as np
import torch
from torch import Tensor

from speechvq.data.segments import Labels, Waveforms
from speechvq.models.cepstra import FrameCepstra, SpeakerCepstra
from speechvq.models.sounds import Sounds
from speechvq.models.units import STATES, discover
from speechvq.models.voice import BANDS
from speechvq.training.speakers import fit_sounds, fit_speakers

RATE = 100
"""Frames per second."""
CEPSTRA = 16
LONGEST = 3600.0
"""Seconds of speech from which the units are learned, at most. The rest is only labelled."""


def find_units(
    train: Waveforms, others: Waveforms, count: int, seed: int, progress: bool
) -> tuple[Labels, Labels]:
    """Find units in a training's recordings; label them, and others by the same speakers.

    Parameters
    ----------
    train, others : Waveforms
        The units are learned from the former alone.
    count : int
        K.
    seed : int
        Of the first clusters.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    tuple of Labels
        The unit of every frame, 0 … K-1.
    """
    speakers = sorted({u.speaker for u in train.utterances})
    index = {name: i for i, name in enumerate(speakers)}
    said_by = [index[u.speaker] for part in (train, others) for u in part.utterances]
    features = _features([train, others], speakers, seed)
    enough = _enough(said_by[: len(train)], train.lengths / train.sample_rate)
    units = discover(
        [features[i] for i in enough], [said_by[i] for i in enough], count, seed, progress
    )
    found = [(states // STATES).numpy() for states in units.states(features, said_by)]
    parts = found[: len(train)], found[len(train) :]
    return tuple(Labels(part, RATE, train.sample_rate) for part in parts)


def _enough(said_by: list[int], seconds: np.ndarray) -> list[int]:
    """Places of utterances of `LONGEST` seconds in all, by every speaker in turn."""
    so_far: Counter[int] = Counter()
    turns = []
    for i, speaker in enumerate(said_by):
        turns.append((so_far[speaker], i))
        so_far[speaker] += 1
    order = [i for _, i in sorted(turns)]
    until = np.cumsum(seconds[order])
    count = max(len(so_far), int(np.searchsorted(until, LONGEST, side="right")))
    return sorted(order[:count])


@torch.no_grad()
def _features(parts: list[Waveforms], speakers: list[str], seed: int) -> list[Tensor]:
    """Cepstra of each utterance, alike between speakers, and their slopes: (T, 2 · CEPSTRA)."""
    from librosa.feature import delta

    train = parts[0]
    hop_length = train.sample_rate // RATE
    frames = FrameCepstra(train.sample_rate, hop_length, BANDS, CEPSTRA)
    cepstra = SpeakerCepstra(frames, len(speakers))
    sounds = Sounds(CEPSTRA, len(speakers))
    fit_sounds(sounds, fit_speakers(cepstra, train, speakers, seed), seed)
    features = []
    for waveforms in parts:
        for i, length in enumerate(waveforms.lengths.tolist()):
            waveform = np.pad(waveforms.crop(i, 0, length), (0, -length % hop_length))
            speaker = torch.tensor([speakers.index(waveforms.utterances[i].speaker)])
            alike = cepstra(torch.from_numpy(waveform)[None], speaker)
            values = sounds(alike, speaker)[0].numpy()
            slopes = 2 * delta(values, width=5, axis=0, mode="nearest")
            features.append(torch.from_numpy(np.hstack([values, slopes])))
    return features
