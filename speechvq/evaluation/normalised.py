"""Speaker-normalised cepstra of labelled speech, with nothing learned but the speaker transforms.

A baseline for codes: an encoder is trained to predict these features, so k-means on them shows
what the features alone give. Shapes: T samples, N frames, D cepstra.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from speechvq.config import QuantizerConfig, SpeakerNormalisationConfig
from speechvq.data.manifest import Utterance
from speechvq.data.segments import Waveforms
from speechvq.features.gmm_mapping import GMMSpeakerMapping
from speechvq.features.mfcc import MFCC, SpeakerTransforms
from speechvq.features.speaker_normalisation import fit_speaker_transforms
from speechvq.models.quantizer import Quantizer
from speechvq.settings import build
from speechvq.training.codebook import start_whitened

Features = Callable[[np.ndarray, str], np.ndarray]
"""From a waveform (T,) and the name of its speaker to features (N, D)."""


def normalisation_of(config: Mapping[str, Any]) -> SpeakerNormalisationConfig:
    """How the cepstra of a stage's target are normalised, by the configuration of a model folder.

    The default if there is no such stage.

    Parameters
    ----------
    config
        As `model_folder.read_config` gives it.
    """
    for stage in config.get("stages") or []:
        if stage.get("normalisation"):
            return build(SpeakerNormalisationConfig, stage["normalisation"], "normalisation")
    return SpeakerNormalisationConfig()


def speaker_normalised_cepstra(
    utterances: Sequence[Utterance],
    sample_rate: int,
    hop_length: int,
    cepstra: int,
    seed: int = 0,
    config: SpeakerNormalisationConfig | None = None,
) -> Features:
    """Fit speaker transforms to utterances; return the function that applies them.

    Each speaker gets a VTLN warp, a level, a mean and a linear transform (INCA), then a mapping of
    Gaussian components, all without transcripts.

    Parameters
    ----------
    utterances
        Speech of all speakers that are to be normalised.
    sample_rate
        Hz.
    hop_length
        Samples per frame.
    cepstra
        D, at most the number of mel bands.
    seed
        Of the frames that are compared.
    config
        How the cepstra are normalised; the default by default.

    Returns
    -------
    callable
        Raises ValueError for a speaker that is not among those of `utterances`.
    """
    speakers = sorted({utterance.speaker for utterance in utterances})
    config = config or SpeakerNormalisationConfig()
    D = min(cepstra, config.mel_bands)
    cepstra_of = MFCC(sample_rate, hop_length, config.mel_bands, D, config.dynamic_range)
    transforms = SpeakerTransforms(D, len(speakers))
    mapping = GMMSpeakerMapping(D, len(speakers), config)
    waveforms = Waveforms(list(utterances), sample_rate)
    normalised = fit_speaker_transforms(transforms, cepstra_of, waveforms, speakers, config, seed)
    mapping.fit(normalised, seed)

    @torch.no_grad()
    def features(waveform: np.ndarray, speaker: str) -> np.ndarray:
        index = torch.tensor([speakers.index(speaker)])
        found = cepstra_of(torch.from_numpy(waveform)[None], transforms(index))
        return mapping(found, index)[0].numpy()

    return features


def whitened_kmeans(
    map_features: Sequence[np.ndarray],
    score_features: Sequence[np.ndarray],
    codebook_size: int,
    seed: int = 0,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Make codes as a codebook starts: k-means with within-cluster whitening, nothing learned.

    Parameters
    ----------
    map_features, score_features
        One array (N, D) an utterance; the clusters are fitted to the first.
    codebook_size
        K.
    seed
        Of the random start.

    Returns
    -------
    map_codes, score_codes
        One array of integers (N,) an utterance.
    """
    vectors = torch.from_numpy(np.concatenate(list(map_features)))
    D = vectors.shape[1]
    quantizer, output = Quantizer(QuantizerConfig(codebook_size, D)), nn.Linear(D, D)
    nn.init.eye_(output.weight)
    nn.init.zeros_(output.bias)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        start_whitened(quantizer, output, vectors)

    @torch.no_grad()
    def codes(features: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [quantizer.nearest(output(torch.from_numpy(x))[None])[0].numpy() for x in features]

    return codes(map_features), codes(score_features)
