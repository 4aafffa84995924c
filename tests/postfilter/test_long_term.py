"""The long-term post-filter: what it takes off, what it leaves, and that cuts do not matter."""

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfiltfilt

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
    post_filter = LongTermPostFilter(predictor, PERIOD, 1, int(RATE))
    pieces = zip(np.split(levels.numpy(), cuts), np.split(drawn, cuts), strict=True)
    return drawn, np.concatenate([post_filter.first_band(*piece) for piece in pieces])


def voice(pitch: float, steps: int = 4000, rate: float = RATE) -> np.ndarray:
    phase = 2 * np.pi * pitch * np.arange(steps) / rate
    return 0.2 * sum(np.cos(k * phase + k * k) / k for k in range(1, 1 + int(1000 / pitch)))


@pytest.mark.parametrize("pitch", [80.0, 125.0, 200.0])
def test_noise_between_harmonics_is_less(predictor, pitch):
    clean = voice(pitch)
    noisy = clean + 0.08 * np.random.default_rng(0).standard_normal(len(clean))
    drawn, after = filtered(predictor, noisy)
    error = [np.square(x - clean)[1000:].mean() for x in (drawn, after)]
    assert error[1] < 0.6 * error[0]


@pytest.mark.parametrize("pitch", [125.0, 173.0, 310.0])  # also between two whole lags
def test_a_voice_without_noise_stays(predictor, pitch):
    drawn, after = filtered(predictor, voice(pitch))
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


BANDS, WIDE = 4, 16000
LOW = butter(8, 1800, output="sos", fs=WIDE)


def whole(predictor, waveform: np.ndarray, *cuts: int) -> np.ndarray:
    """A waveform at 16 kHz through all of the filter; its first sub-band tells the lags."""
    low = mu_law.encode(torch.from_numpy(sosfiltfilt(LOW, waveform)[::BANDS].copy()).float())
    post_filter = LongTermPostFilter(predictor, PERIOD, BANDS, WIDE)
    steps = np.split(low.numpy(), [cut // BANDS for cut in cuts])
    given = []
    for levels, piece in zip(steps, np.split(waveform.astype(np.float32), cuts), strict=True):
        post_filter.first_band(levels, mu_law.decode(torch.from_numpy(levels)).numpy())
        given.append(post_filter.add(piece))
    return np.concatenate([*given, post_filter.end()])


@pytest.mark.parametrize("pitch", [85.0, 173.0, 310.0])
def test_noise_of_the_waveform_is_less_at_low_frequencies_alone(predictor, pitch):
    clean = voice(pitch, 16000, WIDE)
    noise = 0.05 * np.random.default_rng(0).standard_normal(len(clean))
    error = whole(predictor, clean + noise) - clean
    below = butter(8, 800, output="sos", fs=WIDE)
    above = butter(8, 3000, "highpass", output="sos", fs=WIDE)
    for band, least, most in ((below, 0, 0.7), (above, 0.97, 1.03)):
        left, was = (np.square(sosfiltfilt(band, x))[4000:-400].mean() for x in (error, noise))
        assert least <= left / was < most


def test_a_hiss_and_silence_of_the_waveform_stay(predictor):
    hiss = 0.1 * np.random.default_rng(1).standard_normal(16000)
    assert np.square(whole(predictor, hiss) - hiss).mean() < 0.02 * np.square(hiss).mean()
    np.testing.assert_array_equal(whole(predictor, np.zeros(1600)), np.zeros(1600))


def test_cuts_of_the_waveform_do_not_matter_and_it_is_held_for_a_millisecond(predictor):
    noisy = voice(100.0, 8000, WIDE) + 0.05 * np.random.default_rng(2).standard_normal(8000)
    np.testing.assert_array_equal(
        whole(predictor, noisy, 80, 160, 2000, 7920), whole(predictor, noisy)
    )
    post_filter = LongTermPostFilter(predictor, PERIOD, BANDS, WIDE)
    post_filter.first_band(np.full(400, mu_law.SILENCE), np.zeros(400))
    assert len(post_filter.add(np.zeros(1600, np.float32))) == 1600 - 16
    assert len(post_filter.end()) == 16


@pytest.mark.parametrize("rate", [1000, 8000])
def test_a_low_rate_has_a_low_pass_too(predictor, rate):
    post_filter = LongTermPostFilter(predictor, PERIOD, 1, rate)
    post_filter.first_band(np.full(400, mu_law.SILENCE), np.zeros(400))
    given = np.concatenate([post_filter.add(np.zeros(400, np.float32)), post_filter.end()])
    np.testing.assert_array_equal(given, np.zeros(400))
