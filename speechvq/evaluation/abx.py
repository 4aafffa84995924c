"""ABX discriminability of phones in the codes and latents of a model, beside MFCCs.

Shapes: N frames of an utterance, one a code, G codebooks, D codebook_dim.
"""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechvq.analysis.abx import (
    ACROSS,
    WITHIN,
    AbxScore,
    abx_score,
    cell_errors,
    cells_across,
    cells_within,
    pair_errors,
)
from speechvq.analysis.abx_tokens import Token, item_file, thinned, tokens_of
from speechvq.analysis.baselines import mfcc
from speechvq.analysis.frames import normalise
from speechvq.audio import write_bytes
from speechvq.data.manifest import CorpusError, Phone, Utterance
from speechvq.model import Model
from speechvq.progress import Progress
from speechvq.sampling.encode import latents
from speechvq.sampling.utterances import read_waveform

logger = logging.getLogger(__name__)

CODES, QUANTIZED, LATENTS, MFCC = "codes", "quantized", "latents", "mfcc"
DISTANCES = {
    CODES: "codebooks that differ",
    QUANTIZED: "angle of z_q",
    LATENTS: "angle of z_e",
    MFCC: "angle of standardised MFCCs",
}
"""Representations, the last the baseline, and how their frames are compared."""


@dataclass(frozen=True)
class AbxTask:
    """What is asked: which tokens are compared, and how many of them at most.

    `triphones` compares triphones in the same context, as ZeroSpeech does; otherwise phones alone,
    in any context. `max_group` tokens are kept of each phone of a speaker, in each context, and
    `max_speakers` speakers of X for each A and B; 0 for all. ZeroSpeech has 10 and 5.
    """

    triphones: bool = True
    max_group: int = 10
    max_speakers: int = 5
    seed: int = 0


@dataclass(frozen=True)
class AbxEvaluation:
    """Scores by representation, then within and across speakers, and what they come from.

    `features` are those (N, …) of each utterance, by representation and id; `pairs` the errors of
    ordered pairs of phones, as `scores`.
    """

    manifest: str
    task: AbxTask
    frame_rate: Fraction
    tokens: list[Token]
    found: int
    left_out: int
    scores: dict[str, dict[str, AbxScore]]
    pairs: dict[str, dict[str, dict[tuple[str, str], float]]]
    features: dict[str, dict[str, np.ndarray]]

    def to_dict(self) -> dict[str, Any]:
        """What `scores.json` has of it."""
        return {
            "score_on": self.manifest,
            **dataclasses.asdict(self.task),
            "frame_rate": float(self.frame_rate),
            "tokens": len(self.tokens),
            "tokens_found": self.found,
            "tokens_left_out": self.left_out,
            "scores": self.scores,
        }


def evaluate_abx(
    model: Model,
    manifest: str,
    utterances: Sequence[Utterance],
    task: AbxTask | None = None,
    progress: Progress = lambda items, *_: items,
) -> AbxEvaluation:
    """Measure how well frames of the model's codes and latents tell phones.

    Parameters
    ----------
    model
        Any.
    manifest
        Its name, for messages.
    utterances
        With phone labels.
    task
        Which tokens are compared.
    progress
        Shows a progress bar.

    Raises
    ------
    CorpusError
        There are no two tokens of a phone to compare with another phone.
    """
    task = task or AbxTask()
    rate = Fraction(model.sample_rate, model.hop_length)
    phones = {u.id: normalise(u.phones) for u in utterances}
    features = _features(model, progress(utterances, f"encode {Path(manifest).name}"))
    tokens, found, left_out = _tokens(utterances, phones, features[LATENTS], rate, task)
    cells = {
        WITHIN: cells_within(tokens, task.triphones),
        ACROSS: cells_across(tokens, task.triphones, task.max_speakers, task.seed),
    }
    if not any(cells.values()):
        raise CorpusError(
            f"{manifest}: none of {found} tokens make a triple: no phone occurs twice where "
            "another one occurs, too; score on more speech, or use --context any"
        )
    for mode, of_mode in cells.items():
        if not of_mode:
            logger.warning("%s: nothing to compare %s speakers", manifest, mode)
    scores: dict[str, dict[str, AbxScore]] = {}
    pairs: dict[str, dict[str, dict[tuple[str, str], float]]] = {}
    for name, by_id in features.items():
        of_tokens = [by_id[t.utterance][t.first : t.end] for t in tokens]
        scores[name], pairs[name] = {}, {}
        for mode, of_mode in cells.items():
            shown = progress(of_mode, f"{name}, {mode} speakers", "cells")
            errors = cell_errors(of_tokens, shown, angular=name != CODES)
            scores[name][mode] = abx_score(of_mode, errors, task.seed)
            pairs[name][mode] = pair_errors(of_mode, errors)
    return AbxEvaluation(manifest, task, rate, tokens, found, left_out, scores, pairs, features)


def export_abx(result: AbxEvaluation, folder: Path) -> list[str]:
    """Write the tokens and features for other programs of the ABX; names of what was written.

    ``triphone.item`` (``phoneme.item``) has the tokens that were scored; in each folder is an array
    of each utterance, ``ID.npy``: the features (N, …) as float32 or the codes as int64, and in
    ``times`` the seconds (N,) of the frames' centres.

    Raises
    ------
    ValueError
        A name has white space, or an id is no name of a file.
    """
    name = "triphone.item" if result.task.triphones else "phoneme.item"
    ids = {token.utterance for token in result.tokens}
    if bad := [id for id in sorted(ids) if Path(id).name != id]:
        raise ValueError(f"utterance {bad[0]!r}: not a name of a file; rename it in the manifest")
    write_bytes(folder / name, item_file(result.tokens).encode())
    frames = {id: len(codes) for id, codes in result.features[CODES].items()}
    step = float(1 / result.frame_rate)
    times = {id: (np.arange(n) + 0.5) * step for id, n in frames.items()}
    arrays = {**result.features, "times": times}
    for kind, by_id in arrays.items():
        for id in ids:
            write_bytes(folder / kind / f"{id}.npy", _npy(by_id[id]))
    return [name, *(f"{kind}/" for kind in arrays)]


def _features(model: Model, utterances: Iterable[Utterance]) -> dict[str, dict[str, np.ndarray]]:
    """Features (N, …) of each utterance, by representation and id."""
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in DISTANCES}
    quantizer, device = model.vqvae.quantizer, model.device
    for u in utterances:
        waveform = read_waveform(u, model.sample_rate)
        z_e = latents(model, waveform)
        with torch.inference_mode():
            codes = quantizer.nearest(torch.from_numpy(z_e)[None].to(device))
            z_q = quantizer.lookup(codes)
        N = len(z_e)
        found[CODES][u.id] = codes[0].cpu().numpy().reshape(N, -1)
        found[QUANTIZED][u.id] = z_q[0].cpu().numpy()
        found[LATENTS][u.id] = z_e
        found[MFCC][u.id] = mfcc(waveform, model.sample_rate, model.hop_length, N)
    everything = np.concatenate(list(found[MFCC].values()))
    mean, spread = everything.mean(axis=0), everything.std(axis=0) + 1e-8
    found[MFCC] = {id: (frames - mean) / spread for id, frames in found[MFCC].items()}
    return found


def _tokens(
    utterances: Sequence[Utterance],
    phones: dict[str, tuple[Phone, ...]],
    features: dict[str, np.ndarray],
    rate: Fraction,
    task: AbxTask,
) -> tuple[list[Token], int, int]:
    """The tokens to compare, how many they were drawn from, and how many have no frame."""
    tokens, left_out = [], 0
    for u in utterances:
        own, lost = tokens_of(
            u.id, u.speaker, phones[u.id], rate, len(features[u.id]), task.triphones
        )
        tokens += own
        left_out += lost
    kept = thinned(tokens, task.max_group, task.triphones, task.seed)
    return kept, len(tokens), left_out


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()
