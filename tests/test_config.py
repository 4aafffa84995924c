"""Settings: what is refused and in which words, and what follows from them."""

from dataclasses import replace

import pytest
from frames import FramesConfig, OfFramesConfig

from speechvq.config import (
    CepstraStage,
    ConditionerConfig,
    ConditionerMelPredictorConfig,
    DecoderStage,
    LabelsStage,
    LikelihoodStage,
    MelPredictorStage,
    MelStage,
    ModelConfig,
    PerturbationConfig,
    QuantizerConfig,
    SpeakerNormalisationConfig,
    StreamingEncoderConfig,
    StreamingMelPredictorConfig,
    StreamingStackConfig,
    StridedEncoderConfig,
    TrainingConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
    check_stages,
    doubts,
)
from speechvq.settings import RemovedError, build


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        *(
            (WaveNetConfig, {name: 0}, f"{name}: must be at least 1, got 0")
            for name in (
                "layers",
                "dilation_cycle",
                "residual_channels",
                "skip_channels",
                "output_channels",
            )
        ),
        (WaveNetConfig, {"kernel_size": 1}, "kernel_size: must be at least 2, got 1"),
        (
            StridedEncoderConfig,
            {"strides": ()},
            "strides: at least one stride is needed, such as [2, 2, 2, 2, 2, 2]",
        ),
        (StridedEncoderConfig, {"strides": (4, 1)}, "strides: must be at least 2, got 1"),
        (
            StridedEncoderConfig,
            {"strides": (4, 4), "channels": (8, 8, 8)},
            "channels: 3 widths for 2 strides; give one for each, or a single number",
        ),
        (StridedEncoderConfig, {"channels": 0}, "channels: must be at least 1, got 0"),
        (
            StridedEncoderConfig,
            {"strides": (4, 4), "channels": (8, 0)},
            "channels: must be at least 1, got 0",
        ),
        (
            StridedEncoderConfig,
            {"residual_layers": -1},
            "residual_layers: must be at least 0, got -1",
        ),
        (QuantizerConfig, {"codebook_size": 1}, "codebook_size: must be at least 2, got 1"),
        (QuantizerConfig, {"codebook_dim": 0}, "codebook_dim: must be at least 1, got 0"),
        *(
            (QuantizerConfig, {name: -1}, f"{name}: must be at least 0, got -1")
            for name in ("beta", "restart_below")
        ),
        (QuantizerConfig, {"decay": 0.0}, "decay: must lie between 0 and 1, got 0.0"),
        (QuantizerConfig, {"decay": 1.0}, "decay: must lie between 0 and 1, got 1.0"),
        *(
            (ConditionerConfig, {name: 0}, f"{name}: must be at least 1, got 0")
            for name in ("channels", "upsample")
        ),
        (ConditionerConfig, {"layers": -1}, "layers: must be at least 0, got -1"),
        (WaveNetDecoderConfig, {"subbands": 0}, "subbands: must be at least 1, got 0"),
        (ConditionerMelPredictorConfig, {"bands": -1}, "bands: must be at least 0, got -1"),
        (ModelConfig, {"sample_rate": 0}, "sample_rate: must be at least 1, got 0"),
        (
            ModelConfig,
            {
                "encoder": StridedEncoderConfig(strides=(5, 4)),
                "decoder": WaveNetDecoderConfig(conditioner=ConditionerConfig(upsample=3)),
            },
            "decoder.conditioner.upsample: 3 does not divide the hop length 20, the product of "
            "the strides",
        ),
        (
            ModelConfig,
            {
                "encoder": StridedEncoderConfig(strides=(5, 4)),
                "decoder": WaveNetDecoderConfig(subbands=3),
            },
            "decoder.subbands: 3 does not divide the 20 / 1 samples of a condition vector",
        ),
        (
            ModelConfig,
            {"features": FramesConfig()},
            "encoder.kind: strided wants the waveform; take features of kind waveform, or an "
            "encoder of such features",
        ),
        (QuantizerConfig, {"codebooks": 0}, "codebooks: must be at least 1, got 0"),
        (
            QuantizerConfig,
            {"codebook_dim": 64, "codebooks": 3},
            "codebooks: 3 do not divide the 64 components of a latent (codebook_dim)",
        ),
        (StreamingStackConfig, {"channels": 0}, "channels: must be at least 1, got 0"),
        (
            StreamingStackConfig,
            {"dilations": (1, 2), "lookahead": (1,)},
            "lookahead: 1 numbers for 2 dilations; give one for each",
        ),
        (
            StreamingStackConfig,
            {"dilations": (0,), "lookahead": (0,)},
            "dilations: must be at least 1, got 0",
        ),
        *(
            (
                StreamingStackConfig,
                {"dilations": (4, 2), "lookahead": (8, ahead)},
                f"lookahead: must be 0 to twice the dilation 2, got {ahead}",
            )
            for ahead in (-1, 5)
        ),
        (StreamingEncoderConfig, {"stride": 1}, "stride: must be at least 2, got 1"),
        (StreamingEncoderConfig, {"bands": 0}, "bands: must be at least 1, got 0"),
        (StreamingEncoderConfig, {"memory": 0.0}, "memory: must be above 0, got 0.0"),
        (StreamingEncoderConfig, {"prior": -1.0}, "prior: must be above 0, got -1.0"),
        (StreamingMelPredictorConfig, {"bands": 0}, "bands: must be at least 1, got 0"),
        (StreamingMelPredictorConfig, {"speaker_dim": 0}, "speaker_dim: must be at least 1, got 0"),
        (StreamingMelPredictorConfig, {"floor": 0.0}, "floor: must be above 0, got 0.0"),
        *(
            (
                ModelConfig,
                {"decoder": WaveNetDecoderConfig(mel_condition=True), "mel_predictor": predictor},
                "decoder.mel_condition: wants one log-mel frame a code; take mel_predictor.kind "
                "streaming, or set this to false",
            )
            for predictor in (
                ConditionerMelPredictorConfig(),
                ConditionerMelPredictorConfig(bands=80),
            )
        ),
        (
            ModelConfig,
            {"features": FramesConfig(), "encoder": StreamingEncoderConfig()},
            "encoder.kind: streaming wants the waveform; take features of kind waveform, or an "
            "encoder of such features",
        ),
        (
            ModelConfig,
            {
                "encoder": StreamingEncoderConfig(),
                "decoder": WaveNetDecoderConfig(conditioner=ConditionerConfig(upsample=3)),
            },
            "decoder.conditioner.upsample: 3 does not divide the hop length 160, the product of "
            "the strides",
        ),
        *(
            (
                DecoderStage,
                {"speaker_exponent": x},
                f"speaker_exponent: must lie between 0 and 1, got {x}",
            )
            for x in (-0.1, 1.1)
        ),
        (PerturbationConfig, {"codec": 1.5}, "codec: must lie between 0 and 1, got 1.5"),
        (
            PerturbationConfig,
            {"reverberation": -1.0},
            "reverberation: must lie between 0 and 1, got -1.0",
        ),
        (SpeakerNormalisationConfig, {"warps": 0}, "warps: must be at least 1, got 0"),
        (SpeakerNormalisationConfig, {"seconds": 0.0}, "seconds: must be above 0, got 0.0"),
        *(
            (DecoderStage, {name: -1}, f"{name}: must be at least 0, got -1")
            for name in ("steps", "warmup_steps", "input_noise")
        ),
        *(
            (MelStage, {name: 0}, f"{name}: must be at least 1, got 0")
            for name in ("batch_size", "segment_length")
        ),
        (CepstraStage, {"learning_rate": 0.0}, "learning_rate: must be above 0, got 0.0"),
        (
            MelStage,
            {"speaker_exponent": 1.5},
            "speaker_exponent: must lie between 0 and 1, got 1.5",
        ),
        (PerturbationConfig, {"speed": 0.6}, "speed: must be at most 0.5, got 0.6"),
        (PerturbationConfig, {"noise": 2.0}, "noise: must lie between 0 and 1, got 2.0"),
        (
            PerturbationConfig,
            {"noise_from": 50.0},
            "noise_to: must be at least noise_from, 50.0",
        ),
        *(
            (TrainingConfig, {name: 0}, f"{name}: must be at least 1, got 0")
            for name in ("log_every", "valid_every", "checkpoint_every", "valid_utterances")
        ),
        *(
            (TrainingConfig, {name: -1}, f"{name}: must be at least 0, got -1")
            for name in ("keep_every", "seed", "workers", "samples")
        ),
        (TrainingConfig, {"gradient_clip": 0.0}, "gradient_clip: must be above 0, got 0.0"),
    ],
)
def test_what_is_refused(kind, settings, message):
    with pytest.raises(ValueError) as error:
        kind(**settings)
    assert str(error.value) == message


PLAIN = ModelConfig(quantizer=QuantizerConfig(codebook_dim=16))
WITH_MEL = ModelConfig(
    quantizer=QuantizerConfig(codebook_dim=16), mel_predictor=ConditionerMelPredictorConfig(bands=8)
)
COMPUTED = ModelConfig(
    features=FramesConfig(),
    encoder=OfFramesConfig(),
    quantizer=QuantizerConfig(codebook_dim=16),
    mel_predictor=ConditionerMelPredictorConfig(bands=8),
)
STREAMING = ModelConfig(
    encoder=StreamingEncoderConfig(),
    quantizer=QuantizerConfig(codebook_dim=16, codebooks=4),
    decoder=WaveNetDecoderConfig(mel_condition=True),
    mel_predictor=StreamingMelPredictorConfig(),
)


@pytest.mark.parametrize(
    ("model", "stages", "message"),
    [
        (PLAIN, [], "stages: no stage has steps"),
        (PLAIN, [LikelihoodStage(steps=0)], "stages: no stage has steps"),
        (PLAIN, [LikelihoodStage(), LikelihoodStage()], "stages.likelihood: two stages have this"),
        (PLAIN, [MelStage()], "stages.mel.objective: mel trains the mel predictor, which this"),
        (
            PLAIN,
            [MelPredictorStage(name="first")],
            "stages.first.objective: mel_predictor trains the mel predictor",
        ),
        (WITH_MEL, [LikelihoodStage()], "model.mel_predictor.bands: no stage trains the mel"),
        (
            ModelConfig(quantizer=QuantizerConfig(codebook_dim=50)),
            [CepstraStage()],
            "stages.cepstra.normalisation.mel_bands: 40 bands have no 50 cepstra",
        ),
        (
            COMPUTED,
            [LikelihoodStage()],
            "stages.likelihood.objective: likelihood trains an encoder of",
        ),
        (COMPUTED, [CepstraStage()], "stages.cepstra.objective: cepstra trains an encoder of the"),
        (COMPUTED, [LabelsStage()], "stages.labels.objective: labels trains an encoder of the"),
        (COMPUTED, [DecoderStage()], "stages.decoder: no stage before it starts the codebook;"),
        (PLAIN, [CepstraStage(), DecoderStage()], "stages.decoder: no stage before it starts"),
        (WITH_MEL, [MelPredictorStage(codebook="keep")], "stages.mel_predictor: no stage before"),
        (
            WITH_MEL,
            [MelStage(quantization="none"), DecoderStage()],
            "stages.decoder: no stage before it starts",
        ),
        (
            STREAMING,
            [MelStage(), LikelihoodStage()],
            "stages.likelihood.objective: likelihood trains a decoder conditioned on codes and sp",
        ),
        (
            STREAMING,
            [MelStage(codebook="whitened")],
            "stages.mel.codebook: whitened clusters are of one codebook, and model.quantizer.code",
        ),
        (STREAMING, [MelStage(), MelPredictorStage()], "stages.mel_predictor.codebook: whitened"),
        (
            STREAMING,
            [LabelsStage(), MelPredictorStage(codebook="keep")],
            "stages.labels.objective: labels become the codes of one codebook, and model.quantiz",
        ),
        (
            replace(WITH_MEL, sample_rate=20000),
            [MelStage(perturbation=PerturbationConfig(codec=0.1))],
            "stages.mel.perturbation.codec: MP3 has no sample rate of 20000 Hz; set this to 0,",
        ),
        (
            replace(WITH_MEL, sample_rate=20000),
            [LabelsStage(perturbation=PerturbationConfig(codec=0.1))],
            "stages.labels.perturbation.codec: MP3 has no sample rate of 20000 Hz; set this to 0,",
        ),
        (
            WITH_MEL,
            [LabelsStage(perturbation=PerturbationConfig(speed=0.1))],
            "stages.labels.perturbation.speed: labels have the times of the speech as it was; set",
        ),
    ],
)
def test_stages_that_do_not_suit(model, stages, message):
    with pytest.raises(ValueError) as error:
        check_stages(model, stages)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_stages_that_suit():
    check_stages(PLAIN, [LikelihoodStage()])
    check_stages(PLAIN, [CepstraStage(), LikelihoodStage()])
    check_stages(WITH_MEL, [MelStage(name="warm_up", quantization="none"), MelStage()])
    check_stages(WITH_MEL, [CepstraStage(steps=0), MelPredictorStage(), DecoderStage()])
    check_stages(COMPUTED, [MelPredictorStage(), DecoderStage()])
    check_stages(COMPUTED, [MelStage(), MelPredictorStage(codebook="keep"), DecoderStage()])
    check_stages(COMPUTED, [MelPredictorStage()], initialised=True)
    check_stages(PLAIN, [DecoderStage()], initialised=True)
    check_stages(WITH_MEL, [LikelihoodStage()], initialised=True)
    check_stages(STREAMING, [MelStage(), MelPredictorStage(codebook="keep"), DecoderStage()])
    check_stages(replace(WITH_MEL, sample_rate=20000), [MelStage()])


@pytest.mark.parametrize(
    ("strides", "hop_length", "frame_rate"),
    [
        ((2,) * 6, 64, 250.0),
        ((2,) * 7, 128, 125.0),
        ((160, 4), 640, 25.0),
        ((7, 9), 63, 16000 / 63),
    ],
)
def test_hop_length_and_frame_rate(strides, hop_length, frame_rate):
    config = ModelConfig(encoder=StridedEncoderConfig(strides=strides))
    assert (config.hop_length, config.frame_rate) == (hop_length, frame_rate)


def test_hop_length_of_computed_features():
    assert COMPUTED.hop_length == 160
    assert COMPUTED.frame_rate == 100.0


@pytest.mark.parametrize(
    ("part", "kind", "advice"),
    [
        ("features", "normalised_cepstra", "train a model by recipes/librispeech/conf/real.yaml"),
        ("encoder", "context", "take streaming or strided"),
    ],
)
def test_a_part_that_was_removed(part, kind, advice):
    """What takes its place is told, and not that it is unknown."""
    with pytest.raises(RemovedError) as error:
        build(ModelConfig, {part: {"kind": kind, "channels": 96}}, "model")
    assert str(error.value).startswith(f"model.{part}.kind: {kind} is gone, with ")
    assert advice in str(error.value) and "\n" not in str(error.value)


def test_a_streaming_model():
    assert (STREAMING.hop_length, STREAMING.frame_rate) == (160, 100.0)
    assert STREAMING.condition_dim == 16 + 80
    assert replace(STREAMING, decoder=WaveNetDecoderConfig()).condition_dim == 16
    stack = StreamingStackConfig(dilations=[1, 2], lookahead=[2, 4])  # a YAML file gives lists
    assert stack == StreamingStackConfig(dilations=(1, 2), lookahead=(2, 4))


def test_codebooks_for_people():
    assert QuantizerConfig(codebook_size=8).description == "a codebook of 8"
    assert QuantizerConfig(codebook_size=8, codebooks=4).description == "4 codebooks of 8"


def test_encoder_widths():
    assert StridedEncoderConfig(strides=(4, 4, 4), channels=8).widths == (8, 8, 8)
    # A YAML file gives lists
    config = StridedEncoderConfig(strides=[160, 4], channels=[256, 512])
    assert config.widths == (256, 512)
    assert config.strides == (160, 4)
    assert config == StridedEncoderConfig(strides=(160, 4), channels=(256, 512))


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_receptive_field_of_the_wavenet(kernel_size):
    config = WaveNetConfig(layers=5, dilation_cycle=3, kernel_size=kernel_size)
    assert config.dilations == (1, 2, 4, 1, 2)
    assert config.receptive_field == 1 + (kernel_size - 1) * 10


def test_a_stage_is_called_by_its_name_or_its_objective():
    assert MelStage().label == "mel"
    assert MelStage(name="warm_up").label == "warm_up"


KEPT = MelPredictorStage(codebook="keep")


@pytest.mark.parametrize(
    ("stages", "left_behind"),
    [
        ([MelStage(), LikelihoodStage()], {"likelihood": "mel predictor"}),
        ([MelPredictorStage(), CepstraStage(), DecoderStage()], {"cepstra": "mel predictor"}),
        ([MelStage(), DecoderStage(), MelPredictorStage()], {"mel_predictor": "decoder"}),
        ([LikelihoodStage(), MelStage(name="again")], {"again": "decoder"}),
        ([MelStage(), LikelihoodStage(steps=0), DecoderStage()], {}),
        ([MelStage(), LikelihoodStage(), KEPT], {}),
        ([CepstraStage(), MelPredictorStage(), DecoderStage()], {}),
        ([CepstraStage(), LikelihoodStage()], {}),
    ],
)
def test_a_part_that_is_left_behind_by_the_codes(stages, left_behind):
    told = doubts(stages)
    assert len(told) == len(left_behind)
    for line, (stage, part) in zip(told, left_behind.items(), strict=True):
        assert line.startswith(f"stages.{stage}: changes the codes") and part in line
