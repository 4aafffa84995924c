"""The long-term post-filter: what it takes off, what it leaves, and that cuts do not matter."""

import numpy as np
import pytest
import torch

from speechvq.models import mu_law
from speechvq.models.long_term import LongTermPredictor
from speechvq.postfilter.long_term import LongTermPostFilter

RATE, PERIOD = 4000.0, 20


@pytest.fixture
def predictor() -> LongTermPredictor:
    return LongTermPredictor(8, 1, RATE)


def filtered(predictor, waveform: np.ndarray, *cuts: int) -> tuple[np.ndarray, np.ndarray]:
    """The waveform in mu-law levels, and that filtered."""
    levels = mu_law.encode(torch.from_numpy(waveform).float())
    drawn = mu_law.decode(levels).numpy()
    post_filter = LongTermPostFilter(predictor, PERIOD)
    pieces = zip(np.split(levels.numpy(), cuts), np.split(drawn, cuts), strict=True)
    return drawn, np.concatenate([post_filter.add(*piece) for piece in pieces])


def voice(pitch: float, steps: int = 4000) -> np.ndarray:
    phase = 2 * np.pi * pitch * np.arange(steps) / RATE
    return 0.2 * sum(np.cos(k * phase + k * k) / k for k in range(1, 1 + int(1000 / pitch)))


@pytest.mark.parametrize("pitch", [80.0, 125.0, 200.0])
def test_noise_between_harmonics_is_less(predictor, pitch):
    clean = voice(pitch)
    noisy = clean + 0.08 * np.random.default_rng(0).standard_normal(len(clean))
    drawn, after = filtered(predictor, noisy)
    error = [np.square(x - clean)[1000:].mean() for x in (drawn, after)]
    assert error[1] < 0.6 * error[0]


def test_a_voice_without_noise_stays(predictor):
    drawn, after = filtered(predictor, voice(125.0))
    assert np.square(after - drawn)[1000:].mean() < 1e-3 * np.square(drawn).mean()


def test_a_hiss_and_silence_stay(predictor):
    hiss = 0.1 * np.random.default_rng(1).standard_normal(4000)
    drawn, after = filtered(predictor, hiss)
    assert np.square(after - drawn).mean() < 0.05 * np.square(drawn).mean()
    drawn, after = filtered(predictor, np.zeros(400))
    np.testing.assert_array_equal(after, drawn)


def test_cuts_do_not_matter(predictor):
    noisy = voice(100.0, 2000) + 0.05 * np.random.default_rng(2).standard_normal(2000)
    whole = filtered(predictor, noisy)[1]
    np.testing.assert_allclose(filtered(predictor, noisy, 20, 40, 500, 1980)[1], whole, atol=1e-12)
