"""The mel post-filter: oracles, streaming, and bounds."""

import numpy as np
import pytest
import torch

from speechvq.features.log_mel import LogMel
from speechvq.postfilter.filter import MAX_GAIN, PASSES, MelPostFilter

HOP = 32  # samples of a condition vector
M = 60


@pytest.fixture(scope="module")
def frames():
    return LogMel(8000, HOP, 10)


def filtered(frames: LogMel, waveform: np.ndarray, expected: np.ndarray, cuts=()) -> np.ndarray:
    post_filter = MelPostFilter(frames)
    post_filter.add_targets(expected)
    pieces = [post_filter.add(piece) for piece in np.split(waveform, cuts)]
    return np.concatenate([*pieces, post_filter.end()])


def mel(frames: LogMel, waveform: np.ndarray) -> np.ndarray:
    return frames(torch.from_numpy(waveform)[None])[0].numpy()


@pytest.fixture
def noise():
    return (0.1 * np.random.default_rng(0).standard_normal(M * HOP)).astype(np.float32)


def test_what_is_as_expected_stays(frames, noise):
    found = filtered(frames, noise, mel(frames, noise))
    np.testing.assert_allclose(found, noise, atol=1e-4)


def test_the_expected_envelope_comes_out(frames, noise):
    """Ten bands each up or down; they and the frames overlap, so that it comes out nearly."""
    wanted = mel(frames, noise) + np.linspace(-2, 2, 10).astype(np.float32)
    found = mel(frames, filtered(frames, noise, wanted))
    before, after = np.abs(mel(frames, noise) - wanted), np.abs(found - wanted)
    assert after[3:-3].mean() < 0.04 * before[3:-3].mean()  # one pass: 0.05


def test_cuts_do_not_matter(frames, noise):
    expected = mel(frames, noise) - 1.0
    whole = filtered(frames, noise, expected)
    assert len(whole) == len(noise) and whole.dtype == np.float32
    for cuts in ([1, 2, 500, 501], range(100, M * HOP, 100)):
        np.testing.assert_array_equal(filtered(frames, noise, expected, cuts), whole)


def test_conditions_may_come_late(frames, noise):
    expected = mel(frames, noise) + 1.0
    post_filter, pieces = MelPostFilter(frames), []
    for vectors, samples in zip(np.split(expected, 4), np.split(noise, 4), strict=True):
        pieces.append(post_filter.add(samples[: len(samples) // 2]))
        post_filter.add_targets(vectors)
        pieces.append(post_filter.add(samples[len(samples) // 2 :]))
    found = np.concatenate([*pieces, post_filter.end()])
    np.testing.assert_array_equal(found, filtered(frames, noise, expected))


def test_few_samples_are_held_back(frames, noise):
    post_filter = MelPostFilter(frames)
    post_filter.add_targets(mel(frames, noise))
    given = sum(len(post_filter.add(piece)) for piece in np.split(noise, M))
    assert len(noise) - given <= PASSES * frames.window_length


def test_gains_are_bounded(frames, noise):
    soft = 1e-5 * noise
    loud = filtered(frames, soft, mel(frames, noise) + 20)
    assert np.abs(loud).max() <= np.exp(PASSES * MAX_GAIN) * np.abs(soft).max()
    silent = filtered(frames, np.zeros_like(noise), mel(frames, noise))
    assert not silent.any()
