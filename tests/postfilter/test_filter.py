"""What is drawn gets the envelope that is expected of it."""

import numpy as np
import pytest
import torch

from speechvq.models.cepstra import LogMel
from speechvq.sampling.shaping import MOST, PASSES, Shaper

HOP = 32  # samples of a condition vector
M = 60


@pytest.fixture(scope="module")
def frames():
    return LogMel(8000, HOP, 10)


def shaped(frames: LogMel, waveform: np.ndarray, expected: np.ndarray, cuts=()) -> np.ndarray:
    shaper = Shaper(frames)
    shaper.expect(expected)
    pieces = [shaper.add(piece) for piece in np.split(waveform, cuts)]
    return np.concatenate([*pieces, shaper.end()])


def mel(frames: LogMel, waveform: np.ndarray) -> np.ndarray:
    return frames(torch.from_numpy(waveform)[None])[0].numpy()


@pytest.fixture
def noise():
    return (0.1 * np.random.default_rng(0).standard_normal(M * HOP)).astype(np.float32)


def test_what_is_as_expected_stays(frames, noise):
    found = shaped(frames, noise, mel(frames, noise))
    np.testing.assert_allclose(found, noise, atol=1e-4)


def test_the_expected_envelope_comes_out(frames, noise):
    """Ten bands each up or down; they and the frames overlap, so that it comes out nearly."""
    wanted = mel(frames, noise) + np.linspace(-2, 2, 10).astype(np.float32)
    found = mel(frames, shaped(frames, noise, wanted))
    before, after = np.abs(mel(frames, noise) - wanted), np.abs(found - wanted)
    assert after[3:-3].mean() < 0.04 * before[3:-3].mean()  # one pass: 0.05


def test_cuts_do_not_matter(frames, noise):
    expected = mel(frames, noise) - 1.0
    whole = shaped(frames, noise, expected)
    assert len(whole) == len(noise) and whole.dtype == np.float32
    for cuts in ([1, 2, 500, 501], range(100, M * HOP, 100)):
        np.testing.assert_array_equal(shaped(frames, noise, expected, cuts), whole)


def test_conditions_may_come_late(frames, noise):
    expected = mel(frames, noise) + 1.0
    shaper, pieces = Shaper(frames), []
    for vectors, samples in zip(np.split(expected, 4), np.split(noise, 4), strict=True):
        pieces.append(shaper.add(samples[: len(samples) // 2]))
        shaper.expect(vectors)
        pieces.append(shaper.add(samples[len(samples) // 2 :]))
    found = np.concatenate([*pieces, shaper.end()])
    np.testing.assert_array_equal(found, shaped(frames, noise, expected))


def test_few_samples_are_held_back(frames, noise):
    shaper = Shaper(frames)
    shaper.expect(mel(frames, noise))
    given = sum(len(shaper.add(piece)) for piece in np.split(noise, M))
    assert len(noise) - given <= PASSES * frames.window_length


def test_gains_are_bounded(frames, noise):
    loud = shaped(frames, 1e-3 * noise, mel(frames, noise) + 20)
    assert np.abs(loud).max() <= 1.001 * np.exp(PASSES * MOST) * 1e-3 * np.abs(noise).max() * 10
    silent = shaped(frames, np.zeros_like(noise), mel(frames, noise))
    assert not silent.any()
