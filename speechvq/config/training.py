"""Settings of a training that do not belong to a single stage."""

import os
from dataclasses import dataclass
from typing import Literal

from speechvq.config.checks import STEPS, above_zero, at_least
from speechvq.config.stages import StageConfig

MOST_LEVEL = 200.0
"""dB on either side of 0: no speech has more."""


@dataclass(frozen=True)
class DataConfig:
    """Where the manifests of `speechvq-prepare` lie.

    Attributes
    ----------
    train, valid, test : str
        Paths of JSON-lines manifests. Training reads the first two; analysis and the recipe read
        the third.
    level : float or None
        dB; the speech of each utterance is scaled to this level before training. An encoder that
        ignores the level leaves a decoder nothing to tell it by.
    """

    train: str = "exp/vctk/data/train.jsonl"
    valid: str = "exp/vctk/data/valid.jsonl"
    test: str = "exp/vctk/data/test.jsonl"
    level: float | None = None

    def __post_init__(self) -> None:
        for name in ("train", "valid", "test"):
            object.__setattr__(self, name, os.fspath(getattr(self, name)))
        if self.level is not None and not abs(self.level) < MOST_LEVEL:
            raise ValueError(f"level: must be less than {MOST_LEVEL:g} dB, got {self.level:g}")


@dataclass(frozen=True)
class LoopConfig:
    """What every training has.

    Attributes
    ----------
    precision : {"auto", "bfloat16", "float32"}
        "auto" takes bfloat16 where the hardware multiplies it natively.
    gradient_clip : float
        Largest norm of the gradient.
    seed : int
        Of all random numbers.
    log_every, valid_every, checkpoint_every : int
        Steps between metrics, validations and checkpoints.
    keep_every : int
        Steps between checkpoints that are kept, without the optimiser's state, for learning curves;
        0 for none.
    keep_last : int
        Of these, so many of the newest stay; 0 for all of them.
    tensorboard : bool
        Write TensorBoard's event files beside the JSON lines.
    """

    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    gradient_clip: float = 1.0
    seed: int = 0
    log_every: int = 50
    valid_every: int = 1000
    checkpoint_every: int = 1000
    keep_every: int = 0
    keep_last: int = 0
    tensorboard: bool = True

    def __post_init__(self) -> None:
        for name in ("log_every", "valid_every", "checkpoint_every"):
            at_least(1, name, getattr(self, name), STEPS)
        for name in ("keep_every", "keep_last", "seed"):
            at_least(0, name, getattr(self, name), STEPS)
        if self.seed >= 2**32:
            raise ValueError(f"seed: must be below 2^32, got {self.seed}")
        above_zero("gradient_clip", self.gradient_clip)


@dataclass(frozen=True)
class TrainingConfig(LoopConfig):
    """How a VQ-VAE is trained, whatever its stages.

    Attributes
    ----------
    init_from : str or None
        A model folder with whose weights the training begins: those of its features, encoder and
        codebook, and of its mel predictor and decoder where these have the same shape and the same
        speakers.
    workers : int
        Processes that read audio.
    valid_utterances : int
        Utterances that a validation scores.
    samples : int
        Utterances of which a validation draws the first second, to listen to; 0 for none.
    """

    init_from: str | None = None
    workers: int = 1
    valid_utterances: int = 32
    samples: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(1, "valid_utterances", self.valid_utterances)
        at_least(0, "workers", self.workers, 1024)
        at_least(0, "samples", self.samples)


@dataclass(frozen=True)
class PriorStage(StageConfig):
    """The likelihood of codes under the prior (section 4.3).

    Attributes
    ----------
    objective : {"prior"}
    segment_length : int
        Codes per segment: longer utterances are cut at random places.
    """

    objective: Literal["prior"] = "prior"
    batch_size: int = 16
    segment_length: int = 512
    learning_rate: float = 2e-3
    warmup_steps: int = 50
