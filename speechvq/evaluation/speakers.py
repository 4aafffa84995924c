"""What is left of the speaker in the codes and latents of a model.

Shapes: U utterances, N codes, G codebooks, K codebook_size, D codebook_dim.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from speechvq.analysis.baselines import kmeans_codes, mfcc
from speechvq.analysis.frames import frame_labels
from speechvq.analysis.speakers import (
    ProbeScores,
    SpeakerInformation,
    folds,
    histograms,
    probe,
    speaker_information,
)
from speechvq.data.manifest import Utterance
from speechvq.evaluation.phonemes import MFCC, codebook_names, one_thread
from speechvq.model import Model
from speechvq.sampling.encode import latents
from speechvq.sampling.utterances import read_waveform

logger = logging.getLogger(__name__)

HISTOGRAM, LATENTS, MFCC_MEAN = "code histograms", "mean latents", "mean MFCC"


@dataclass(frozen=True)
class SpeakerEvaluation:
    """Scores of both probes by what they are given, and mutual information by the kind of codes.

    Attributes
    ----------
    speakers : list of str
        Whose utterances are scored; each has two recordings at least.
    known : list of str
        Those of them whose names the model knows, of its training or enrolled since.
    information : dict of str to SpeakerInformation
        Empty where no utterance has phones.
    """

    manifest: str
    utterances: int
    labelled: int
    frames: int
    speakers: list[str]
    known: list[str]
    folds: int
    probes: dict[str, ProbeScores]
    information: dict[str, SpeakerInformation]
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """What `scores.json` has of it."""
        return dataclasses.asdict(self)


def several_recordings(utterances: list[Utterance], manifest: str) -> list[Utterance]:
    """Leave out speakers with a single recording, by name.

    Raises
    ------
    ValueError
        There are not two speakers with two recordings each.
    """
    recordings: dict[str, set[str]] = {}
    for utterance in utterances:
        recordings.setdefault(utterance.speaker, set()).add(utterance.path)
    kept = {name for name, own in recordings.items() if len(own) > 1}
    if len(kept) < 2:
        raise ValueError(
            f"{manifest}: {len(kept)} of {len(recordings)} speakers have two recordings or more; "
            "expected at least two such speakers, to tell one from the other on held-out recordings"
        )
    if alone := sorted(recordings.keys() - kept):
        shown = ", ".join(alone[:10]) + (", …" if len(alone) > 10 else "")
        logger.warning(
            "%s: %d speakers have a single recording and are left out: %s",
            manifest, len(alone), shown,
        )  # fmt: skip
    return [utterance for utterance in utterances if utterance.speaker in kept]


def evaluate_speakers(
    model: Model, manifest: str, utterances: Iterable[Utterance], seed: int = 0
) -> SpeakerEvaluation:
    """Measure what codes and latents tell of the speaker.

    Parameters
    ----------
    model
        In eval mode.
    manifest
        The name of the manifest, and
    utterances
        its utterances, as `several_recordings` gives; those with phones give the mutual
        information.
    seed
        Of the folds, the shuffles and k-means.
    """
    used: list[Utterance] = []
    codes, z, cepstra = [], [], []
    for utterance in utterances:
        waveform = read_waveform(utterance, model.sample_rate)
        z_e = latents(model, waveform)
        used.append(utterance)
        z.append(z_e.mean(axis=0))
        codes.append(_nearest(model, z_e))
        cepstra.append(mfcc(waveform, model.sample_rate, model.hop_length, len(z_e)))
    names = np.array([utterance.speaker for utterance in used])
    fold = folds(names, np.array([utterance.path for utterance in used]), seed)
    K, G = model.codebook_size, model.codebooks
    # Square roots of counts have the same variance, whatever their mean
    features = {HISTOGRAM: np.sqrt(histograms(codes, K))}
    if G > 1:
        shares = features[HISTOGRAM].reshape(len(used), G, K)
        features |= {f"… of {name}": shares[:, g] for g, name in enumerate(codebook_names(G))}
    features[LATENTS] = np.stack(z)
    features[MFCC_MEAN] = np.stack([own.mean(axis=0) for own in cepstra])
    known = sorted(set(names.tolist()))
    with one_thread():
        probes = {name: probe(own, names, fold) for name, own in features.items()}
        information = _information(model, used, codes, cepstra, seed)
    return SpeakerEvaluation(
        manifest,
        len(used),
        sum(utterance.phones is not None for utterance in used),
        sum(map(len, codes)),
        known,
        [name for name in known if name in model.speakers],
        len(np.unique(fold)),
        probes,
        information,
        seed,
    )


@torch.no_grad()
def _nearest(model: Model, z_e: np.ndarray) -> np.ndarray:
    """Codes (N, G) of latents (N, D)."""
    codes = model.vqvae.quantizer.nearest(torch.from_numpy(z_e)[None].to(model.device))
    return codes[0].cpu().numpy().reshape(len(z_e), -1)


def _information(
    model: Model,
    utterances: list[Utterance],
    codes: list[np.ndarray],
    cepstra: list[np.ndarray],
    seed: int,
) -> dict[str, SpeakerInformation]:
    """Mutual information of code and speaker given the phone, of each codebook and of MFCC."""
    labelled = [i for i, utterance in enumerate(utterances) if utterance.phones is not None]
    names = np.array([utterances[i].speaker for i in labelled])
    if len(set(names.tolist())) < 2:
        return {}
    phones = np.concatenate(
        [frame_labels(utterances[i].phones, len(codes[i]), 1 / model.frame_rate) for i in labelled]
    )
    index = np.repeat(np.arange(len(labelled)), [len(codes[i]) for i in labelled])
    by_codebook = np.concatenate([codes[i] for i in labelled]).T
    kinds = dict(zip(codebook_names(model.codebooks), by_codebook, strict=True))
    if len(phones) >= model.codebook_size:
        own = [cepstra[i] for i in labelled]
        kinds[MFCC] = np.concatenate(kmeans_codes(own, [], model.codebook_size, seed)[0])
    return {
        name: speaker_information(own, phones, index, names, seed) for name, own in kinds.items()
    }
