"""Enrolment of a speaker: what is this speaker's own, learned from about a minute of recordings.

That is a vector in the decoder and one in the mel predictor, and a scale and shift of each layer of
a mel predictor that has such. All other weights stay as they are, so that codes, the model's
fingerprint, and the speech of every other speaker do not change.

Shapes: T samples, C condition_channels.
"""

import copy
import dataclasses
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from speechvq import audio
from speechvq.config import DecoderStage, MelPredictorStage, StageConfig
from speechvq.data.frame_labels import Codes
from speechvq.data.segments import Batch, SegmentBatches
from speechvq.distributed import Processes
from speechvq.features.perturbation import PerturbedBatches
from speechvq.model import Model
from speechvq.model_folder import load_model, read_config
from speechvq.prior_folder import check_free_for_copy, copy_prior
from speechvq.progress import track
from speechvq.speaker_weights import own_dimensions
from speechvq.training.add_speaker import add_speaker, check_new_speaker
from speechvq.training.card import with_enrolled
from speechvq.training.converted_codes import ConvertedCodes
from speechvq.training.corpus import Corpus
from speechvq.training.frozen_codes import frozen_codes_of
from speechvq.training.objectives.decoder import DecoderObjective, frozen_codes
from speechvq.training.precision import use_bfloat16
from speechvq.training.recordings import Recordings, read_recordings
from speechvq.training.stage import learning_rate
from speechvq.training.validate import Validation, validate

logger = logging.getLogger(__name__)

STAGE = DecoderStage(name="enroll", steps=200, batch_size=4, learning_rate=0.1, warmup_steps=10)
"""How the decoder's vector is learned. The rate suits elements of about 1."""
MEL_STAGE = MelPredictorStage(
    name="enroll_mel",
    steps=STAGE.steps,
    batch_size=STAGE.batch_size,
    segment_length=51200,
    learning_rate=0.1,
    warmup_steps=STAGE.warmup_steps,
)
"""How the mel predictor's vector, scales and shifts are learned, before the decoder's vector."""

FEW_OF_ONE = 0.2
"""As `validate.FEW`, for one speaker, who uses about half of the codes that chance would use."""

_PROBES = 4  # batches that tell which voice is the nearest
_ROUNDS = (32, 1), (8, _PROBES)  # speakers left by the mel error of so many probes, round by round


@dataclass(frozen=True)
class Fit:
    """What is fitted to recordings, and the likelihood of held-out recordings."""

    vectors: list[Tensor]
    """The decoder's (C,), and the mel predictor's, if the model has one: without the dimensions
    that are one speaker's own."""
    film: list[Tensor]
    """What is added to scale and shift of each layer of the mel predictor, if it has any."""
    nearest: str
    """The existing speaker in whose voice the recordings are likeliest."""
    bits_before: float
    """Bits per sample in that voice."""
    bits_after: float
    """Bits per sample with the new vector."""


@dataclass(frozen=True)
class Enrolment:
    """A speaker who has been added to a model folder."""

    folder: Path
    recordings: Recordings
    fit: Fit


def enroll(
    model: str | os.PathLike[str],
    name: str,
    wavs: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    out: str | os.PathLike[str] | None = None,
    replace: bool = False,
    steps: int = STAGE.steps,
    seed: int = 0,
    device: str = "cpu",
    progress: bool = False,
) -> Enrolment:
    """Add a speaker to a model folder.

    The folder stays exactly as it is until the end, and when anything fails before that.

    Parameters
    ----------
    model
        A model folder.
    name
        Of the new speaker.
    wavs
        Audio files, and folders of them. One that cannot be used is logged and left out.
    out
        Folder to write a copy of the model to, with the new speaker; None adds to `model` itself.
    replace
        Whether a speaker of this name may be replaced.
    steps, seed, progress
        As in `fit_speaker`.
    device
        "cpu", "cuda", "cuda:1".

    Raises
    ------
    ValueError
        The name is taken, or not fit for files; less than `recordings.LEAST` seconds of speech; a
        damaged model; a number out of range.
    OSError
        Files are missing, cannot be read or written, or would be overwritten in `out`.
    """
    if steps < 1:
        raise ValueError(f"steps: must be at least 1, got {steps}")
    check_new_speaker(model, name, replace)
    if out is not None:
        check_free_for_copy(out)
    paths = audio.recorded(audio.find(wavs))
    loaded = load_model(model, device)
    _tables(loaded)  # refuses a decoder without one, before minutes of reading
    recordings = read_recordings(paths, name, loaded.sample_rate, _level(model, loaded), progress)
    others = [speaker for speaker in loaded.speakers if speaker != name]
    fit = fit_speaker(loaded, recordings, others or loaded.speakers, steps, seed, progress)
    line = (
        f"{recordings.speech:.0f} s of speech, {steps} steps, seed {seed}; {fit.bits_after:.3f} "
        f"bits per sample on what was held out of it, where the nearest speaker, {fit.nearest}, "
        f"has {fit.bits_before:.3f}"
    )
    card = partial(with_enrolled, speaker=name, line=line)
    folder = add_speaker(model, name, fit.vectors, card, out, replace, fit.film)
    if out is not None:
        copy_prior(model, out)
    return Enrolment(folder, recordings, fit)


def fit_speaker(
    model: Model,
    recordings: Recordings,
    others: Sequence[str],
    steps: int = STAGE.steps,
    seed: int = 0,
    progress: bool = False,
) -> Fit:
    """Fit what is a speaker's own in the mel predictor, and then in the decoder, to recordings.

    Each vector starts at the likeliest of the vectors of `others` and their mean; with many
    `others`, only those with the least mel error are compared. Scales and shifts start at those
    of the vector.

    Parameters
    ----------
    model : Model
        In eval mode; stays as it is.
    recordings : Recordings
        What `read_recordings` gives.
    others : sequence of str
        Speakers of the model to compare with and to start from.
    steps : int
        Optimiser steps; the decoder's vector has half as many where a mel predictor learned before.
    seed : int
        Of the crops.
    progress : bool
        Show progress on stderr.
    """
    solo = _with_one_speaker(model, recordings.train.utterances[0].speaker)
    corpus = Corpus(solo, recordings.train, recordings.held_out, Processes(model.device), seed)
    fitting = _Fitting(solo, corpus)
    tables = [table.weight.detach() for table in _tables(model)]
    known = {name: [table[model.speaker_index(name)] for table in tables] for name in others}
    places = [model.speaker_index(name) for name in others]
    mean = [table[places].mean(0) for table in tables]
    nearest, start = fitting.nearest(known, mean, progress)
    before = fitting.held_out(known[nearest])
    bits_before = before.metrics["bits_per_sample"]
    if fault := before.collapse(FEW_OF_ONE):
        logger.warning(
            "%s: are the recordings speech, and has the codebook not collapsed "
            "(docs/training.md#codebook-collapse)?", fault
        )  # fmt: skip

    fitting.put(start)
    fitting.learn(steps, model, others, seed, progress)
    learned = [vector.detach().clone()[0] for vector in fitting.vectors]
    film = [change.detach().clone() for change in fitting.film]
    bits_after = fitting.held_out(learned).metrics["bits_per_sample"]
    if not bits_after < bits_before:  # NaN too
        logger.warning(
            "no vector was found that is better than that of %s, which is taken; more recordings "
            "or more steps may help",
            nearest,
        )
        learned, bits_after = known[nearest], bits_before
        film = [torch.zeros_like(change) for change in film]  # not who is guided away from
    vectors = [vector.cpu().clone() for vector in learned]
    if film:
        vectors[-1] = vectors[-1][~own_dimensions(tables[-1]).cpu()]
    return Fit(vectors, [x.cpu() for x in film], nearest, bits_before, bits_after)


Segments = SegmentBatches | PerturbedBatches


class _Fitting:
    """What is its one speaker's own in a model, and the losses."""

    def __init__(self, solo: Model, corpus: Corpus):
        self.solo, self.corpus = solo, corpus
        self.vectors = [table.weight for table in _tables(solo)]
        self.film = [projection.bias for projection in _projections(solo)]
        self.objective = DecoderObjective(STAGE, solo).eval()
        self.bfloat16 = use_bfloat16("auto", solo.device)
        held_out = corpus.held_out
        assert held_out is not None
        self._codes, self._held_out_codes = (
            frozen_codes_of(solo, waveforms, corpus.group)
            for waveforms in (corpus.waveforms, held_out)
        )
        for codes in filter(None, (self._codes, self._held_out_codes)):
            codes.find()

    def segments(self, config: StageConfig, name: str = "", steps: int | None = None) -> Segments:
        """Random segments of the recordings to learn from, by step."""
        return self.corpus.batches(config, name, steps, self.objective.margin, codes=self._codes)

    def learn(
        self, steps: int, model: Model, voices: Sequence[str], seed: int, progress: bool
    ) -> None:
        """Learn what is in the mel predictor by the mel error, then the decoder's by -log p.

        The former also on codes of conversions to voices of the whole model, as it will meet them.
        """
        name = self.solo.speakers[0]
        decoders, *predictors = self.vectors
        if predictors:
            mel_stage = dataclasses.replace(MEL_STAGE, steps=steps)
            codes: Codes | None = self._codes
            if self._codes is not None and self.film:
                waveforms = self.corpus.waveforms
                codes = ConvertedCodes(model, waveforms, self._codes, voices, seed, progress)
            batches = self.corpus.batches(mel_stage, codes=codes)
            title = f"enrolling {name}: mel predictor"
            _learn([*predictors, *self.film], self.mel_error, batches, mel_stage, title, progress)
        after = -(-steps // 2) if predictors else steps  # less is left to learn
        config, title = dataclasses.replace(STAGE, steps=after), f"enrolling {name}: decoder"
        _learn([decoders], self.nll, self.segments(config), config, title, progress)

    def nll(self, batch: Batch) -> Tensor:
        """-log p."""
        with self._autocast():
            return self.objective.nll(self._prepared(batch), self.objective.margin)[0].mean()

    def mel_error(self, batch: Batch) -> Tensor:
        """The mel error, in a small part of the time that -log p takes."""
        batch = self._prepared(batch)
        with self._autocast():
            codes = frozen_codes(self.solo.vqvae, batch)
            quantized = self.solo.vqvae.quantizer.lookup(codes)
            predictor = self.solo.mel_predictor
            assert predictor is not None
            return predictor.error(batch.waveform, quantized, batch.speaker).abs().mean()

    def _prepared(self, batch: Batch) -> Batch:
        with torch.no_grad():
            return self.corpus.prepare(batch)

    def nearest(
        self, known: Mapping[str, Sequence[Tensor]], mean: Sequence[Tensor], progress: bool
    ) -> tuple[str, Sequence[Tensor]]:
        """The likeliest of the known speakers, and the likelier of their vectors and the mean.

        Of many speakers, those with the least mel error are compared by likelihood.
        """
        probe = self.segments(STAGE, "probe", _PROBES)

        def compared(
            values: Sequence[Sequence[Tensor]], distance: Callable[[Batch], Tensor], probes: int
        ) -> np.ndarray:
            distances = []
            for candidate in track(values, "comparing speakers", " speakers", shown=progress):
                self.put(candidate)
                with torch.no_grad():
                    distances.append(sum(float(distance(probe[i])) for i in range(probes)))
            return np.array(distances)

        names = list(known)
        for kept, probes in _ROUNDS if self.solo.mel_predictor is not None else ():
            if len(names) > kept:
                errors = compared([known[name] for name in names], self.mel_error, probes)
                names = [names[i] for i in np.argsort(errors)[:kept]]
        candidates = [*(known[name] for name in names), mean]
        losses = compared(candidates, self.nll, _PROBES)
        return names[int(np.argmin(losses[:-1]))], candidates[int(np.argmin(losses))]

    def put(self, values: Sequence[Tensor]) -> None:
        """Set the vectors."""
        with torch.no_grad():
            for vector, value in zip(self.vectors, values, strict=True):
                vector.copy_(value)

    def held_out(self, values: Sequence[Tensor]) -> Validation:
        """Scores of the held-out recordings with these vectors."""
        self.put(values)
        corpus, solo = self.corpus, self.solo
        counted = solo.codebook_size, solo.codebooks
        with self._autocast():
            pieces = corpus.held_out_batches(codes=self._held_out_codes)
            found = validate(self.objective, pieces, corpus.prepare, corpus.group, *counted)
        assert found is not None  # nothing stops it
        return found

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.solo.device.type, torch.bfloat16, enabled=self.bfloat16)


def _learn(
    parameters: Sequence[Tensor],
    loss: Callable[[Batch], Tensor],
    batches: Segments,
    config: StageConfig,
    title: str,
    progress: bool,
) -> None:
    """Minimise a loss over batches, one each step."""
    optimizer = torch.optim.Adam(parameters)
    for step in track(range(config.steps), title, " steps", shown=progress):
        optimizer.zero_grad()
        loss(batches[step]).backward()
        optimizer.param_groups[0]["lr"] = learning_rate(config, step)
        optimizer.step()


def _level(folder: str | os.PathLike[str], model: Model) -> float | None:
    """Level of the speech that the others' vectors were learned from, in dB, if it is known.

    What the model states can be the level of what it draws, which is softer.
    """
    level = (read_config(folder).get("data") or {}).get("level")
    return model.speech_level if level is None else float(level)


def _with_one_speaker(model: Model, speaker: str) -> Model:
    """A copy of a model with one speaker alone; only what is this speaker's own can learn.

    For one speaker a bias of a projection is the same as a dimension of its own. What others have
    of their own is not there for it.
    """
    solo = copy.deepcopy(model).requires_grad_(False)
    solo.speakers = [speaker]
    for projection in _projections(solo):
        assert solo.mel_predictor is not None
        projection.weight[:, own_dimensions(solo.mel_predictor.speakers.weight)] = 0
        projection.bias = nn.Parameter(projection.weight.new_zeros(projection.out_features))
    for table in _tables(solo):
        table.num_embeddings = 1
        table.weight = nn.Parameter(table.weight[:1].clone())
    return solo


def _projections(model: Model) -> Sequence[nn.Linear]:
    """What gives a scale and shift of each layer of the mel predictor, if anything does."""
    return () if model.mel_predictor is None else model.mel_predictor.projections


def _tables(model: Model) -> list[nn.Embedding]:
    """The speaker embeddings of the decoder and, if there is one, of the mel predictor.

    In the order that `add_speaker` wants their rows.
    """
    decoder = model.vqvae.decoder
    if not hasattr(decoder, "conditioner"):
        kind = getattr(model.config.decoder, model.config.decoder.TAG)
        raise ValueError(
            f"model.decoder.kind: {kind} has no conditioner, whose speaker "
            "vectors are what enrolment learns; train the model on the new speaker, too"
        )
    predictor = [] if model.mel_predictor is None else [model.mel_predictor.speakers]
    return [decoder.conditioner.speakers, *predictor]
