"""Tiny models and corpora for all tests."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from speechvq import audio
from speechvq.config import (
    ConditionerConfig,
    ConditionerMelPredictorConfig,
    DataConfig,
    ModelConfig,
    QuantizerConfig,
    StreamingEncoderConfig,
    StreamingMelPredictorConfig,
    StreamingStackConfig,
    StridedEncoderConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from speechvq.data.manifest import Utterance, write_manifest

# pytest --hypothesis-profile=million: a study of hours
settings.register_profile(  # no test depends on how fast the machine is
    "quick", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "million",
    max_examples=1_000_000,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("quick")

SAMPLE_RATE = 8000
SPEAKERS = {"p225": 210.0, "p226": 110.0}  # pitch in Hz


def pytest_report_header() -> str:
    """Which copy of the package is tested: in CI the installed one."""
    return f"speechvq: {Path(audio.__file__).parents[1]}"


@pytest.fixture(scope="module")
def one_thread():
    """The tests of a module multiply on one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True, scope="session")
def no_power_cut():
    """Nothing waits for the disk: half of the time of tests that write checkpoints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def tiny_config() -> ModelConfig:
    """A VQ-VAE of a few thousand weights: 16 samples a code, 8 codes."""
    return ModelConfig(
        sample_rate=SAMPLE_RATE,
        encoder=StridedEncoderConfig(strides=(4, 4), channels=8),
        quantizer=QuantizerConfig(codebook_size=8, codebook_dim=4),
        decoder=WaveNetDecoderConfig(
            conditioner=ConditionerConfig(channels=4),
            wavenet=WaveNetConfig(
                layers=2,
                dilation_cycle=2,
                residual_channels=8,
                skip_channels=8,
                output_channels=16,
            ),
        ),
        mel_predictor=ConditionerMelPredictorConfig(bands=8),
    )


@pytest.fixture(scope="session")
def tiny_streaming_config(tiny_config) -> ModelConfig:
    """A streaming VQ-VAE: 80 samples a code, two codebooks of 8 codes, mel-conditioned decoder."""
    decoder = replace(
        tiny_config.decoder, conditioner=ConditionerConfig(channels=4, upsample=2, layers=1)
    )
    return replace(
        tiny_config,
        encoder=StreamingEncoderConfig(
            stride=80,
            bands=6,
            memory=0.5,
            prior=0.1,
            stack=StreamingStackConfig(channels=6, dilations=(1, 2), lookahead=(1, 1)),
        ),
        quantizer=replace(tiny_config.quantizer, codebooks=2),
        decoder=replace(decoder, mel_condition=True),
        mel_predictor=StreamingMelPredictorConfig(
            bands=8,
            speaker_dim=3,
            stack=StreamingStackConfig(channels=6, dilations=(1, 2), lookahead=(1, 1)),
        ),
    )


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory) -> DataConfig:
    """Manifests of two speakers' harmonic tones, some seconds in all, as 16-bit files."""
    folder = tmp_path_factory.mktemp("corpus")
    splits = {"train": 3, "valid": 1, "test": 1}
    paths = {}
    for split, (name, count) in enumerate(splits.items()):
        utterances = []
        for speaker, pitch in SPEAKERS.items():
            for i in range(count):
                seconds = 0.4 + 0.25 * i
                path = folder / speaker / f"{speaker}_{name}{i}.wav"
                audio.write(path, tones(pitch, seconds, seed=100 * split + i), SAMPLE_RATE)
                utterances.append(Utterance(path.stem, speaker, str(path), seconds))
        paths[name] = str(folder / f"{name}.jsonl")
        write_manifest(paths[name], utterances)
    return DataConfig(**paths)


def tones(pitch: float, seconds: float, seed: int) -> np.ndarray:
    """A voice of sorts: harmonics of a pitch whose weights change every 80 ms, and some noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    syllables = rng.random((len(t) // 640 + 1, 12)) ** 2
    weights = syllables[np.arange(len(t)) // 640]
    harmonics = np.sin(2 * np.pi * pitch * np.outer(t, np.arange(1, 13)))
    waveform = (weights * harmonics).sum(1) / 12 + 0.003 * rng.standard_normal(len(t))
    return waveform.astype(np.float32)


@pytest.fixture
def read_lines():
    """Records of a JSON-lines file."""
    import json

    def read(path: Path) -> list[dict]:
        return [json.loads(line) for line in path.read_text().splitlines()]

    return read
