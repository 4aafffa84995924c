"""Pitch by pyworld."""

import math

import numpy as np
import pytest

pytest.importorskip("pyworld")

from speechvq.analysis.judges.level import SAMPLE_RATE  # noqa: E402
from speechvq.analysis.judges.pitch import Pitch, correlation  # noqa: E402


@pytest.fixture(scope="module")
def pitch():
    return Pitch()


def harmonics(hertz):
    """A voice of 20 harmonics whose pitch is an array (T,)."""
    phase = 2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE
    return 0.05 * sum(np.sin(k * phase) for k in range(1, 21))


@pytest.mark.parametrize("hertz", [90.0, 200.0, 400.0])
def test_a_steady_tone(pitch, hertz):
    found = pitch.measure(harmonics(np.full(SAMPLE_RATE, hertz)))
    assert found.median == pytest.approx(hertz, rel=0.01)
    assert found.semitones < 0.2
    assert found.voiced > 0.9


def test_an_octave_of_range_and_half_of_silence(pitch):
    glide = harmonics(120 * 2 ** np.linspace(0, 1, SAMPLE_RATE))
    found = pitch.measure(np.concatenate([glide, np.zeros(SAMPLE_RATE)]))
    assert found.semitones == pytest.approx(0.9 * 12, abs=0.5)
    assert found.voiced == pytest.approx(0.5, abs=0.06)
    assert found.median == pytest.approx(120 * math.sqrt(2), rel=0.02)


def test_a_melody_in_another_voice(pitch):
    """The same glide an octave up correlates with itself, its reverse does not; a tone has none."""
    glide = 120 * 2 ** np.linspace(0, 1, SAMPLE_RATE)
    low, high, back = (pitch.measure(harmonics(h)).hertz for h in (glide, 2 * glide, glide[::-1]))
    assert correlation(low, high) > 0.99
    assert correlation(low, back) < -0.99
    assert math.isnan(correlation(low, np.full(len(low), 100.0)))
    assert math.isnan(correlation(low, np.zeros(len(low))))


def test_no_pitch(pitch):
    silent = pitch.measure(np.zeros(SAMPLE_RATE))
    assert silent.voiced == 0
    assert math.isnan(silent.median)
    assert math.isnan(silent.semitones)
    assert pitch.measure(np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE)).voiced < 0.1


def test_a_woman_speaks_higher_than_a_man(pitch, standin):
    woman, man = (pitch.measure(standin(speaker, 0)[0]) for speaker in ("p225", "p226"))
    assert 150 < woman.median < 250
    assert 80 < man.median < 130
    assert 0.4 < man.voiced < 0.95
