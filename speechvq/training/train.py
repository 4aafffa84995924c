"""Training of a VQ-VAE: a list of stages, and the model folder that comes out."""

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from speechvq.config import (
    DataConfig,
    DecoderStage,
    LikelihoodStage,
    MelPredictorStage,
    MelStage,
    ModelConfig,
    StageConfig,
    TrainingConfig,
    check_stages,
    doubts,
)
from speechvq.data.code_shards import file_fingerprint
from speechvq.data.manifest import Utterance, read_checked, read_known, read_manifest
from speechvq.data.segments import SegmentBatches, Waveforms
from speechvq.data.subsets import speech_level
from speechvq.distributed import Processes, processes
from speechvq.features.perturbation import PerturbedBatches
from speechvq.model import Model
from speechvq.model_folder import WEIGHTS, load_model, read_speakers, save_model
from speechvq.postfilter.predictor import StreamingMelPredictor
from speechvq.training.card import Facts, model_card
from speechvq.training.checkpoint import CODES, State
from speechvq.training.corpus import Corpus
from speechvq.training.faults import segment_names
from speechvq.training.frozen_codes import FrozenCodes, frozen_codes_of
from speechvq.training.labels import read_labels
from speechvq.training.listen import draw_beginnings
from speechvq.training.objective import Objective
from speechvq.training.objectives import build_objective
from speechvq.training.run import (
    Plan,
    device_name,
    fingerprint,
    run_training,
)
from speechvq.training.stage import Stage
from speechvq.weights import built, memory

logger = logging.getLogger(__name__)


def train(
    model: ModelConfig,
    data: DataConfig,
    stages: Sequence[StageConfig],
    training: TrainingConfig,
    out: str | os.PathLike[str],
    device: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Train a VQ-VAE on a corpus's manifests.

    Several processes, started by torchrun, share each batch.

    Parameters
    ----------
    model, data, stages, training
        The configuration. Stages without steps are left out.
    out
        Model folder to write: model, metrics and checkpoints.
    device
        "auto", "cpu", "cuda", "cuda:1".
    resume
        Continue from the folder's last checkpoint, if there is one, as if there had been no stop.
    overwrite
        Delete a training that is in the folder.
    progress
        Show progress on stderr.

    Returns
    -------
    pathlib.Path
        The model folder, with the best model of the last stage.

    Raises
    ------
    ValueError
        Settings that do not suit each other; the folder holds a training already, or one with
        other settings; the data cannot be used.
    FileNotFoundError
        A manifest or an audio file is missing.
    Interrupted
        The user stopped it; the last checkpoint is written.
    """
    out = Path(out)
    stages = [stage for stage in stages if stage.steps]
    check_stages(model, stages, training.init_from is not None)
    with processes(device) as group:
        for doubt in doubts(stages) if group.first else ():
            logger.warning("%s", doubt)
        listed, unusable = read_checked(data.train)
        silent = np.bincount(listed.columns.speaker, ~unusable) == 0
        unheard = silent[listed.columns.speaker]
        if unheard.any():
            listed, unusable = listed.select(~unheard), unusable[~unheard]
        speakers = list(listed.columns.speakers)
        valid_set = _spread(data.valid, speakers, training.valid_utterances)
        settings = {
            "model": asdict(model),
            "data": asdict(data),
            "stages": [asdict(stage) for stage in stages],
            "training": asdict(training),
            "fingerprint": _fingerprints(data, listed, stages, training),
        }
        show = progress and group.first

        def build(resume: bool) -> Plan:
            if resume:
                _refuse_to_drop_enrolled(out, speakers)
            rate = model.sample_rate
            waveforms = Waveforms(listed, rate, progress=show, level=data.level, unusable=unusable)
            heard = waveforms, Waveforms(valid_set, rate, level=data.level)
            return _build(out, model, data, stages, training, heard, group, progress, resume)

        run_training(out, settings, training, build, group, resume, overwrite, progress)
    return out


def _build(
    out: Path,
    config: ModelConfig,
    data: DataConfig,
    stages: Sequence[StageConfig],
    training: TrainingConfig,
    speech: tuple[Waveforms, Waveforms],
    group: Processes,
    progress: bool,
    resume: bool,
) -> Plan:
    """Model, corpus and stages, from the speech to learn from and to validate on."""
    waveforms, held_out = speech
    speakers = list(waveforms.columns.speakers)
    there = memory()
    holds = f"model: this machine has {there / 1e9:,.0f} GB of memory"
    model = built(lambda: Model(config, speakers), there, holds).to(group.device)
    corpus = Corpus(model, waveforms, held_out, group, training.seed).to(group.device)
    if not resume:  # which finds all of this in the checkpoint
        taken = training.init_from is not None and init_from(model, training.init_from)
        corpus.decoder_started.fill_(taken)
        learns_mel = any(isinstance(s, MelStage | MelPredictorStage) for s in stages)
        if model.mel_predictor is not None and not (model.mel_predictor.fitted or learns_mel):
            raise ValueError(
                f"training.init_from: {training.init_from} has no trained mel predictor for these "
                "speakers and settings; add a stage of the objective mel_predictor"
            )
        model.level.fill_(speech_level(waveforms, speakers))
    objectives = {s.label: build_objective(s, model).to(group.device) for s in stages}
    facts = _facts(waveforms, stages, group)
    return Plan(
        [_stage(s, objectives[s.label], corpus, training, progress, out) for s in stages],
        {"model": model, "corpus": corpus, **objectives},
        corpus.prepare,
        partial(_publish, out, model, data, stages, training, facts),
        corpus,
    )


def init_from(model: Model, folder: str) -> bool:
    """Begin with the weights of another model.

    Features, encoder and codebook must be of the same settings; mel predictor and decoder are
    taken if they are, and if the speakers are the same. (The shape of a mel predictor may be that
    of the decoder's conditioner.)

    Returns
    -------
    bool
        Whether the decoder is taken.

    Raises
    ------
    ValueError
        Another configuration of features, encoder or codebook.
    """
    other = load_model(folder)
    for part in ("sample_rate", "features", "encoder", "quantizer"):
        theirs, ours = getattr(other.config, part), getattr(model.config, part)
        if theirs != ours:
            raise ValueError(
                f"model.{part}: not that of {folder}, whose codes are to be taken; expected "
                f"{json.dumps(asdict(theirs)) if part != 'sample_rate' else theirs}"
            )
    parts: list[tuple[nn.Module, nn.Module]] = [(model.features, other.features)]
    parts += [(model.vqvae.encoder, other.vqvae.encoder)]
    parts += [(model.vqvae.quantizer, other.vqvae.quantizer)]
    if other.speakers == model.speakers:
        if other.config.decoder == model.config.decoder:
            parts.append((model.vqvae.decoder, other.vqvae.decoder))
        own, known = model.mel_predictor, other.mel_predictor
        if own is not None and known is not None and _predictor(other) == _predictor(model):
            parts.append((own, known))
    for ours, theirs in parts:
        ours.load_state_dict(theirs.state_dict())
    return any(ours is model.vqvae.decoder for ours, _ in parts)


def _predictor(model: Model) -> tuple[Any, ...]:
    """All settings that a mel predictor's shape depends on."""
    own = isinstance(model.mel_predictor, StreamingMelPredictor)
    conditioner = None if own else getattr(model.config.decoder, "conditioner", None)
    return model.config.mel_predictor, conditioner


def _stage(
    config: StageConfig,
    objective: Objective,
    corpus: Corpus,
    training: TrainingConfig,
    progress: bool,
    out: Path,
) -> Stage:
    """A stage of the trainer."""
    model = corpus.model
    labels, held_out_labels = None, None
    held_out = corpus.held_out
    assert held_out is not None
    path = getattr(config, "labels", None)
    if path is not None:
        labels = read_labels(path, corpus.waveforms, model.codebook_size)
        held_out_labels = read_labels(path, held_out, model.codebook_size)
    codes, held_out_codes = (
        frozen_codes_of(
            model, waveforms, corpus.group, progress, out / CODES / f"{part}.safetensors"
        )
        if objective.reads_codes
        else None
        for part, waveforms in (("train", corpus.waveforms), ("valid", held_out))
    )
    batches = corpus.batches(
        config,
        margin=objective.margin,
        labels=labels,
        perturbation=getattr(config, "perturbation", None),
        codes=codes,
    )
    listen: Callable[[], Mapping[str, tuple[np.ndarray, int]]] | None = None
    if training.samples and isinstance(config, DecoderStage | LikelihoodStage):
        listen = partial(draw_beginnings, corpus, training.samples)
    return Stage(
        config.label,
        config,
        objective,
        batches,
        partial(corpus.held_out_batches, held_out_labels, held_out_codes),
        batches.samples_per_step,
        batches.steps_per_epoch,
        model.codebook_size,
        model.codebooks,
        # Segments of audio in memory are cut faster than they are passed between processes
        workers=0 if corpus.waveforms.cached else training.workers,
        begin=partial(_find, corpus, codes, held_out_codes),
        listen=listen,
        named=partial(_named, corpus, batches),
    )


def _named(corpus: Corpus, batches: SegmentBatches | PerturbedBatches, step: int) -> list[str]:
    utterances, rate = corpus.waveforms.utterances, corpus.model.sample_rate
    return segment_names(utterances, batches.places(step), rate)


def _find(corpus: Corpus, *all_codes: FrozenCodes | None) -> None:
    for codes in filter(None, all_codes):
        codes.find()
    corpus.report_unusable()


def _publish(
    out: Path,
    model: Model,
    data: DataConfig,
    stages: Sequence[StageConfig],
    training: TrainingConfig,
    facts: Facts,
    state: State,
) -> None:
    """Write the model folder."""
    config = {"data": asdict(data), "stages": [asdict(s) for s in stages]}
    config["training"] = asdict(training)
    save_model(out, model, config, model_card(model, data, training, facts, state))


def _fingerprints(
    data: DataConfig,
    train_set: Sequence[Utterance],
    stages: Sequence[StageConfig],
    training: TrainingConfig,
) -> dict[str, str]:
    """What is in the files that a training reads, by the settings that name them."""
    found = {
        "data.train": fingerprint(train_set),
        "data.valid": fingerprint(read_manifest(data.valid)),
    }
    files = {
        f"stages.{stage.label}.labels": Path(path)
        for stage in stages
        if (path := getattr(stage, "labels", None)) is not None
    }
    if training.init_from is not None:
        files["training.init_from"] = Path(training.init_from, WEIGHTS)
    # One that is not there is told by what reads it, or by a resume as changed
    return found | {name: file_fingerprint(file) for name, file in files.items() if file.is_file()}


def _facts(waveforms: Waveforms, stages: Sequence[StageConfig], group: Processes) -> Facts:
    used = ~waveforms.left_out.numpy()
    return Facts(
        utterances=int(used.sum()),
        minutes=float(waveforms.lengths[used].sum()) / waveforms.sample_rate / 60,
        device=device_name(group.device),
        processes=group.world_size,
        stages={stage.label: stage.steps for stage in stages},
        decoder_trained=any(isinstance(s, DecoderStage | LikelihoodStage) for s in stages),
    )


def _spread(path: str, speakers: list[str], most: int) -> list[Utterance]:
    """At most `most` utterances of known speakers, spread evenly over a manifest."""
    known = read_known(path, speakers, "the training set")
    places = np.linspace(0, len(known) - 1, min(most, len(known))).round().astype(int)
    return [known[i] for i in places]


def _refuse_to_drop_enrolled(out: Path, speakers: list[str]) -> None:
    """Refuse to write a model over one to which speakers have been added since."""
    if not (out / WEIGHTS).exists():
        return
    enrolled = [name for name in read_speakers(out) if name not in speakers]
    if enrolled:
        raise ValueError(
            f"{out}: has learned {', '.join(enrolled)} by speechvq-enroll, whom a resume would "
            f"drop; copy the folder, and delete {WEIGHTS} in this one to go on"
        )
