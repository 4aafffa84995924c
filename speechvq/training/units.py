"""What a training's recordings say in acoustic units, for the encoder to learn.

Shapes: T frames of 10 ms, K units.
"""

import numpy as np
import torch
from torch import Tensor

from speechvq.data.segments import Labels, Waveforms
from speechvq.models.spectral import FrameCepstra
from speechvq.models.units import STATES, discover

RATE = 100
"""Frames per second."""
CEPSTRA = 16
LONGEST = 3600.0
"""Seconds of speech from which the units are learned, at most. The rest is only labelled."""


def find_units(
    train: Waveforms, others: Waveforms, count: int, mel_bands: int, seed: int, progress: bool
) -> tuple[Labels, Labels]:
    """Find units in a training's recordings; label them, and others by the same speakers.

    Parameters
    ----------
    train, others : Waveforms
        The units are learned from the former alone.
    count : int
        K.
    mel_bands : int
        Of the log-mel frames below the cepstra.
    seed : int
        Of the first clusters.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    tuple of Labels
        The unit of every frame, 0 … K-1.
    """
    features = _features([train, others], mel_bands)
    of_train, of_others = features[: len(train)], features[len(train) :]
    seconds = np.cumsum(train.lengths / train.sample_rate)
    enough = max(1, int(np.searchsorted(seconds, LONGEST)))
    units = discover(of_train[:enough], count, seed, progress)

    def labels(part: list[Tensor]) -> Labels:
        found = [(states // STATES).numpy() for states in units.states(part)]
        return Labels(found, RATE, train.sample_rate)

    return labels(of_train), labels(of_others)


@torch.no_grad()
def _features(parts: list[Waveforms], mel_bands: int) -> list[Tensor]:
    """Cepstra of each utterance, standardised by speaker, and their slopes: (T, 2 · CEPSTRA)."""
    from librosa.feature import delta

    hop_length = parts[0].sample_rate // RATE
    to_cepstra = FrameCepstra(parts[0].sample_rate, hop_length, mel_bands, min(CEPSTRA, mel_bands))
    cepstra = []
    for waveforms in parts:
        for i, length in enumerate(waveforms.lengths.tolist()):
            waveform = np.pad(waveforms.crop(i, 0, length), (0, -length % hop_length))
            cepstra.append(to_cepstra(torch.from_numpy(waveform)[None])[0].numpy())
    speakers = np.array([u.speaker for waveforms in parts for u in waveforms.utterances])
    for speaker in np.unique(speakers):
        its = np.flatnonzero(speakers == speaker)
        frames = np.concatenate([cepstra[i] for i in its])
        mean, scale = frames.mean(0), frames.std(0) + 1e-5
        for i in its:
            cepstra[i] = (cepstra[i] - mean) / scale
    slopes = [2 * delta(c, width=5, axis=0, mode="nearest") for c in cepstra]
    return [torch.from_numpy(np.hstack(pair)) for pair in zip(cepstra, slopes, strict=True)]
