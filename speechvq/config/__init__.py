"""Every setting of a model and of its training, as frozen dataclasses that YAML files mirror.

The dataclasses stand apart from the networks, so that a configuration can be read, checked and
shown by `--help` without importing torch. `speechvq.settings.build` makes them from plain values.
"""

from speechvq.config.encoders import (
    EncoderConfig,
    StreamingEncoderConfig,
    StreamingStackConfig,
    StridedEncoderConfig,
)
from speechvq.config.features import (
    FeatureConfig,
    SpeakerNormalisationConfig,
    WaveformConfig,
)
from speechvq.config.model import (
    ConditionerConfig,
    ConditionerMelPredictorConfig,
    DecoderConfig,
    MelPredictorConfig,
    ModelConfig,
    PriorConfig,
    QuantizerConfig,
    StreamingMelPredictorConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from speechvq.config.perturbation import PerturbationConfig
from speechvq.config.stages import (
    CepstraStage,
    DecoderStage,
    LabelsStage,
    LikelihoodStage,
    MelPredictorStage,
    MelStage,
    StageConfig,
    check_stages,
    doubts,
)
from speechvq.config.training import (
    DataConfig,
    LoopConfig,
    PriorStage,
    TrainingConfig,
)

__all__ = [
    "CepstraStage",
    "ConditionerConfig",
    "ConditionerMelPredictorConfig",
    "DataConfig",
    "DecoderConfig",
    "DecoderStage",
    "EncoderConfig",
    "FeatureConfig",
    "LabelsStage",
    "LikelihoodStage",
    "LoopConfig",
    "MelPredictorConfig",
    "MelPredictorStage",
    "MelStage",
    "ModelConfig",
    "PerturbationConfig",
    "PriorConfig",
    "PriorStage",
    "QuantizerConfig",
    "SpeakerNormalisationConfig",
    "StageConfig",
    "StreamingEncoderConfig",
    "StreamingMelPredictorConfig",
    "StreamingStackConfig",
    "StridedEncoderConfig",
    "TrainingConfig",
    "WaveNetConfig",
    "WaveNetDecoderConfig",
    "WaveformConfig",
    "check_stages",
    "doubts",
]
