"""The level at which judges get speech."""

import numpy as np
import pytest

from speechvq.analysis.judges.level import LEVEL, SAMPLE_RATE, normalised


def level(waveform):
    return 10 * np.log10(np.mean(np.asarray(waveform, dtype=float) ** 2))


def tone(amplitude, seconds=0.5):
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (amplitude * np.sin(2 * np.pi * 200 * time)).astype(np.float32)


@pytest.mark.parametrize("amplitude", [1e-3, 0.1, 1.0])
def test_loud_and_quiet_become_alike(amplitude):
    assert level(normalised(tone(amplitude))) == pytest.approx(LEVEL, abs=0.05)


def test_pauses_do_not_count():
    pause = 1e-4 * np.random.default_rng(0).normal(size=SAMPLE_RATE).astype(np.float32)
    both = normalised(np.concatenate([tone(0.3), pause]))
    assert level(both[: SAMPLE_RATE // 2]) == pytest.approx(LEVEL, abs=0.05)


def test_nothing_clips():
    clicks = np.zeros(SAMPLE_RATE, dtype=np.float32)
    clicks[::4000] = 0.1
    loud = normalised(clicks)
    assert np.abs(loud).max() <= 1
    assert np.flatnonzero(loud).tolist() == np.flatnonzero(clicks).tolist()


def test_silence_stays_silence():
    assert not normalised(np.zeros(1000)).any()
    assert len(normalised(np.zeros(0))) == 0
