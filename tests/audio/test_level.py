"""The level of speech, whatever surrounds it."""

import numpy as np
import pytest
from scipy import signal

from speechvq import audio
from speechvq.audio import find_speech, speech_level

RATE = 16000


def speech(seconds=6.0, level=-20.0, rate=RATE):
    """Noise with the rhythm of speech: syllables of 0.2 s, short gaps."""
    T = round(seconds * rate)
    rng = np.random.default_rng(0)
    syllables = np.sin(np.pi * np.arange(T) / (0.25 * rate)).clip(-0.8, 0.8) ** 2
    x = rng.standard_normal(T) * syllables * np.sin(2 * np.pi * 400 * np.arange(T) / rate)
    high = signal.butter(8, 120, "highpass", fs=rate, output="sos")
    x = signal.sosfiltfilt(high, x)
    x *= 10 ** (level / 20) / np.sqrt(np.mean(x**2))
    return x.astype(np.float32)


def room(seconds, level, rate=RATE):
    noise = np.random.default_rng(1).standard_normal(round(seconds * rate))
    return (noise * 10 ** (level / 20)).astype(np.float32)


def tone(T, hertz, level, rate=RATE):
    x = np.sin(2 * np.pi * hertz * np.arange(T) / rate) * np.sqrt(2) * 10 ** (level / 20)
    return x.astype(np.float32)


SPEECH = speech()
LEVEL = speech_level([SPEECH], RATE)


def test_pauses_do_not_count():
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal(RATE)).astype(np.float32)
    pause = (1e-4 * rng.standard_normal(3 * RATE)).astype(np.float32)
    assert speech_level([noise], RATE) == pytest.approx(-20, abs=0.2)
    assert speech_level([pause, noise, pause], RATE) == pytest.approx(-20, abs=0.2)


def test_ten_times_the_amplitude_is_20_db():
    one, ten = (speech_level([x * SPEECH], RATE) for x in (0.1, 1.0))
    assert ten - one == pytest.approx(20, abs=1e-3)


@pytest.mark.parametrize("size", [37, 320, 5000])
def test_blocks_are_the_whole(size):
    x = np.concatenate([room(2, -60), SPEECH[:9999] + 0.3])
    whole = find_speech([x], RATE)
    pieces = [x[i : i + size] for i in range(0, len(x), size)]
    found = find_speech(pieces, RATE)
    assert found.level == pytest.approx(whole.level, abs=1e-6)
    np.testing.assert_array_equal(found.kept, whole.kept)
    assert (found.rumble, whole.rumble) == (True, True)
    np.testing.assert_allclose(
        np.concatenate(list(found.cleaned(pieces))),
        np.concatenate(list(whole.cleaned([x]))),
        atol=1e-6,
    )


def test_silence_and_nothing_have_no_level():
    assert speech_level([np.zeros(1000)], 8000) == -np.inf
    assert speech_level([], 8000) == -np.inf
    assert speech_level([np.zeros(5 * RATE, np.float32)], RATE) == -np.inf
    assert speech_level([np.full(3, 1e-30)], 8000) < -200


@pytest.mark.parametrize("before", [0, 3, 65])
@pytest.mark.parametrize("after", [0, 20])
@pytest.mark.parametrize("noise", [-np.inf, -75, -45, -32])
def test_the_level_is_that_of_the_speech(before, after, noise):
    x = np.concatenate([room(before, noise), SPEECH, room(after, noise)])
    assert speech_level([x], RATE) == pytest.approx(LEVEL, abs=0.3)


def test_one_word_in_a_long_pause():
    word = SPEECH[: int(0.7 * RATE)]
    x = np.concatenate([room(9, -70), word, room(6, -70)])
    assert speech_level([x], RATE) == pytest.approx(speech_level([word], RATE), abs=0.5)


def test_a_pause_of_digital_silence_then_a_fan_then_speech():
    x = np.concatenate([np.zeros(20 * RATE, np.float32), room(30, -45), SPEECH])
    assert speech_level([x], RATE) == pytest.approx(LEVEL, abs=0.3)


@pytest.mark.parametrize("where", ["pause", "speech", "both"])
@pytest.mark.parametrize("milliseconds", [0.1, 3, 30])
def test_clicks_are_no_speech(where, milliseconds):
    quiet = SPEECH * np.float32(10 ** (-25 / 20))
    x = np.concatenate([room(20, -80), quiet])
    length = max(1, int(milliseconds * RATE / 1000))
    places = {"pause": [3.0, 11.11], "speech": [21.3, 24.01], "both": [3.0, 21.3, 23.01]}[where]
    for second in places:
        x[int(second * RATE) :][:length] = 0.9 * np.resize([1, -1], length)
    assert speech_level([x], RATE) == pytest.approx(LEVEL - 25, abs=0.7)


@pytest.mark.parametrize("offset", [0.02, -0.2, 0.5])
@pytest.mark.parametrize("before", [0, 30])
def test_a_mean_is_no_level(offset, before):
    x = np.concatenate([room(before, -75), SPEECH / 3]) + np.float32(offset)
    found = find_speech([x], RATE)
    assert found.level == pytest.approx(LEVEL - 9.54, abs=0.5)
    cleaned = np.concatenate(list(found.cleaned([x])))
    assert abs(cleaned[RATE:].mean()) < 1e-3


@pytest.mark.parametrize("hertz", [0.5, 25, 50, 60])
@pytest.mark.parametrize("level", [-20, -6])
def test_hum_and_rumble_are_no_speech(hertz, level):
    x = np.concatenate([room(30, -75), SPEECH / 3])
    x += tone(len(x), hertz, level)
    found = find_speech([x], RATE)
    assert found.rumble
    assert found.level == pytest.approx(LEVEL - 9.54, abs=0.5)
    cleaned = np.concatenate(list(found.cleaned([x])))
    pause = cleaned[5 * RATE : 25 * RATE]
    assert 10 * np.log10(np.mean(pause**2)) < level - 20


@pytest.mark.parametrize(("below", "rumble"), [(30, True), (36, True), (50, False)])
def test_faint_hum_that_never_pauses(below, rumble):
    x = SPEECH + tone(len(SPEECH), 50, LEVEL - below)
    assert find_speech([x], RATE).rumble == rumble
    x[:RATE] = SPEECH[:RATE]  # but not where it comes and goes
    assert not find_speech([x], RATE).rumble


def test_clean_speech_is_left_alone():
    found = find_speech([SPEECH], RATE)
    assert not found.rumble
    assert found.kept.all()
    (block,) = found.cleaned([SPEECH])
    assert block is SPEECH


@pytest.mark.parametrize("size", [7777, 10**6])
def test_long_pauses_are_no_speech(size):
    x = np.concatenate([SPEECH, room(1.5, -80), SPEECH, room(30, -80), SPEECH])
    found = find_speech([x[i : i + size] for i in range(0, len(x), size)], RATE)
    assert found.seconds == pytest.approx(3 * 6 + 1.5 + 0.4, abs=0.3)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_any_rate(rate):
    x = np.concatenate([room(20, -70, rate), speech(6, -20, rate)])
    x += tone(len(x), 50, -15, rate)
    assert speech_level([x], rate) == pytest.approx(LEVEL, abs=0.7)
    assert audio.find_speech([x], rate).rumble
