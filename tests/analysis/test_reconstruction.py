"""Distances of reconstructions: known spectra, and counts by hand."""

import math

import numpy as np
import pytest

from speechvq.analysis.reconstruction import (
    CEPSTRA,
    MEL_BANDS,
    mel_cepstral_distortion,
    pitch_errors,
    pitch_rmse,
    spectral_distances,
)

RATE = 16000


def noise(seed, seconds=0.5):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE))


def test_a_recording_is_no_distance_from_itself():
    assert spectral_distances(noise(0), noise(0), RATE) == (0, 0)


def test_a_gain_is_the_log_spectral_distance_and_no_mel_cepstral_distortion():
    lsd, mcd = spectral_distances(noise(0), 0.5 * noise(0), RATE)
    assert lsd == pytest.approx(20 * math.log10(2), abs=1e-3)  # 6.02 dB, but for the floor
    assert mcd == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("order", [1, 7, CEPSTRA])
def test_a_ripple_of_decibels_over_mel_bands(order):
    """A cosine of 3 dB over the bands has the root mean square 3 / sqrt(2) dB, at any level."""
    bands = (np.arange(MEL_BANDS) + 0.5) / MEL_BANDS
    ripple = 3 * np.cos(np.pi * order * bands)
    power = np.random.default_rng(0).uniform(0.1, 1, (5, MEL_BANDS))
    found = mel_cepstral_distortion(power, 7 * power * 10 ** (ripple / 10))
    assert found == pytest.approx(3 / math.sqrt(2))


def test_ripples_finer_than_the_cepstra_are_not_counted():
    bands = (np.arange(MEL_BANDS) + 0.5) / MEL_BANDS
    ripple = 3 * np.cos(np.pi * (CEPSTRA + 1) * bands)
    assert mel_cepstral_distortion(np.ones((2, 80)), np.tile(10 ** (ripple / 10), (2, 1))) < 1e-9


def test_pauses_are_not_compared():
    speech, pause = noise(2), np.zeros(RATE // 2)
    drawn = np.concatenate([speech, 1e-3 * noise(3)])
    lsd, mcd = spectral_distances(np.concatenate([speech, pause]), drawn, RATE)
    assert lsd < 0.5 and mcd < 0.5  # the frames at the border alone


def test_more_noise_is_more_distance():
    found = [spectral_distances(noise(0), noise(0) + g * noise(1), RATE) for g in (0.03, 0.3, 3)]
    assert np.all(np.diff(found, axis=0) > 0)


def test_silence_and_a_very_short_recording():
    assert np.isnan(spectral_distances(np.zeros(RATE), noise(0), RATE)).all()
    assert spectral_distances(noise(0)[:100], noise(0)[:100], RATE) == (0, 0)


def test_pitch_errors_by_hand():
    recording = np.array([0, 100, 100, 100, 100, 200, 0, 0.0])
    drawn = np.array([0, 100, 119, 121, 50, 0, 150, 0])
    assert pitch_errors(recording, drawn) == {"gross": (2, 4), "voicing": (2, 8)}
    fine = 1200 * math.log2(1.19)
    assert pitch_rmse(recording, drawn) == pytest.approx(fine / math.sqrt(2))


def test_a_semitone_is_a_hundred_cents():
    hertz = np.full(50, 200.0)
    assert pitch_rmse(hertz, hertz * 2 ** (1 / 12)) == pytest.approx(100)


def test_no_pitch_in_common():
    assert pitch_errors(np.zeros(4), np.full(4, 100.0)) == {"gross": (0, 0), "voicing": (4, 4)}
    assert math.isnan(pitch_rmse(np.zeros(4), np.full(4, 100.0)))
    assert math.isnan(pitch_rmse(np.full(4, 100.0), np.full(4, 200.0)))
