"""Pauses of a conversion are no louder than those of its source, and speech is not touched."""

import dataclasses

import numpy as np
import pytest
import torch

from speechvq import audio, sampling
from speechvq.config import MelPredictorConfig
from speechvq.model import Model
from speechvq.sampling.level import gains_between
from speechvq.sampling.pauses import SourceLevel, pause_gains

RATE = 8000
LEVEL = -26.0
HOP = 16
NEAR = 160  # samples


@pytest.fixture(scope="module")
def model(tiny_config):
    """What it draws is as loud in pauses as elsewhere."""
    torch.manual_seed(0)
    config = dataclasses.replace(tiny_config, mel_predictor=MelPredictorConfig())
    model = Model(config, ["a", "b"]).eval()
    model.level.fill_(LEVEL)
    return model


def source(pause: float) -> np.ndarray:
    """Half a second of speech of -26 dB, a second of so many dB, half a second of speech."""
    x = np.diff(np.random.default_rng(0).standard_normal(2 * RATE + 1))  # nothing below the voice
    level = np.full(2 * RATE, LEVEL)
    level[RATE // 2 : 3 * RATE // 2] = pause
    return (x / x.std() * 10 ** (level / 20)).astype(np.float32)


def converted(model, waveform) -> tuple[np.ndarray, np.ndarray]:
    """A conversion, and what was drawn for it, at the same level."""
    encoded = sampling.encode_source(model, [waveform])
    drawn = encoded.gain * sampling.sample(model, encoded.codes, "a")[: len(waveform)]
    return sampling.convert(model, waveform, "a"), drawn.clip(-1, 1)


def decibels(x) -> float:
    return 10 * np.log10(np.square(x, dtype=np.float64).mean() + 1e-20)


@pytest.mark.parametrize("pause", [-200, -120, -90, -75, -70])
def test_a_pause_is_no_louder_than_that_of_its_source(model, pause):
    waveform = source(pause)
    found, drawn = converted(model, waveform)
    inner = slice(RATE // 2 + 3 * NEAR, 3 * RATE // 2 - 3 * NEAR)
    assert decibels(drawn[inner]) > pause + 20, "the test below could not fail"
    assert decibels(found[inner]) < max(decibels(waveform[inner]), -150) + 2


@pytest.mark.parametrize("pause", [-200, -75, -50])
def test_speech_is_not_touched(model, pause):
    found, drawn = converted(model, source(pause))
    for speech in (slice(0, RATE // 2 + NEAR), slice(3 * RATE // 2 - NEAR, None)):
        np.testing.assert_array_equal(found[speech], drawn[speech])
    if pause == -50:  # within 35 dB of the speech
        np.testing.assert_array_equal(found, drawn)


def test_the_gain_is_continuous():
    """In the level of the pause, and in time: it changes over a code."""
    drawn = np.full(50, 10 ** (LEVEL / 10))
    levels = np.arange(-70, -50, 0.1)
    gains = [pause_gains(10 ** (np.full(50, one) / 10), drawn, LEVEL, 3)[20] for one in levels]
    assert np.abs(np.diff(20 * np.log10(gains))).max() < 1.5
    np.testing.assert_allclose(gains[0], 10 ** ((-70 - LEVEL) / 20), rtol=1e-6)
    assert gains[-1] == 1


def test_the_gain_changes_over_a_code(model):
    powers = 10 ** (np.repeat([LEVEL, -200, LEVEL], 50) / 10)
    level = SourceLevel(model, powers, 1.0)
    ones = np.full(150 * HOP, 10 ** (LEVEL / 20), np.float32)
    gain = np.concatenate([level.add(ones), level.end()]) / ones
    assert np.abs(np.diff(gain)).max() <= 1.01 / HOP
    assert gain.min() < 1e-6 and gain.max() == 1


@pytest.mark.parametrize("size", [1, 5, HOP, 1000, 4003])
def test_pieces_are_the_whole(model, size):
    rng = np.random.default_rng(1)
    powers = 10 ** (rng.choice([LEVEL, -60.0, -80.0], 7).repeat(40)[:251] / 10)
    drawn = rng.normal(0, 0.05, 251 * HOP - 13).astype(np.float32)
    level = SourceLevel(model, powers, 0.5)
    whole = np.concatenate([level.add(drawn), level.end()])
    level = SourceLevel(model, powers, 0.5)
    pieces = [level.add(drawn[i : i + size]) for i in range(0, len(drawn), size)]
    np.testing.assert_array_equal(np.concatenate([*pieces, level.end()]), whole)
    assert len(whole) == len(drawn) and not np.array_equal(whole, 0.5 * drawn)


def test_little_is_held_back_and_the_source_is_waited_for(model):
    powers: list[float] = []
    level = SourceLevel(model, powers, 1.0)
    given = drawn = 0
    for _ in range(500):
        powers += [10 ** (LEVEL / 10)] * 2
        drawn += 3 * HOP  # more than the source has brought
        given += len(level.add(np.full(3 * HOP, 0.1, np.float32)))
        assert given == max(0, len(powers) * HOP - NEAR - HOP)
    powers += [1.0] * 500
    assert given + len(level.add(np.zeros(0, np.float32))) == drawn - NEAR - HOP


def test_a_stream_is_the_conversion(model, monkeypatch):
    monkeypatch.setitem(sampling.BlockEncoder.__init__.__globals__, "ENCODED_SECONDS", 0.25)
    waveform = source(-90)[: 2 * RATE - 5]
    blocks = [waveform[i : i + 700] for i in range(0, len(waveform), 700)]
    chunks = list(sampling.convert_blocks(model, iter(blocks), "a"))
    np.testing.assert_array_equal(np.concatenate(chunks), sampling.convert(model, waveform, "a"))


def test_a_model_without_a_level_leaves_pauses(model, tiny_config):
    level = SourceLevel(Model(tiny_config, ["a"]), [0.0] * 10, 0.5)
    np.testing.assert_array_equal(level.add(np.ones(10 * HOP, np.float32)), 0.5)


def test_the_level_of_a_source_is_that_of_what_is_encoded(model):
    """A quieter recording has the same powers."""
    loud, quiet = (sampling.encode_source(model, [a * source(-75)]) for a in (1, 1 / 16))
    np.testing.assert_allclose(loud.powers, quiet.powers, rtol=1e-4)
    speech = 10 * np.log10(loud.powers[: RATE // 2 // HOP].mean())
    assert speech == pytest.approx(LEVEL, abs=0.3)
    assert gains_between(audio.speech_level([source(-75)], RATE), LEVEL).to_source == loud.gain
