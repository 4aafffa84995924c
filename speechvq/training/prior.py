"""Training of a prior on the codes of a model.

The codes are computed once; a WaveNet learns to predict each code from the codes before.

Shapes: B batch, N codes, K codebook_size, G codebooks.
"""

import logging
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from speechvq.codes import read_codes, write_codes
from speechvq.config import LoopConfig, PriorConfig, PriorStage
from speechvq.data.code_batches import CodeBatch, CodeBatches, padded
from speechvq.data.manifest import Utterance, read_known
from speechvq.distributed import Processes, processes
from speechvq.model import Model
from speechvq.model_folder import codebook_of, load_model
from speechvq.models.prior import Prior
from speechvq.prior_folder import CODES, FOLDER, save_prior
from speechvq.progress import track
from speechvq.sampling.utterances import encode_utterances
from speechvq.training.checkpoint import State
from speechvq.training.faults import segment_names
from speechvq.training.objectives.prior import PriorObjective
from speechvq.training.prior_card import prior_card
from speechvq.training.run import Plan, fingerprint, run_training
from speechvq.training.stage import Stage

logger = logging.getLogger(__name__)

PRIOR = "prior"
"""Name of the stage."""
VALIDATION_BATCH = 16
"""Utterances of a batch of whole utterances."""


def train_prior(
    model: str | os.PathLike[str],
    prior: PriorConfig,
    stage: PriorStage,
    training: LoopConfig,
    manifests: Mapping[str, str],
    out: str | os.PathLike[str] | None = None,
    codes: str | os.PathLike[str] | None = None,
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Train a prior on the codes of a model.

    Parameters
    ----------
    model
        A model folder.
    prior, stage, training
        The configuration.
    manifests
        Paths of the manifests `train` and `valid`: utterances of the model's speakers.
    out
        Prior folder to write; `prior` in the model folder by default.
    codes
        Folder of ``train.txt`` and ``valid.txt``, written if missing; by default `codes` in `out`.
    device
        "auto", "cpu", "cuda", "cuda:1".
    resume
        Continue from the folder's last checkpoint, if there is one.
    overwrite
        Delete a training that is in the folder.
    progress
        Show progress on stderr.

    Returns
    -------
    Path
        The prior folder.

    Raises
    ------
    ValueError
        The codes are of another model or of other utterances; the folder holds another training.
    FileNotFoundError
        A manifest or an audio file is missing.
    Interrupted
        The user stopped the training.
    """
    out = Path(out or Path(model) / FOLDER)
    with processes(device) as group:
        vqvae = load_model(model, str(group.device))
        codebook = codebook_of(vqvae)
        utterances, corpus = _encode(vqvae, manifests, Path(codes or out / CODES), group, progress)
        settings = {
            "prior": asdict(prior),
            "data": dict(manifests),
            "stages": [asdict(stage)],
            "training": asdict(training),
            "codebook": asdict(codebook),
            "fingerprint": {f"data.{part}": fingerprint(u) for part, u in utterances.items()},
        }
        kept = {key: settings[key] for key in ("data", "stages", "training")}

        def build(_: bool) -> Plan:
            K, G = codebook.codebook_size, codebook.codebooks
            trained = Prior(prior, K, vqvae.speakers, G).to(group.device)
            objective = PriorObjective(trained, codebook.frame_rate)
            built = _stage(objective, stage, training, utterances, corpus, group)

            def publish(state: State) -> None:
                count = sum(map(len, corpus["train"]))
                card = prior_card(trained, codebook, manifests, count, stage, training, state)
                save_prior(out, trained, codebook, kept, card)

            return Plan([built], {"prior": trained}, lambda x: x.to(group.device), publish)

        run_training(out, settings, training, build, group, resume, overwrite, progress)
    return out


def _encode(
    model: Model, manifests: Mapping[str, str], folder: Path, group: Processes, progress: bool
) -> tuple[dict[str, Sequence[Utterance]], dict[str, list[np.ndarray]]]:
    """Utterances and codes of each part; each process makes its share of a missing file."""
    utterances: dict[str, Sequence[Utterance]] = {}
    codes: dict[str, list[np.ndarray]] = {}
    for part, manifest in manifests.items():
        utterances[part] = listed = read_known(manifest, model.speakers, "the model")
        path = folder / f"{part}.txt"
        if group.any(not path.exists()):
            _find_codes(model, listed, path, group, progress, manifest)
        codes[part] = codes_of(model, listed, path, manifest)
    return utterances, codes


def _stage(
    objective: PriorObjective,
    config: PriorStage,
    training: LoopConfig,
    utterances: Mapping[str, Sequence[Utterance]],
    codes: Mapping[str, list[np.ndarray]],
    group: Processes,
) -> Stage:
    prior = objective.prior
    speakers = {
        part: [prior.speakers.index(u.speaker) for u in listed]
        for part, listed in utterances.items()
    }
    try:
        batches = CodeBatches(
            codes["train"],
            speakers["train"],
            seed=training.seed,
            batch_size=config.batch_size,
            segment_length=config.segment_length,
            # Of product codes, a segment's first G - 1 steps lack codes
            context=prior.config.wavenet.receptive_field + prior.codebooks - 1,
            padding=prior.codebook_size,
            delay=prior.codebooks - 1,
            steps=config.steps,
            rank=group.rank,
            world_size=group.world_size,
        )
    except ValueError as error:
        raise ValueError(f"stages.{config.label}.{error}") from error

    def held_out() -> Iterator[CodeBatch]:
        share = slice(group.rank, None, group.world_size)
        rows = codes["valid"][share], speakers["valid"][share]
        for _, batch in _whole_utterances(*rows, prior.codebook_size):
            yield batch

    def named(step: int) -> list[str]:
        return segment_names(utterances["train"], batches.places(step), objective.frame_rate)

    return Stage(
        PRIOR,
        config,
        objective,
        batches,
        held_out,
        batches.codes_per_step,
        batches.steps_per_epoch,
        prior.codebook_size,
        prior.codebooks,
        named=named,
    )


def _find_codes(
    model: Model,
    utterances: Sequence[Utterance],
    path: Path,
    group: Processes,
    progress: bool,
    manifest: str,
) -> None:
    """Write the codes of utterances to a file; each process finds those of its share."""
    own = utterances[group.rank :: group.world_size]
    shown = progress and group.first
    bar = track(own, f"codes of {Path(manifest).name}", " utterances", shown=shown)
    found = {e.utterance.id: e.codes for e in encode_utterances(model, bar)}
    for part in group.gather_objects(found):
        found.update(part)
    if group.first:
        write_codes(path, codebook_of(model), {u.id: found[u.id] for u in utterances})
    group.wait()


def codes_of(
    model: Model, utterances: Sequence[Utterance], path: Path, manifest: str
) -> list[np.ndarray]:
    """Read the codes of utterances, (N,) or (N, G), from a file.

    Raises
    ------
    ValueError
        The file holds the codes of another model, or of other utterances.
    """
    codebook = codebook_of(model)
    source, kept = read_codes(path)
    if source != codebook:
        raise ValueError(
            f"{path}: stale, the codes of model {source.model} and not of {codebook.model}; delete "
            "the file, and they are found anew"
        )
    missing = [u.id for u in utterances if u.id not in kept]
    if missing:
        raise ValueError(
            f"{path}: no codes of {missing[0]} in it ({len(missing)} utterances of {manifest} are "
            "missing); delete the file, and they are found anew"
        )
    for u in utterances:
        if abs(len(kept[u.id]) - u.duration * model.frame_rate) > 1:
            raise ValueError(
                f"{path}: stale, {len(kept[u.id])} codes of {u.id}, which has {u.duration:g} s in "
                f"{manifest}; delete the file, and they are found anew"
            )
    return [kept[u.id] for u in utterances]


@torch.no_grad()
def held_out_bits(
    prior: Prior, utterances: list[np.ndarray], speakers: list[int]
) -> list[np.ndarray]:
    """-log2 p (N,) of each code of whole utterances (N,) or (N, G), in the order given."""
    device = prior.wavenet.embed.weight.device
    found: list[np.ndarray] = [np.zeros(0)] * len(utterances)
    for rows, batch in _whole_utterances(utterances, speakers, prior.codebook_size):
        batch = batch.to(device)
        bits = prior.nll(batch.codes, batch.speaker).double().cpu().numpy() / math.log(2)
        for row, i in enumerate(rows):
            found[i] = bits[row, : len(utterances[i])]
    return found


def _whole_utterances(
    utterances: list[np.ndarray], speakers: list[int], padding: int
) -> Iterator[tuple[np.ndarray, CodeBatch]]:
    """Batches of whole utterances, with the indices of the utterances."""
    order = np.argsort([len(codes) for codes in utterances])  # similar lengths need little padding
    for first in range(0, len(order), VALIDATION_BATCH):
        rows = order[first : first + VALIDATION_BATCH]
        codes, scored = padded([utterances[i] for i in rows], padding)
        yield rows, CodeBatch(codes, scored, torch.tensor([speakers[i] for i in rows]))
