import numpy as np
import pytest

from speechvq.audio import speech_level


def test_pauses_do_not_count():
    rng = np.random.default_rng(0)
    speech = 0.1 * rng.standard_normal(16000)
    pause = 1e-4 * rng.standard_normal(48000)
    assert speech_level([speech], 16000) == pytest.approx(-20, abs=0.2)
    assert speech_level([pause, speech, pause], 16000) == pytest.approx(-20, abs=0.2)


def test_ten_times_is_twenty_decibels():
    waveform = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    one, ten = (speech_level([x * waveform], 16000) for x in (0.01, 0.1))
    assert ten - one == pytest.approx(20, abs=1e-3)


def test_in_pieces_as_in_one():
    waveform = np.random.default_rng(0).standard_normal(5000) * np.linspace(0, 1, 5000)
    pieces = np.split(waveform, [1, 400, 401, 3000])
    assert speech_level(pieces, 8000) == pytest.approx(speech_level([waveform], 8000), abs=1e-6)


def test_silence_and_what_is_shorter_than_a_frame():
    assert speech_level([np.zeros(1000)], 8000) == -np.inf
    assert speech_level([], 8000) == -np.inf
    assert speech_level([np.full(3, 0.1)], 8000) == pytest.approx(-20, abs=1e-3)
