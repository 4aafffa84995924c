"""A round trip through MP3 keeps the place, the level and the length of a waveform."""

import numpy as np
import pytest

from speechvq.config.perturbation import MP3_RATES
from speechvq.features.lossy_codec import COMPRESSIONS, mp3_round_trip


def noise(samples: int, seed: int = 0) -> np.ndarray:
    """With most of its power at low frequencies, as speech has."""
    white = np.random.default_rng(seed).standard_normal(samples + 40)
    return (0.1 * np.convolve(white, np.hanning(40) / 5, "valid")[:samples]).astype(np.float32)


def lag(found: np.ndarray, source: np.ndarray) -> int:
    """Samples by which `found` is late, by cross-correlation."""
    n = len(source)
    spectrum = np.fft.rfft(found, 2 * n) * np.fft.rfft(source, 2 * n).conj()
    late = int(np.fft.irfft(spectrum, 2 * n).argmax())
    return late if late < n else late - 2 * n


@pytest.mark.parametrize("rate", MP3_RATES)
@pytest.mark.parametrize("compression", sorted(set(COMPRESSIONS)))
def test_place_and_level_stay(rate, compression):
    source = noise(8000)
    found = mp3_round_trip(source, rate, compression)
    assert len(found) == 8000 and lag(found, source) == 0
    assert np.linalg.norm(found) == pytest.approx(np.linalg.norm(source), rel=0.12)  # 1 dB
    assert not np.allclose(found, source, atol=1e-4)


@pytest.mark.parametrize("samples", [1, 2, 575, 576, 1105, 1152, 1153, 3333])
@pytest.mark.parametrize("compression", sorted(set(COMPRESSIONS)))
def test_any_length(samples, compression):
    source = noise(samples)
    before = source.copy()
    found = mp3_round_trip(source, 16000, compression)
    assert found.shape == (samples,) and np.isfinite(found).all()
    assert np.dot(found, source) > 0
    assert np.array_equal(source, before)


@pytest.mark.parametrize("gain", [1e-4, 1.0, 8.0])
def test_the_level_does_not_matter(gain):
    """A soft waveform is encoded as a loud one is, and one with high peaks is not clipped."""
    source = noise(4000)
    expected = mp3_round_trip(source, 16000, 0.9)
    found = mp3_round_trip((gain * source).astype(np.float32), 16000, 0.9) / gain
    np.testing.assert_allclose(found, expected, atol=0.02 * source.std())


def test_silence_stays_silence():
    assert not mp3_round_trip(np.zeros(1000, np.float32), 16000, 0.9).any()


def test_higher_compression_is_coarser():
    source = noise(16000)
    errors = [
        np.linalg.norm(mp3_round_trip(source, 16000, c) / 0.95 - source)
        for c in sorted(set(COMPRESSIONS))
    ]
    assert errors == sorted(errors) and errors[-1] > 2 * errors[0]
