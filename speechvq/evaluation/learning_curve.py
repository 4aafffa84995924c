"""Phone accuracy of the codes over the checkpoints of a training.

Shapes: N codes, G codebooks, K codebook_size.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from speechvq.analysis.phonemes import PhonemeScores, perplexity, phone_map, score_map
from speechvq.evaluation.phonemes import LabelledCodes, one_thread
from speechvq.model import Model
from speechvq.sampling.encode import encode, latents
from speechvq.training.checkpoint import FOLDER, State, load_weights, read_header

logger = logging.getLogger(__name__)

LATENTS_PER_CODE = 100
"""Latents that k-means has, for each code, where a codebook has not started."""


@dataclass(frozen=True)
class CheckpointScores:
    """A checkpoint and the phoneme scores of its codes.

    Attributes
    ----------
    file : str
        Its name.
    stage : str
    step, global_step : int
        Steps done in the stage, and in all.
    started : bool
        Whether its codebook had started; else k-means centres of its latents stand for it.
    perplexity : float
        Of the scored codes; of several codebooks the lowest.
    scores : PhonemeScores
    """

    file: str
    stage: str
    step: int
    global_step: int
    started: bool
    perplexity: float
    scores: PhonemeScores


def find_checkpoints(folder: Path) -> list[tuple[Path, State]]:
    """Checkpoints of a model folder, by global step, one of each step; damaged ones are logged.

    Raises
    ------
    FileNotFoundError
        There is none.
    """
    found: dict[int, tuple[Path, State]] = {}
    for path in sorted((folder / FOLDER).glob("*.safetensors")):
        try:
            state, _ = read_header(path)
        except ValueError as error:
            logger.error("%s; left out", error)
            continue
        found.setdefault(state.global_step, (path, state))
    if not found:
        raise FileNotFoundError(
            f"{folder / FOLDER}: no checkpoints; a training writes them into its model folder, and "
            "keeps one every N steps with --training.keep_every N"
        )
    return [found[step] for step in sorted(found)]


def learning_curve(
    model: Model,
    checkpoints: Iterable[tuple[Path, State]],
    mapped: LabelledCodes,
    scored: LabelledCodes,
    seed: int = 0,
) -> list[CheckpointScores]:
    """Score the codes of checkpoints as those of the model are.

    Parameters
    ----------
    model
        Of the training; it keeps its weights.
    checkpoints
        As :func:`find_checkpoints` gives.
    mapped, scored
        The speech that codes are mapped on and scored on, with its phones.
    seed
        Of k-means, and of the frames that the map of product codes is fitted on.
    """
    model = copy.deepcopy(model).eval()
    return [_score(model, path, state, mapped, scored, seed) for path, state in checkpoints]


@one_thread()
def _score(
    model: Model, path: Path, state: State, mapped: LabelledCodes, scored: LabelledCodes, seed: int
) -> CheckpointScores:
    vqvae = model.vqvae
    parts = {
        "model.features": model.features,
        "model.vqvae.encoder": vqvae.encoder,
        "model.vqvae.quantizer": vqvae.quantizer,
    }
    load_weights(path, parts)  # not those with a row of each speaker, who may be enrolled since
    started = bool(vqvae.quantizer.started)
    if not started:
        _start(model, mapped, seed)
    K = model.codebook_size
    codes = [
        np.concatenate([encode(model, e.waveform) for e in part.speech])
        for part in (mapped, scored)
    ]
    labels = [np.concatenate(part.labels) for part in (mapped, scored)]
    predicted = phone_map(codes[0], labels[0], K, seed)(codes[1])
    index = np.repeat(np.arange(len(scored.speech)), scored.frames)
    return CheckpointScores(
        path.name,
        state.stage,
        state.step,
        state.global_step,
        started,
        min(perplexity(np.bincount(own)) for own in codes[1].reshape(len(codes[1]), -1).T),
        score_map(predicted, labels[0], labels[1], K, index),
    )


@torch.no_grad()
def _start(model: Model, mapped: LabelledCodes, seed: int) -> None:
    """Start the codebook at k-means centres of latents, without any whitening."""
    z = np.concatenate([latents(model, e.waveform) for e in mapped.speech])
    most = LATENTS_PER_CODE * model.codebook_size
    if len(z) > most:
        z = z[np.random.default_rng(seed).choice(len(z), most, replace=False)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.vqvae.quantizer.initialise(torch.from_numpy(z).to(model.device))
