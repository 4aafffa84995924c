"""Settings of the stages of a training; each stage minimises one objective.

`StageConfig` is an open union: a subclass that is imported, in the package or outside of it, is
known by the value of its field `objective`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from speechvq.config.checks import STEPS, above_zero, at_least, share
from speechvq.config.features import SpeakerNormalisationConfig, WaveformConfig
from speechvq.config.model import ModelConfig
from speechvq.config.perturbation import MP3_RATES, PerturbationConfig

SAMPLES = 2**30
"""Most of a step."""


@dataclass(frozen=True)
class StageConfig:
    """One stage of a training: so many steps that minimise one objective.

    Attributes
    ----------
    name : str
        Of the stage; by default the objective's. Two stages of one objective need names.
    steps : int
        Optimiser steps; 0 leaves the stage out.
    batch_size : int
        Segments per step, over all processes.
    segment_length : int
        Samples per segment; rounded up to a whole number of codes.
    learning_rate : float
        Peak of a schedule that rises over `warmup_steps` and falls along a cosine to a twentieth.
    warmup_steps : int
        Steps over which the learning rate rises.
    speaker_exponent : float
        A speaker is drawn in proportion to the minutes of speech to this power: 1 draws all speech
        alike, 0 all speakers.
    speakers : tuple of str
        The stage learns from these speakers alone; from all of them if it is empty.
    """

    TAG: ClassVar[str] = "objective"

    name: str = ""
    steps: int = 1000
    batch_size: int = 8
    segment_length: int = 5120
    learning_rate: float = 4e-4
    warmup_steps: int = 200
    speaker_exponent: float = 1.0
    speakers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("batch_size", "segment_length"):
            at_least(1, name, getattr(self, name), SAMPLES)
        for name in ("steps", "warmup_steps"):
            at_least(0, name, getattr(self, name), STEPS)
        at_least(
            1, "batch_size times segment_length", self.batch_size * self.segment_length, SAMPLES
        )
        above_zero("learning_rate", self.learning_rate)
        share("speaker_exponent", self.speaker_exponent)
        if not re.fullmatch(r"[\w-]*", self.name):  # of files and options, too
            raise ValueError(f"name: expected letters, digits, _ and -, got {self.name!r}")

    @property
    def label(self) -> str:
        """The name of the stage."""
        return self.name or str(getattr(self, self.TAG))

    def check(self, model: ModelConfig) -> None:
        """Refuse a model that this stage cannot train (ValueError)."""


@dataclass(frozen=True)
class LikelihoodStage(StageConfig):
    """The paper's objective, equation 3: encoder, codebook and decoder learn together.

    Attributes
    ----------
    objective : {"likelihood"}
    input_noise : float
        Standard deviation, in mu-law levels, of noise on the past samples that the decoder is
        given (noisy teacher forcing). The decoder learns to put up with its own errors, which it
        meets when it samples (exposure bias).
    """

    objective: Literal["likelihood"] = "likelihood"
    input_noise: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, "input_noise", self.input_noise)

    def check(self, model: ModelConfig) -> None:
        """Refuse computed features: equation 3 is implemented for the raw waveform."""
        if not isinstance(model.features, WaveformConfig):
            raise ValueError(
                "objective: likelihood trains an encoder of the raw waveform by equation 3; take "
                "the objective decoder, or features of kind waveform"
            )
        if model.decoder.mel_condition:
            raise ValueError(
                "objective: likelihood trains a decoder conditioned on codes and speaker alone; "
                "take the objective decoder, or set model.decoder.mel_condition to false"
            )


@dataclass(frozen=True)
class DecoderStage(StageConfig):
    """The likelihood of the decoder on frozen codes: encoder and codebook stay as they are.

    Attributes
    ----------
    objective : {"decoder"}
    input_noise : float
        As in `LikelihoodStage`.
    first_band_weight : float
        Weight of the first sub-band, in which hoarseness is heard, beside 1 for each other one.
    """

    objective: Literal["decoder"] = "decoder"
    input_noise: float = 0.0
    first_band_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, "input_noise", self.input_noise)
        above_zero("first_band_weight", self.first_band_weight)

    def check(self, model: ModelConfig) -> None:
        """Refuse a weight of the first of several sub-bands where there is but one."""
        if self.first_band_weight != 1 and getattr(model.decoder, "subbands", 1) == 1:
            raise ValueError(
                f"first_band_weight: {self.first_band_weight:g}, but model.decoder has one band"
            )


@dataclass(frozen=True)
class MelStage(StageConfig):
    """Equation 3 with a Laplace likelihood of log-mel frames in place of the WaveNet's.

    Encoder, codebook and mel predictor learn together, through the quantizer.

    Attributes
    ----------
    objective : {"mel"}
    quantization : {"straight_through", "none"}
        What stands for the quantizer in training: codes with the straight-through gradient (the
        codebook learns as `model.quantizer.update` says); or nothing, as a warm-up of the encoder
        before a stage with codes.
    codebook : {"kmeans", "whitened", "keep"}
        How the codebook starts: k-means centres of latents; the same with within-cluster
        whitening, which goes into the encoder's last layer; or as the stage before left it.
    perturbation : PerturbationConfig
        Of the encoder's input.
    """

    objective: Literal["mel"] = "mel"
    quantization: Literal["straight_through", "none"] = "straight_through"
    codebook: Literal["kmeans", "whitened", "keep"] = "kmeans"
    perturbation: PerturbationConfig = field(default_factory=PerturbationConfig)

    def check(self, model: ModelConfig) -> None:
        """Refuse a model without mel predictor, and MP3 at a rate that it does not have."""
        _needs_mel_predictor(model, self.objective)
        _has_mp3(model, self.perturbation)


@dataclass(frozen=True)
class MelPredictorStage(StageConfig):
    """The mel predictor alone, on frozen codes.

    Attributes
    ----------
    objective : {"mel_predictor"}
    codebook : {"kmeans", "whitened", "keep"}
        As in `MelStage`.
    perturbation : PerturbationConfig
        Of the encoder's input: the predictor learns to ignore what codes still have of a voice.
    """

    objective: Literal["mel_predictor"] = "mel_predictor"
    codebook: Literal["kmeans", "whitened", "keep"] = "whitened"
    perturbation: PerturbationConfig = field(default_factory=PerturbationConfig)

    def check(self, model: ModelConfig) -> None:
        """Refuse a model without mel predictor, and MP3 at a rate that it does not have."""
        _needs_mel_predictor(model, self.objective)
        _has_mp3(model, self.perturbation)


@dataclass(frozen=True)
class CepstraStage(StageConfig):
    """Regression of the latents to speaker-normalised cepstra of their frames (pretext).

    Attributes
    ----------
    objective : {"cepstra"}
    normalisation : SpeakerNormalisationConfig
        How the cepstra of the training speakers are normalised.
    """

    objective: Literal["cepstra"] = "cepstra"
    normalisation: SpeakerNormalisationConfig = field(default_factory=SpeakerNormalisationConfig)

    def check(self, model: ModelConfig) -> None:
        """Refuse features that are not the waveform, and more cepstra than mel bands."""
        _needs_waveform(model, self.objective)
        D, bands = model.quantizer.codebook_dim, self.normalisation.mel_bands
        if bands < D:
            raise ValueError(
                f"normalisation.mel_bands: {bands} bands have no {D} cepstra "
                "(model.quantizer.codebook_dim); raise it, or lower that"
            )


@dataclass(frozen=True)
class LabelsStage(StageConfig):
    """Classification of frame labels, which become the codes (pretext), as in HuBERT without masks.

    Attributes
    ----------
    objective : {"labels"}
    labels : str
        A file of codes: for each utterance of the training and validation data its labels, so
        many a second, in 0 … K-1.
    distance_weight : float
        Weight of the squared distance of a latent to the vector of its label.
    perturbation : PerturbationConfig
        Of the encoder's input, but for its speed: the labels are those of the speech as it was.
    """

    objective: Literal["labels"] = "labels"
    labels: str = "exp/units/labels.txt"
    distance_weight: float = 0.1
    perturbation: PerturbationConfig = field(default_factory=PerturbationConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(0, "distance_weight", self.distance_weight)

    def check(self, model: ModelConfig) -> None:
        """Refuse features other than the waveform, product codes, and a changed speed."""
        _needs_waveform(model, self.objective)
        _has_mp3(model, self.perturbation)
        if self.perturbation.speed:
            raise ValueError(
                "perturbation.speed: labels have the times of the speech as it was; set this to 0"
            )
        if model.quantizer.codebooks > 1:
            raise ValueError(
                "objective: labels become the codes of one codebook, and model.quantizer.codebooks "
                f"is {model.quantizer.codebooks}; set that to 1, or take the objective mel"
            )


def check_stages(
    model: ModelConfig, stages: Sequence[StageConfig], initialised: bool = False
) -> None:
    """Refuse stages that do not suit the model or each other.

    `initialised` tells that the training begins with the weights of another model.

    Raises
    ------
    ValueError
        The message begins with the path of a setting, such as ``stages.mel.codebook``.
    """
    stages = [stage for stage in stages if stage.steps]
    if not stages:
        raise ValueError("stages: no stage has steps, so that there is nothing to train")
    labels = [stage.label for stage in stages]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"stages.{label}: two stages have this name; give one a `name`")
    for stage in stages:
        try:
            stage.check(model)
        except ValueError as error:
            raise ValueError(f"stages.{stage.label}.{error}") from error
    _check_codebook(model, stages, initialised)
    learns_mel = any(isinstance(s, MelStage | MelPredictorStage) for s in stages)
    if model.mel_predictor.bands and not (learns_mel or initialised):
        raise ValueError(
            "model.mel_predictor.bands: no stage trains the mel predictor; add one with the "
            "objective mel or mel_predictor, or set this to 0"
        )


def doubts(stages: Sequence[StageConfig]) -> list[str]:
    """What may be meant, and is probably not: a part of the model that is left behind by the codes.

    Each begins with the path of a stage.
    """
    stages = [stage for stage in stages if stage.steps]
    found = []
    for part, learn, advice in (
        ("mel predictor", MelStage | MelPredictorStage, "mel_predictor with codebook: keep"),
        ("decoder", DecoderStage | LikelihoodStage, "decoder"),
    ):
        places = [i for i, stage in enumerate(stages) if isinstance(stage, learn)]
        later = [s for s in stages[places[-1] + 1 :] if _changes_codes(s)] if places else []
        if later:
            found.append(
                f"stages.{later[-1].label}: changes the codes, and no stage after it trains the "
                f"{part}, which has learned from former codes; add one of the objective {advice}"
            )
    return found


def _changes_codes(stage: StageConfig) -> bool:
    """Whether codes are others after a stage; of a stage from outside the package, no."""
    learns = isinstance(stage, LikelihoodStage | CepstraStage | LabelsStage | MelStage)
    starts = isinstance(stage, MelPredictorStage) and stage.codebook != "keep"
    return learns or starts


def _check_codebook(model: ModelConfig, stages: Sequence[StageConfig], initialised: bool) -> None:
    """Refuse codes of a codebook that nothing has started, and whitened product codes."""
    started = initialised
    for stage in stages:
        path = f"stages.{stage.label}.codebook"
        how = _start_of_codebook(stage)
        if how is None and not started and _reads_codes(stage):
            raise ValueError(
                f"stages.{stage.label}: no stage before it starts the codebook; begin with "
                "mel_predictor or mel, or take that of another model by training.init_from"
            )
        if how == "whitened" and model.quantizer.codebooks > 1:
            raise ValueError(
                f"{path}: whitened clusters are of one codebook, and model.quantizer.codebooks is "
                f"{model.quantizer.codebooks}; expected kmeans or keep here, got whitened"
            )
        started = started or how is not None


def _start_of_codebook(stage: StageConfig) -> str | None:
    """How a stage starts the codebook; None if it does not."""
    if isinstance(stage, MelStage) and stage.quantization == "none":
        return None
    if isinstance(stage, MelStage | MelPredictorStage):
        return None if stage.codebook == "keep" else stage.codebook
    # Of a stage from outside of the package it is not known
    return None if isinstance(stage, CepstraStage | DecoderStage) else "unknown"


def _reads_codes(stage: StageConfig) -> bool:
    """Whether a stage is of codes, and has to find a codebook that has started."""
    codes = not isinstance(stage, MelStage) or stage.quantization != "none"
    return codes and not isinstance(stage, CepstraStage)


def _needs_waveform(model: ModelConfig, objective: str) -> None:
    if not isinstance(model.features, WaveformConfig):
        raise ValueError(
            f"objective: {objective} trains an encoder of the waveform; take features of kind "
            "waveform, or leave this stage out"
        )


def _has_mp3(model: ModelConfig, perturbation: PerturbationConfig) -> None:
    if perturbation.codec and model.sample_rate not in MP3_RATES:
        raise ValueError(
            f"perturbation.codec: MP3 has no sample rate of {model.sample_rate} Hz; set this "
            f"to 0, or take one of {', '.join(map(str, MP3_RATES))}"
        )


def _needs_mel_predictor(model: ModelConfig, objective: str) -> None:
    if not model.mel_predictor.bands:
        raise ValueError(
            f"objective: {objective} trains the mel predictor, which this model has not; set "
            "model.mel_predictor.bands, such as 80"
        )
