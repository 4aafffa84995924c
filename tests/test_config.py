"""Settings: what is refused and in which words, and what follows from them."""

import pytest

from speechvq.config import (
    PhaseConfig,
    SpectralPhaseConfig,
    TrainingConfig,
    VQVAEConfig,
    WaveNetConfig,
)


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
            VQVAEConfig,
            {"strides": ()},
            "strides: at least one stride is needed, such as [2, 2, 2, 2, 2, 2]",
        ),
        (VQVAEConfig, {"strides": (4, 1)}, "strides: must be at least 2, got 1"),
        (
            VQVAEConfig,
            {"strides": (4, 4), "encoder_channels": (8, 8, 8)},
            "encoder_channels: 3 widths for 2 strides; give one for each, or a single number",
        ),
        (VQVAEConfig, {"encoder_channels": 0}, "encoder_channels: must be at least 1, got 0"),
        (
            VQVAEConfig,
            {"strides": (4, 4), "encoder_channels": (8, 0)},
            "encoder_channels: must be at least 1, got 0",
        ),
        *(
            (VQVAEConfig, {name: 0}, f"{name}: must be at least 1, got 0")
            for name in ("sample_rate", "codebook_dim", "condition_channels", "condition_upsample")
        ),
        (VQVAEConfig, {"codebook_size": 1}, "codebook_size: must be at least 2, got 1"),
        *(
            (VQVAEConfig, {name: -1}, f"{name}: must be at least 0, got -1")
            for name in ("encoder_residual_layers", "condition_layers", "beta", "restart_below")
        ),
        (VQVAEConfig, {"decay": 0.0}, "decay: must lie between 0 and 1, got 0.0"),
        (VQVAEConfig, {"decay": 1.0}, "decay: must lie between 0 and 1, got 1.0"),
        (
            VQVAEConfig,
            {"strides": (5, 4), "condition_upsample": 3},
            "condition_upsample: 3 does not divide the hop length 20, the product of strides "
            "[5, 4]",
        ),
        *(
            (PhaseConfig, {name: -1}, f"{name}: must be at least 0, got -1")
            for name in ("steps", "warmup_steps")
        ),
        *(
            (PhaseConfig, {name: 0}, f"{name}: must be at least 1, got 0")
            for name in ("batch_size", "segment_length")
        ),
        (PhaseConfig, {"learning_rate": 0.0}, "learning_rate: must be above 0, got 0.0"),
        (SpectralPhaseConfig, {"batch_size": 0}, "batch_size: must be at least 1, got 0"),
        (
            SpectralPhaseConfig,
            {"unquantized_steps": -1},
            "unquantized_steps: must be at least 0, got -1",
        ),
        (VQVAEConfig, {"envelope_bands": -1}, "envelope_bands: must be at least 0, got -1"),
        (
            SpectralPhaseConfig,
            {"steps": 9, "unquantized_steps": 9},
            "unquantized_steps: 9 of 9 steps leave none with codes; take fewer",
        ),
        *(
            (TrainingConfig, {name: 0}, f"{name}: must be at least 1, got 0")
            for name in ("log_every", "valid_every", "checkpoint_every", "valid_utterances")
        ),
        *(
            (TrainingConfig, {name: -1}, f"{name}: must be at least 0, got -1")
            for name in ("seed", "workers", "samples")
        ),
        (TrainingConfig, {"gradient_clip": 0.0}, "gradient_clip: must be above 0, got 0.0"),
        (
            TrainingConfig,
            {"likelihood": PhaseConfig(steps=0)},
            "steps: both phases have 0, so that there is nothing to train",
        ),
    ],
)
def test_what_is_refused(kind, settings, message):
    with pytest.raises(ValueError) as error:
        kind(**settings)
    assert str(error.value) == message


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
    config = VQVAEConfig(strides=strides)
    assert (config.hop_length, config.frame_rate) == (hop_length, frame_rate)


def test_encoder_widths():
    assert VQVAEConfig(strides=(4, 4, 4), encoder_channels=8).encoder_widths == (8, 8, 8)
    # A YAML file gives lists
    config = VQVAEConfig(strides=[160, 4], encoder_channels=[256, 512])
    assert config.encoder_widths == (256, 512)
    assert config.strides == (160, 4)
    assert config == VQVAEConfig(strides=(160, 4), encoder_channels=(256, 512))


@pytest.mark.parametrize("kernel_size", [2, 3])
def test_receptive_field_of_the_wavenet(kernel_size):
    config = WaveNetConfig(layers=5, dilation_cycle=3, kernel_size=kernel_size)
    assert config.dilations == (1, 2, 4, 1, 2)
    assert config.receptive_field == 1 + (kernel_size - 1) * 10


def test_a_phase_left_out_asks_for_nothing():
    assert SpectralPhaseConfig(steps=0, unquantized_steps=500).steps == 0
    assert SpectralPhaseConfig(steps=9, unquantized_steps=8).steps == 9
