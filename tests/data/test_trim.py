"""Trimming: bounds by energy, and phones that stay on their sounds."""

import numpy as np
import pytest

from speechvq.data.manifest import Phone, Utterance
from speechvq.data.trim import Sound, clip_phones, find_sound, trim

RATE = 16000


def burst(before, sound, after, noise=0.0):
    rng = np.random.default_rng(0)
    parts = [np.zeros(round(before * RATE)), 0.5 * np.sin(np.arange(round(sound * RATE)) * 0.2)]
    waveform = np.concatenate([*parts, np.zeros(round(after * RATE))])
    return (waveform + noise * rng.standard_normal(len(waveform))).astype(np.float32)


def speech_bounds(waveform, *settings, **named):
    sound = find_sound([waveform], *settings, **named)
    return sound.start, sound.end


def sound_seconds(waveform, rate):
    return find_sound([waveform], rate).seconds


@pytest.mark.parametrize("noise", [0.0, 0.001])
@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_bounds_are_those_of_the_sound_with_a_margin(noise, scale):
    start, end = speech_bounds(scale * burst(0.5, 1.0, 0.7, noise), RATE, margin=0.1)
    assert start == pytest.approx(0.4, abs=0.011)
    assert end == pytest.approx(1.6, abs=0.011)


def test_a_constant_offset_is_no_sound():
    start, end = speech_bounds(burst(0.5, 1.0, 0.7) + 0.2, RATE, margin=0)
    assert (start, end) == (pytest.approx(0.5, abs=0.02), pytest.approx(1.5, abs=0.02))


def test_bounds_stay_within_the_waveform():
    waveform = burst(0.03, 0.5, 0.0333)
    assert speech_bounds(waveform, RATE) == (0.0, len(waveform) / RATE)


def test_a_lower_threshold_keeps_less():
    quiet_then_loud = np.concatenate([0.02 * burst(0, 0.5, 0), burst(0, 0.5, 0)])
    assert speech_bounds(quiet_then_loud, RATE, 40, 0)[0] == 0
    assert speech_bounds(quiet_then_loud, RATE, 20, 0)[0] == pytest.approx(0.5, abs=0.011)


def test_silence_is_no_sound():
    assert find_sound([np.zeros(RATE)], RATE) == Sound(1.0, 0.0, 0.0, 1.0, 0.0)
    assert find_sound([np.full(RATE, -0.3)], RATE) == Sound(1.0, 0.3, 0.0, 1.0, 0.0)
    assert find_sound([], RATE).duration == 0


@pytest.mark.parametrize("cuts", [[1], [159, 160, 161], range(500, 30000, 777)])
def test_blocks_of_any_lengths_have_the_same_sound(cuts):
    waveform = burst(0.5, 1.0, 0.7003, noise=0.001)
    whole = find_sound([waveform], RATE)
    assert find_sound(np.split(waveform, cuts), RATE) == whole
    assert whole.peak == np.abs(waveform).max()
    assert whole.duration == len(waveform) / RATE


PHONES = (Phone(0.0, 0.5, "sil"), Phone(0.5, 0.8, "aa"), Phone(0.8, 1.2, "t"), Phone(1.2, 2, "sil"))


def test_phones_move_with_the_audio_and_are_cut_at_its_ends():
    whole = Utterance("a", "s", "a.wav", 2.0, start=1.0, phones=PHONES)
    part = trim(whole, 0.4, 1.0)
    assert (part.start, part.duration) == (1.4, pytest.approx(0.6))
    assert [p.label for p in part.phones] == ["sil", "aa", "t"]
    expected = [0.0, 0.1, 0.1, 0.4, 0.4, 0.6]
    assert [t for p in part.phones for t in (p.start, p.end)] == pytest.approx(expected)
    # What a phone says of a moment of the file does not change.
    for moment in (1.45, 1.7, 1.95):
        labels = [
            next(p.label for p in u.phones if p.start <= moment - u.start < p.end)
            for u in (whole, part)
        ]
        assert labels[0] == labels[1]


def test_trimming_twice_adds_up_and_nothing_is_made_up():
    whole = Utterance("a", "s", "a.wav", 2.0)
    twice = trim(trim(whole, 0.5, 1.5), 0.25, 9.0)
    assert (twice.start, twice.duration, twice.phones) == (0.75, 0.75, None)
    with pytest.raises(ValueError, match="cannot trim"):
        trim(whole, 1.0, 1.0)


def test_phones_that_only_touch_are_dropped():
    assert [p.label for p in clip_phones(PHONES, 0.5, 0.8)] == ["aa"]


def test_pauses_are_no_sound():
    waveform = np.concatenate([burst(0.5, 1.0, 0.7), burst(0.5, 2.0, 0.7, noise=0.001)])
    assert sound_seconds(waveform, RATE) == pytest.approx(3.0, abs=0.03)
    assert sound_seconds(np.full(RATE, 0.3), RATE) == 0
    assert sound_seconds(np.zeros(0), RATE) == 0
    assert sound_seconds(burst(0, 0.033, 0), RATE) == pytest.approx(0.033)
