"""Utterances of a manifest as a model sees them: waveforms and codes.

Shapes: T samples, N codes, G codebooks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from speechvq import audio
from speechvq.data.manifest import Utterance
from speechvq.model import Model
from speechvq.sampling.encode import encode


@dataclass(frozen=True)
class Encoded:
    """An utterance, its waveform (T,) at the model's sample rate, and its codes.

    Codes are (N,), of product codes (N, G).
    """

    utterance: Utterance
    waveform: np.ndarray
    codes: np.ndarray


def read_waveform(utterance: Utterance, sample_rate: int) -> np.ndarray:
    """Read the waveform (T,) of an utterance, resampled to `sample_rate` Hz."""
    return audio.read(utterance.path, sample_rate, utterance.start, utterance.duration)[0]


def encode_utterances(model: Model, utterances: Iterable[Utterance]) -> Iterator[Encoded]:
    """Read and encode utterances, one after the other, in the order given."""
    for utterance in utterances:
        waveform = read_waveform(utterance, model.sample_rate)
        yield Encoded(utterance, waveform, encode(model, waveform))
