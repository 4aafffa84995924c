"""Posterior collapse: one decoder behind several bottlenecks, and whether it uses what it is given.

The motive of the VQ-VAE paper: a strong decoder may ignore the latents of a VAE, since they cost KL
divergence. A small VQ-VAE is trained, and the same encoder and decoder with other bottlenecks in
the quantizer's place. A decoder that ignores its latents predicts as well with those of another
utterance.

Shapes: B batch, T samples, N codes, D codebook_dim, K codebook_size.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechvq.analysis.baselines import kmeans_codes
from speechvq.analysis.bootstrap import Estimate, estimate, ratio
from speechvq.analysis.collapse import Behind, code_bits
from speechvq.analysis.frames import frame_labels
from speechvq.analysis.phonemes import PhonemeScores, score
from speechvq.config import (
    ConditionerConfig,
    ConditionerMelPredictorConfig,
    LikelihoodStage,
    LoopConfig,
    ModelConfig,
    QuantizerConfig,
    StridedEncoderConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from speechvq.data.manifest import Utterance
from speechvq.data.segments import Waveforms
from speechvq.distributed import Processes, usable_device
from speechvq.evaluation.bottlenecks import Bottleneck, GaussianBottleneck, NoLatents
from speechvq.model import Model
from speechvq.models.quantizer import Quantizer
from speechvq.progress import Progress
from speechvq.training.corpus import Corpus
from speechvq.training.objectives.likelihood import LikelihoodObjective
from speechvq.training.stage import Stage
from speechvq.training.trainer import Trainer

logger = logging.getLogger(__name__)

VQ, GAUSSIAN = "VQ", "Gaussian VAE"
AUTOENCODER, NOTHING = "plain autoencoder", "no latents"
UNTRAINED = "untrained encoder"
SECONDS = 10.0
"""Of each utterance at most so much is scored, which bounds memory."""

CONFIG = ModelConfig(
    encoder=StridedEncoderConfig(strides=(160, 4), channels=(128, 256), filterbank=True, norm=True),
    # β as the paper weighs it: the commitment loss is there a sum over D, the likelihood one over
    # the samples of a code, and here both are means (models/vqvae.py)
    quantizer=QuantizerConfig(codebook_size=128, codebook_dim=16, beta=0.25 * 16 / 640),
    decoder=WaveNetDecoderConfig(
        conditioner=ConditionerConfig(channels=32, upsample=8, layers=1),
        subbands=4,
        wavenet=WaveNetConfig(
            layers=9,
            dilation_cycle=9,
            residual_channels=32,
            skip_channels=32,
            output_channels=64,
        ),
    ),
    mel_predictor=ConditionerMelPredictorConfig(bands=0),
)
"""25 codes a second of K = 128; a WaveNet that sees an eighth of a second of its past."""

STAGE = LikelihoodStage(batch_size=2, segment_length=6400, learning_rate=2e-3, warmup_steps=100)
"""Equation 3, with the KL divergence, of weight 1, in place of its second and third terms."""


@dataclass(frozen=True)
class CollapseEvaluation:
    """Results by bottleneck, and the phones that an encoder tells before it has learned."""

    steps: int
    seed: int
    bottlenecks: dict[str, Behind]
    untrained: PhonemeScores | None
    codebook_size: int
    frame_rate: float
    bitrate: float
    sample_rate: int

    def to_dict(self) -> dict[str, Any]:
        """What `scores.json` has of it."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Passed:
    """What a bottleneck lets through of one utterance.

    Attributes
    ----------
    utterance : Utterance
    waveform : Tensor
        (1, T), its first `SECONDS`.
    z : Tensor
        What the decoder is given: (1, N, D).
    codes : ndarray
        (N,); all 0 where there are none.
    kl : float
        KL divergence from the prior, bits per code; 0 but for the Gaussian bottleneck.
    """

    utterance: Utterance
    waveform: Tensor
    z: Tensor
    codes: np.ndarray
    kl: float


def evaluate_collapse(
    train: Sequence[Utterance],
    score_on: Sequence[Utterance],
    steps: int,
    seed: int = 0,
    device: str = "cpu",
    progress: Progress = lambda items, _: items,
    config: ModelConfig | None = None,
    show: bool = False,
) -> CollapseEvaluation:
    """Train a small model with each bottleneck, and measure what passes through it.

    Parameters
    ----------
    train
        To learn from, and to map latents to phones on.
    score_on
        Other utterances of the same speakers, two or more.
    steps
        Of each training.
    seed
        Of all trainings, which have the same first weights and the same batches.
    device
        Where to train.
    progress
        Shows a progress bar.
    config
        The model; by default :data:`CONFIG`.
    show
        Show the progress of the trainings on stderr.

    Raises
    ------
    ValueError
        There are fewer than two utterances to score.
    """
    if len(score_on) < 2:
        raise ValueError(
            f"{len(score_on)} utterance to score; at least two are needed, as each is also "
            "predicted with the latents of another one"
        )
    config = config or CONFIG
    speech = Waveforms(train, config.sample_rate), Waveforms(score_on, config.sample_rate)
    K, D = config.quantizer.codebook_size, config.quantizer.codebook_dim
    bottlenecks: dict[str, Callable[[], Bottleneck | None]] = {
        VQ: lambda: None,
        GAUSSIAN: lambda: GaussianBottleneck(D, config.hop_length),
        AUTOENCODER: Bottleneck,
        NOTHING: NoLatents,
    }
    where = usable_device(device)
    found = {}
    for name, make in bottlenecks.items():
        logger.info("training %d steps, bottleneck: %s", steps, name)
        model = first_model(config, speech[0], make, seed).to(where)
        train_model(model, speech, dataclasses.replace(STAGE, steps=steps), seed, show)
        train_part, scored = (list(passed(model, w, seed, progress, name)) for w in speech)
        coded = name in (VQ, NOTHING)
        found[name] = Behind(
            *likelihoods(model, scored),
            None if name == AUTOENCODER else _rate(model, train_part, scored, name == VQ),
            phone_scores(train_part, scored, K, model.frame_rate, coded, seed),
        )
        bits = found[name].own.value, found[name].other.value
        logger.info("%s: %.3f bits per sample, with another's latents %.3f", name, *bits)
    untrained = first_model(config, speech[0], Bottleneck, seed).to(where).eval()
    train_part, scored = (list(passed(untrained, w, seed, progress, UNTRAINED)) for w in speech)
    scores = phone_scores(train_part, scored, K, untrained.frame_rate, False, seed)
    rates = untrained.frame_rate, untrained.bitrate, untrained.sample_rate
    return CollapseEvaluation(steps, seed, found, scores, K, *rates)


def first_model(
    config: ModelConfig, train: Waveforms, make: Callable[[], Bottleneck | None], seed: int
) -> Model:
    """A model whose first weights the seed decides, with a bottleneck or else its quantizer."""
    torch.manual_seed(seed)
    model = Model(config, sorted({u.speaker for u in train.utterances}))
    if (bottleneck := make()) is not None:
        model.vqvae.quantizer = cast(Quantizer, bottleneck)  # with its methods
    return model


def train_model(
    model: Model,
    speech: tuple[Waveforms, Waveforms],
    config: LikelihoodStage,
    seed: int,
    show: bool = False,
) -> None:
    """Train by the objective `likelihood`, in which a bottleneck adds its loss."""
    processes = Processes(model.device)
    corpus = Corpus(model, *speech, processes, seed).to(model.device)
    objective = LikelihoodObjective(config, model).to(model.device)
    batches = corpus.batches(config)
    stage = Stage(
        config.label,
        config,
        objective,
        batches,
        corpus.held_out_batches,
        batches.samples_per_step,
        batches.steps_per_epoch,
    )
    steps = config.steps
    loop = LoopConfig(seed=seed, valid_every=steps, checkpoint_every=steps, tensorboard=False)
    modules = {"model": model, "corpus": corpus}
    with tempfile.TemporaryDirectory() as folder:  # of checkpoints that nobody needs
        Trainer(
            [stage],
            corpus.prepare,
            modules,
            loop,
            {},
            Path(folder),
            processes,
            lambda state: None,
            corpus,
            show,
        ).run()
    model.eval()


@torch.no_grad()
def passed(
    model: Model, waveforms: Waveforms, seed: int, progress: Progress, name: str
) -> Iterator[Passed]:
    """What a bottleneck lets through of each utterance that can be decoded."""
    hop_length, most = model.hop_length, round(SECONDS * model.sample_rate)
    torch.manual_seed(seed)  # of the samples of a Gaussian posterior
    for i, utterance in enumerate(progress(waveforms.utterances, name)):
        samples = waveforms.try_crop(i, 0, min(most, int(waveforms.lengths[i])))
        if samples is not None:
            x = torch.from_numpy(samples)[None].to(model.device)
            out = model.vqvae.quantizer(model.latents(x))
            kl = out.codebook_loss.item() * hop_length / math.log(2)
            yield Passed(utterance, x, out.quantized, out.codes[0].cpu().numpy(), kl)


def likelihoods(model: Model, scored: Sequence[Passed]) -> tuple[Estimate, Estimate, Estimate]:
    """Bits per sample with the latents of an utterance, with those of the next, and the gain."""
    own, other, samples = [], [], []
    for one, following in zip(scored, [*scored[1:], scored[0]], strict=True):
        N, M = one.z.shape[1], following.z.shape[1]
        own.append(_bits(model, one, one.z))
        other.append(_bits(model, one, following.z[:, torch.arange(N) % M]))
        samples.append(one.waveform.shape[1])
    gain = estimate(lambda a, b, n: (a - b) / n, other, own, samples)
    return ratio(own, samples), ratio(other, samples), gain


@torch.no_grad()
def _bits(model: Model, one: Passed, z: Tensor) -> float:
    """-log2 p of a waveform given latents z (1, N, D)."""
    T = one.waveform.shape[1]
    x = F.pad(one.waveform, (0, -T % model.hop_length))
    speaker = torch.tensor([model.speaker_index(one.utterance.speaker)], device=x.device)
    nats = model.vqvae.decoder.log_likelihood(x, z, speaker)[:, :T].double().sum()
    return -nats.item() / math.log(2)


def _rate(model: Model, train: Sequence[Passed], scored: Sequence[Passed], coded: bool) -> Estimate:
    """Bits per second of the latents; of codes under the frequencies of the training data."""
    frames = [len(one.codes) for one in scored]
    bits = [one.kl * n for one, n in zip(scored, frames, strict=True)]
    if coded:
        first, second = ([one.codes for one in part] for part in (train, scored))
        bits = code_bits(first, second, model.codebook_size)
    return ratio(np.multiply(bits, model.frame_rate), frames)


def phone_scores(
    train: Sequence[Passed],
    scored: Sequence[Passed],
    codebook_size: int,
    frame_rate: float,
    coded: bool,
    seed: int,
) -> PhonemeScores | None:
    """Map codes, else k-means codes of z with the same K, to phones; None without phone labels."""
    parts = [[one for one in p if one.utterance.phones is not None] for p in (train, scored)]
    if not all(parts):
        return None
    codes = [[one.codes for one in part] for part in parts]
    if not coded:
        vectors = [[one.z[0].cpu().numpy() for one in part] for part in parts]
        if sum(map(len, vectors[0])) < codebook_size:
            logger.warning("too few labelled frames for %d clusters: no phones", codebook_size)
            return None
        codes = list(kmeans_codes(vectors[0], vectors[1], codebook_size, seed))
    labels = [
        [frame_labels(u.utterance.phones, len(u.codes), 1 / frame_rate) for u in part]
        for part in parts
    ]
    index = np.repeat(np.arange(len(codes[1])), [len(own) for own in codes[1]])
    (map_codes, score_codes), (map_labels, score_labels) = (
        map(np.concatenate, both) for both in (codes, labels)
    )
    return score(map_codes, map_labels, score_codes, score_labels, codebook_size, index)
