"""Some utterances of each speaker, and the level of the speech."""

import numpy as np
import pytest
from voices import RATE, speech

from speechvq.data.manifest import Utterance
from speechvq.data.segments import Waveforms
from speechvq.data.subsets import sampled, speech_level


def corpus(stretches: dict[str, float], count: int = 4, seconds: float = 5.0) -> Waveforms:
    rng = np.random.default_rng(1)
    utterances, waveforms = [], []
    for i in range(count):
        for name, stretch in stretches.items():
            utterances.append(Utterance(f"{name}_{i}", name, "unread.wav", seconds))
            waveforms.append(speech(rng, stretch, seconds))
    return Waveforms(utterances, RATE, waveforms=waveforms)


def test_some_utterances_of_each_speaker():
    waveforms = corpus({"a": 1.0, "b": 1.0}, count=6, seconds=2.0)
    assert [len(x) for x in sampled(waveforms, ["a", "b"], 5.0)] == [3, 3]
    assert [len(x) for x in sampled(waveforms, ["a", "b"], 100.0)] == [6, 6]
    assert [len(x) for x in sampled(waveforms, ["a", "b"], 100.0, 8.0)] == [2, 2]
    (spread, _) = sampled(waveforms, ["a", "b"], 3.9)
    np.testing.assert_array_equal(spread[0], waveforms.crop(0, 0, 16000))  # spread over the whole
    np.testing.assert_array_equal(spread[1], waveforms.crop(10, 0, 16000))


def test_the_next_utterance_stands_in_for_one_that_is_left_out():
    waveforms = corpus({"a": 1.0, "b": 1.0}, count=6, seconds=2.0)
    (before, _) = sampled(waveforms, ["a", "b"], 5.0)
    waveforms.leave_out(0)
    (after, others) = sampled(waveforms, ["a", "b"], 5.0)
    np.testing.assert_array_equal(after[0], waveforms.crop(2, 0, 16000))
    for one, other in zip(before[1:], after[1:], strict=True):
        np.testing.assert_array_equal(one, other)
    for i in range(0, 12, 2):
        waveforms.leave_out(i)
    with pytest.raises(ValueError, match="nor can any other of a be decoded"):
        list(sampled(waveforms, ["a", "b"], 5.0))
    assert len(others) == 3


def test_long_utterances_count_as_several():
    """Else an hour would be taken where a minute is wanted."""
    waveforms = corpus({"a": 1.0}, count=1, seconds=100.0)
    (some,) = sampled(waveforms, ["a"], 50.0)
    assert [len(x) for x in some] == 3 * [20 * RATE]  # from the beginning, the middle, the end
    for stretch, start in zip(some, (0, 40, 80), strict=True):
        np.testing.assert_array_equal(stretch, waveforms.crop(0, start * RATE, 20 * RATE))


def test_the_level_of_the_speakers():
    waveforms = corpus({"a": 1.0, "b": 1.0}, count=2)
    once = [waveforms.crop(i, 0, 40000) for i in range(len(waveforms))]
    louder = Waveforms(waveforms.utterances, RATE, waveforms=[2 * x for x in once])
    level = speech_level(waveforms, ["a", "b"])
    assert -22 < level < -18  # the vowels have a root mean square of 0.1
    assert speech_level(louder, ["a", "b"]) == pytest.approx(level + 6, abs=0.2)
    silent = Waveforms(waveforms.utterances, RATE, waveforms=[0 * x for x in once])
    with pytest.raises(ValueError, match=r"^unread\.wav: silent, as are all .*no speech to learn"):
        speech_level(silent, ["a", "b"])
    half = Waveforms(waveforms.utterances, RATE, waveforms=[0 * once[0], *once[1:]])
    assert speech_level(half, ["a", "b"]) == pytest.approx(level, abs=0.2)
