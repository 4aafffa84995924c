"""What is drawn gets the envelope that is expected of it."""

import dataclasses

import numpy as np
import pytest
import torch

from speechvq.models.envelope import Envelope
from speechvq.sampling.shaping import MOST, Shaper

HOP = 32  # samples of a condition vector
M = 60


@pytest.fixture
def envelope(tiny_config):
    """One that expects the log-mel frames that its condition vectors hold."""
    config = dataclasses.replace(
        tiny_config,
        strides=(2 * HOP,),
        condition_upsample=2,
        condition_channels=10,
        envelope_bands=10,
    )
    made = Envelope(config).eval()
    with torch.no_grad():
        torch.nn.init.eye_(made.of_condition.weight)
        made.of_condition.bias.zero_()
    return made


def shaped(envelope: Envelope, waveform: np.ndarray, expected: np.ndarray, cuts=()) -> np.ndarray:
    shaper = Shaper(envelope)
    shaper.expect(expected)
    pieces = [shaper.add(piece) for piece in np.split(waveform, cuts)]
    return np.concatenate([*pieces, shaper.end()])


def mel(envelope: Envelope, waveform: np.ndarray) -> np.ndarray:
    return envelope.mel(torch.from_numpy(waveform)[None])[0].numpy()


@pytest.fixture
def noise():
    return (0.1 * np.random.default_rng(0).standard_normal(M * HOP)).astype(np.float32)


def test_what_is_as_expected_stays(envelope, noise):
    found = shaped(envelope, noise, mel(envelope, noise))
    np.testing.assert_allclose(found, noise, atol=1e-4)


def test_the_expected_envelope_comes_out(envelope, noise):
    """Ten bands each up or down; they overlap, so that it comes out roughly."""
    wanted = mel(envelope, noise) + np.linspace(-2, 2, 10).astype(np.float32)
    found = mel(envelope, shaped(envelope, noise, wanted))
    before, after = np.abs(mel(envelope, noise) - wanted), np.abs(found - wanted)
    assert after[3:-3].mean() < 0.25 * before[3:-3].mean()


def test_cuts_do_not_matter(envelope, noise):
    expected = mel(envelope, noise) - 1.0
    whole = shaped(envelope, noise, expected)
    assert len(whole) == len(noise) and whole.dtype == np.float32
    for cuts in ([1, 2, 500, 501], range(100, M * HOP, 100)):
        np.testing.assert_array_equal(shaped(envelope, noise, expected, cuts), whole)


def test_conditions_may_come_late(envelope, noise):
    expected = mel(envelope, noise) + 1.0
    shaper, pieces = Shaper(envelope), []
    for vectors, samples in zip(np.split(expected, 4), np.split(noise, 4), strict=True):
        pieces.append(shaper.add(samples[: len(samples) // 2]))
        shaper.expect(vectors)
        pieces.append(shaper.add(samples[len(samples) // 2 :]))
    found = np.concatenate([*pieces, shaper.end()])
    np.testing.assert_array_equal(found, shaped(envelope, noise, expected))


def test_few_samples_are_held_back(envelope, noise):
    shaper = Shaper(envelope)
    shaper.expect(mel(envelope, noise))
    given = sum(len(shaper.add(piece)) for piece in np.split(noise, M))
    assert len(noise) - given <= envelope.mel.window_length


def test_gains_are_bounded(envelope, noise):
    loud = shaped(envelope, 1e-3 * noise, mel(envelope, noise) + 20)
    assert np.abs(loud).max() <= 1.001 * np.exp(MOST) * 1e-3 * np.abs(noise).max() * 10
    silent = shaped(envelope, np.zeros_like(noise), mel(envelope, noise))
    assert not silent.any()
