"""Utterances of a manifest as a model sees them: waveforms, codes, bits per sample.

Shapes: T samples, N codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from speechvq import audio
from speechvq.analysis.bootstrap import Estimate, ratio
from speechvq.data.manifest import Utterance
from speechvq.data.segments import Waveforms
from speechvq.models.vqvae import VQVAE
from speechvq.sampling import encode
from speechvq.training.processes import Processes
from speechvq.training.validation import Validator


@dataclass(frozen=True)
class Encoded:
    """An utterance, its waveform (T,) at the model's sample rate, and its codes (N,)."""

    utterance: Utterance
    waveform: np.ndarray
    codes: np.ndarray


def read_waveform(utterance: Utterance, sample_rate: int) -> np.ndarray:
    """Read the waveform (T,) of an utterance, resampled to `sample_rate` Hz."""
    return audio.read(utterance.path, sample_rate, utterance.start, utterance.duration)[0]


def encode_utterances(model: VQVAE, utterances: Iterable[Utterance]) -> list[Encoded]:
    """Read utterances and encode them, in the order given."""
    encoded = []
    for utterance in utterances:
        waveform = read_waveform(utterance, model.sample_rate)
        encoded.append(Encoded(utterance, waveform, encode(model, waveform)))
    return encoded


def bits_per_sample(
    model: VQVAE, utterances: Iterable[Utterance], device: str = "cpu"
) -> Estimate | None:
    """Bits per sample of utterances given their codes and speakers: the reconstruction term.

    Parameters
    ----------
    model
        Knows the speakers of the utterances.
    utterances
        The mean is over all samples of these.
    device
        Where the model is.

    Returns
    -------
    Estimate or None
        With a 95 % interval over utterances; None without utterances.
    """
    processes = Processes(torch.device(device))
    bits, samples = [], []
    for utterance in utterances:
        waveforms = Waveforms([utterance], model.sample_rate)
        validator = Validator(model, waveforms, processes, bfloat16=False)
        samples.append(int(waveforms.lengths[0]))
        bits.append(validator.likelihood().metrics["bits_per_sample"] * samples[-1])
    return ratio(bits, samples) if bits else None
