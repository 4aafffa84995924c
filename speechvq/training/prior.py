"""Training a prior: a model's codes, found once, and a WaveNet that learns what follows what.

Shapes: B batch, N codes, K codebook_size.
"""

import json
import logging
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from speechvq import audio
from speechvq.codes import Codebook, read_codes, write_codes
from speechvq.config import PriorConfig, PriorTrainingConfig
from speechvq.data.code_batches import CodeBatches, padded
from speechvq.data.manifest import Utterance, read_known
from speechvq.model_folder import CARD, CONFIG, WEIGHTS, codebook_of, load_model
from speechvq.models.prior import Prior
from speechvq.models.vqvae import VQVAE
from speechvq.prior_folder import CODES, FOLDER, save_prior
from speechvq.sampling import encode
from speechvq.training import metrics
from speechvq.training.card import prior_card
from speechvq.training.checkpoints import BEST, State, load_weights
from speechvq.training.checkpoints import FOLDER as CHECKPOINTS
from speechvq.training.loop import Loop, Phase, StepOutput, Validation
from speechvq.training.precision import use_bfloat16
from speechvq.training.processes import Processes, processes
from speechvq.training.vqvae import resumes

logger = logging.getLogger(__name__)

PRIOR = "prior"
TOGETHER = 16
"""Utterances that a validation scores at a time."""


class PriorPhase(nn.Module):
    """-log p(z_n | z_<n, speaker), over the codes that are scored."""

    def __init__(self, prior: Prior):
        super().__init__()
        self.prior = prior

    def forward(self, codes: Tensor, scored: Tensor, speaker: Tensor) -> StepOutput:
        """Mean over the codes (B, N) that `scored` (B, N) marks, for speakers (B,)."""
        nll = self.prior.nll(codes, speaker)[scored].mean()
        return StepOutput(nll, {"bits_per_code": nll.detach() / math.log(2)}, codes[scored])


def train_prior(
    model: str | os.PathLike,
    prior: PriorConfig,
    training: PriorTrainingConfig,
    manifests: Mapping[str, str],
    out: str | os.PathLike | None = None,
    codes: str | os.PathLike | None = None,
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
    prior, training
        The configuration.
    manifests
        Of `train` and `valid`: utterances of the model's speakers.
    out
        Prior folder to write; `prior` in the model folder by default.
    codes
        Folder of the codes ``train.txt`` and ``valid.txt``, which are made there where they are
        missing; `codes` in the prior folder by default.
    device
        "auto", "cpu", "cuda", "cuda:1".
    resume
        Continue from the folder's last checkpoint, if there is one, as if there had been no stop.
    overwrite
        Delete a training that is in the folder.
    progress
        Show bars on stderr.

    Returns
    -------
    pathlib.Path
        The prior folder, with the best prior.

    Raises
    ------
    ValueError
        The codes are of another model or of other utterances; the folder holds a training already,
        or one with other settings.
    FileNotFoundError
        A manifest or an audio file is missing.
    Interrupted
        The user stopped it; the last checkpoint is written.
    """
    out = Path(model) / FOLDER if out is None else Path(out)
    folder = out / CODES if codes is None else Path(codes)
    with processes(device) as group:
        vqvae = load_model(model, str(group.device))
        codebook = codebook_of(vqvae)
        spoken, found = {}, {}
        for part, manifest in manifests.items():
            spoken[part] = read_known(manifest, vqvae.speakers, "the model")
            if group.first:
                found[part] = codes_of(
                    vqvae, spoken[part], folder / f"{part}.txt", progress, manifest
                )
            group.wait()
            if not group.first:  # the first process has made them
                found[part] = codes_of(vqvae, spoken[part], folder / f"{part}.txt", False, manifest)
        settings = {
            "prior": asdict(prior),
            "data": dict(manifests),
            "training": asdict(training),
            "codebook": asdict(codebook),
        }
        settings = json.loads(json.dumps(settings))
        resume = resumes(out, settings, resume, overwrite)
        torch.manual_seed(training.seed)
        made = Prior(prior, vqvae.config.codebook_size, vqvae.speakers).to(group.device)
        group.wait()
        if group.first and not resume:
            _clear(out)
        group.wait()

        def speakers(part: str) -> list[int]:
            return [vqvae.speaker_index(u.speaker) for u in spoken[part]]

        try:
            batches = CodeBatches(
                found["train"],
                speakers("train"),
                seed=training.seed,
                batch_size=training.phase.batch_size,
                segment_length=training.phase.segment_length,
                context=prior.wavenet.receptive_field,
                steps=training.phase.steps,
                rank=group.rank,
                world_size=group.world_size,
            )
        except ValueError as error:
            raise ValueError(f"training.phase.{error}") from error
        bfloat16 = use_bfloat16(training.precision, group.device)
        held_out = found["valid"], speakers("valid")
        phase = Phase(
            PRIOR,
            PriorPhase(made),
            list(made.parameters()),
            training.phase,
            batches,
            batches.codes_per_step,
            batches.steps_per_epoch,
            vqvae.config.codebook_size,
            lambda stop: _validate(made, *held_out, codebook, group, bfloat16, stop),
        )
        count = sum(map(len, found["train"]))

        def publish(state: State) -> None:
            config = {key: settings[key] for key in ("data", "training")}
            card = prior_card(made, codebook, manifests, count, training, state)
            save_prior(out, made, codebook, config, card)

        modules = {"prior": made}
        loop = Loop([phase], modules, training, settings, out, group, publish, progress)
        state = loop.run(resume)
        if (out / BEST).exists():
            load_weights(out / BEST, modules)
        if group.first:
            publish(state)
        group.wait()
    return out


def find_codes(model: VQVAE, utterances: Iterable[Utterance]) -> dict[str, np.ndarray]:
    """Codes (N,) of utterances by id, in their order."""
    found = {}
    for u in utterances:
        waveform, _ = audio.read(u.path, model.sample_rate, u.start, u.duration)
        found[u.id] = encode(model, waveform)
    return found


def codes_of(
    model: VQVAE, utterances: list[Utterance], path: Path, progress: bool, manifest: str
) -> list[np.ndarray]:
    """Codes (N,) of utterances, from a file of codes, which is made if it is not there.

    Raises
    ------
    ValueError
        The file holds the codes of another model, or of other utterances.
    """
    codebook = codebook_of(model)
    if not path.exists():
        bar = tqdm(utterances, f"codes of {Path(manifest).name}", disable=not progress, leave=False)
        found = find_codes(model, bar)
        write_codes(path, codebook, found)
        return list(found.values())
    its, kept = read_codes(path)
    if its != codebook:
        raise ValueError(
            f"{path}: stale, the codes of model {its.model} and not of {codebook.model}; delete "
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
    """-log2 p of each code of whole utterances (N,), in the order given."""
    device = prior.wavenet.embed.weight.device
    found: list[np.ndarray] = [np.zeros(0)] * len(utterances)
    order = np.argsort([len(codes) for codes in utterances])  # alike in length, little padding
    for first in range(0, len(order), TOGETHER):
        rows = order[first : first + TOGETHER]
        codes, _ = padded([utterances[i] for i in rows])
        speaker = torch.tensor([speakers[i] for i in rows])
        bits = prior.nll(codes.to(device), speaker.to(device)).double().cpu().numpy() / math.log(2)
        for row, i in enumerate(rows):
            found[i] = bits[row, : len(utterances[i])]
    return found


def _validate(
    prior: Prior,
    utterances: list[np.ndarray],
    speakers: list[int],
    codebook: Codebook,
    group: Processes,
    bfloat16: bool,
    stop: Callable[[], bool],
) -> Validation | None:
    """Bits per code of held-out speech, and what they make of the bound's constant term."""
    if stop():
        return None
    mine = range(group.rank, len(utterances), group.world_size)
    with torch.autocast(group.device.type, torch.bfloat16, enabled=bfloat16):
        bits = held_out_bits(prior, [utterances[i] for i in mine], [speakers[i] for i in mine])
    sums = torch.tensor([sum(b.sum() for b in bits), sum(map(len, bits))], dtype=torch.float64)
    total, count = group.sum(sums).tolist()
    per_code = total / count
    return Validation(
        {"bits_per_code": per_code, "bits_per_second": per_code * codebook.frame_rate}, per_code
    )


def _clear(out: Path) -> None:
    """Delete what a training leaves; the codes stay."""
    for name in (WEIGHTS, CONFIG, CARD, metrics.FILE):
        (out / name).unlink(missing_ok=True)
    for name in (CHECKPOINTS, metrics.TENSORBOARD):
        shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
