"""Level normalisation: codes do not depend on the level, conversions have that of their source."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from speechvq import audio, sampling
from speechvq.config import ConditionerMelPredictorConfig
from speechvq.model import Model
from speechvq.sampling import encode_source
from speechvq.sampling.level import MAX_LEVEL, apply_gain, gains_between

RATE = 8000
LEVEL = -26.0


@pytest.fixture(scope="module")
def model(tiny_config):
    """A raw-audio model, whose codes depend on the level, that knows the level of its training."""
    torch.manual_seed(0)
    config = dataclasses.replace(tiny_config, mel_predictor=ConditionerMelPredictorConfig())
    model = Model(config, ["a", "b"]).eval()
    with torch.no_grad():
        loud = speech(10 ** (LEVEL / 20), 8 * model.hop_length)
        model.vqvae.quantizer.codebook.copy_(model.latents(torch.from_numpy(loud)[None])[0])
    model.level.fill_(LEVEL)
    return model


def speech(rms: float, T: int = 4000) -> np.ndarray:
    noise = np.diff(np.random.default_rng(0).standard_normal(T + 1))  # nothing below the voice
    return (rms * noise / noise.std()).astype(np.float32)


def test_gains_lead_to_the_level_and_back():
    quiet = speech(0.01)
    gains = gains_between(audio.speech_level([quiet], RATE), LEVEL)
    levelled = gains.to_model * quiet
    assert audio.speech_level([levelled], RATE) == pytest.approx(LEVEL, abs=1e-3)
    np.testing.assert_allclose(gains.to_source * levelled, quiet, rtol=1e-5)


def test_the_gain_back_is_bounded():
    loud = speech(0.3)  # -10 dB
    gains = gains_between(audio.speech_level([loud], RATE), LEVEL)
    back = audio.speech_level([gains.to_source * gains.to_model * loud], RATE)
    assert back == pytest.approx(MAX_LEVEL, abs=1e-3)


def test_silence_keeps_its_level():
    silent = audio.speech_level([np.zeros(800, np.float32)], RATE)
    assert gains_between(silent, LEVEL) == (1, 1)


def test_a_gain_clips():
    waveform = np.array([0.1, -0.6, 0.9], np.float32)
    np.testing.assert_allclose(apply_gain(2.0, waveform), [0.2, -1, 1])
    assert apply_gain(2.0, waveform).dtype == np.float32
    assert apply_gain(1.0, waveform) is waveform


def test_codes_do_not_depend_on_the_level(model):
    codes = sampling.encode(model, speech(0.05))
    assert len(set(codes.tolist())) > 3
    quiet = sampling.encode(model, speech(0.05) / 16)  # exact in floating point
    assert (quiet == codes).mean() > 0.99
    without = model.encode(torch.from_numpy(speech(0.05) / 16)[None])[0].numpy()
    assert (without != codes).mean() > 0.1, "the test above could not fail"


def test_a_model_without_a_level_takes_recordings_as_they_are(model):
    model = copy.deepcopy(model)
    model.level.fill_(torch.nan)
    assert model.speech_level is None
    source = encode_source(model, [speech(0.01)])
    expected = model.encode(torch.from_numpy(speech(0.01))[None])[0].numpy()
    np.testing.assert_array_equal(source.codes, expected)
    assert (source.gain, source.samples) == (1, 4000)


def test_a_conversion_has_the_level_of_its_source(model):
    usual = sampling.convert(model, speech(0.05), "b")
    quiet = sampling.convert(model, speech(0.05) / 16, "b")
    np.testing.assert_allclose(16 * quiet, usual, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seconds", [0.01, 0.3, 60])
@pytest.mark.parametrize("size", [1, 37, 4000])
def test_blocks_are_the_whole(model, monkeypatch, seconds, size):
    """Level and codes are those of `encode`, wherever the part that is measured ends."""
    monkeypatch.setitem(sampling.BlockEncoder.__init__.__globals__, "LEVEL_SECONDS", seconds)
    waveform = speech(0.01) * np.linspace(0.1, 2, 4000, dtype=np.float32)
    blocks = [waveform[i : i + size] for i in range(0, len(waveform), size)]
    codes = np.concatenate(list(sampling.encode_blocks(model, blocks)))
    np.testing.assert_array_equal(codes, sampling.encode(model, waveform))
    once = iter(blocks) if seconds == 60 else blocks
    chunks = list(sampling.convert_blocks(model, once, "a"))
    np.testing.assert_array_equal(np.concatenate(chunks), sampling.convert(model, waveform, "a"))


def test_no_more_is_held_than_is_measured(model, monkeypatch):
    monkeypatch.setitem(sampling.BlockEncoder.__init__.__globals__, "LEVEL_SECONDS", 0.1)
    monkeypatch.setitem(sampling.BlockEncoder.__init__.__globals__, "ENCODED_SECONDS", 0.05)
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 100
            yield speech(0.01, 100)

    given = 0
    codes = sampling.encode_blocks(model, endless())
    for _ in range(20):
        given += len(next(codes)) * model.hop_length
        assert read - given <= 0.1 * RATE + 0.05 * RATE + 200
