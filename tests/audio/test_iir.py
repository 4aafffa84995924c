"""Elliptic filters without scipy.signal are those of scipy.signal."""

import numpy as np
import pytest
from scipy import signal

from speechvq.audio.iir import EIGHTH, FRAME, SIXTH, IIRFilter

KINDS = {"highpass": (EIGHTH, 8), "lowpass": (SIXTH, 6)}


def design(kind, cutoff, rate):
    prototype, order = KINDS[kind]
    return signal.ellip(order, prototype.ripple, 60, cutoff, kind, fs=rate, output="sos")


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_filtered_recording_is_that_of_scipy(kind, rate):
    x = np.random.default_rng(0).standard_normal(5 * rate)
    expected = signal.sosfilt(design(kind, 80, rate), x)
    found = IIRFilter(KINDS[kind][0], kind, 80, rate).add(x)
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_a_cutoff_beyond_the_sample_rate_is_refused():
    with pytest.raises(ValueError, match="expected more than 160 Hz for a filter at 80 Hz, got 99"):
        IIRFilter(EIGHTH, "highpass", 80, 99)


@pytest.mark.parametrize("size", [1, 37, FRAME, FRAME + 1, 3 * FRAME])
def test_blocks_are_the_whole(size):
    x = np.random.default_rng(0).standard_normal(2000)
    whole, pieces = (IIRFilter(EIGHTH, "highpass", 80, 16000) for _ in range(2))
    found = [pieces.add(x[i : i + size]) for i in range(0, len(x), size)]
    np.testing.assert_allclose(np.concatenate(found), whole.add(x), atol=1e-10)
    assert len(whole.add(x[:0])) == 0
