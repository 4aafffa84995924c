"""Objectives, one file each: what a stage of training minimises.

`build_objective` makes the objective of a stage. It dispatches on the class of the stage's
settings, so that an objective from outside of the package is registered with
``@build_objective.register`` (docs/extending.md).
"""

from functools import singledispatch

from speechvq.config import (
    CepstraStage,
    DecoderStage,
    LabelsStage,
    LikelihoodStage,
    MelPredictorStage,
    MelStage,
    StageConfig,
)
from speechvq.model import Model
from speechvq.training.objective import Objective
from speechvq.training.objectives.cepstra import CepstraObjective
from speechvq.training.objectives.decoder import DecoderObjective
from speechvq.training.objectives.labels import LabelsObjective
from speechvq.training.objectives.likelihood import LikelihoodObjective
from speechvq.training.objectives.mel import MelObjective
from speechvq.training.objectives.mel_predictor import MelPredictorObjective


@singledispatch
def build_objective(config: StageConfig, model: Model) -> Objective:
    """The objective of a stage, for a model."""
    raise ValueError(f"stages.{config.label}: nothing builds an objective for it")


for _stage, _objective in (
    (LikelihoodStage, LikelihoodObjective),
    (DecoderStage, DecoderObjective),
    (MelStage, MelObjective),
    (MelPredictorStage, MelPredictorObjective),
    (CepstraStage, CepstraObjective),
    (LabelsStage, LabelsObjective),
):
    build_objective.register(_stage, _objective)

__all__ = ["build_objective"]
