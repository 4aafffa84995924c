"""What cannot hold speech."""

import numpy as np
import pytest

from speechvq import audio

RATE = 16000


def tone():
    return (0.5 * np.sin(0.2 * np.arange(6400))).astype(np.float32)


def test_what_cannot_hold_speech():
    list(audio.checked([tone()], RATE, "a.wav"))
    with pytest.raises(audio.AudioError, match=r"a\.wav: too short, 0\.050 s"):
        list(audio.checked([tone()[:800]], RATE, "a.wav"))
    with pytest.raises(audio.AudioError, match="too short"):
        list(audio.checked([np.zeros(0, np.float32)], RATE, "a.wav"))
    with pytest.raises(audio.AudioError, match=r"a\.wav: silent"):
        list(audio.checked([np.full(RATE, 2e-5, np.float32)], RATE, "a.wav"))


def test_pieces_are_passed_on_and_judged_together_at_the_end():
    short = [tone()[:100]] * 16  # each too short by itself
    silent = np.zeros(RATE, np.float32)
    for blocks in (short, [silent, tone()[:50]], [tone()[:50], silent, silent[:0]]):
        passed = list(audio.checked(iter(blocks), RATE, "a.wav"))
        assert [id(block) for block in passed] == [id(block) for block in blocks]


@pytest.mark.parametrize(
    ("blocks", "reason"),
    [
        ([tone()[:100]] * 15, r"a\.wav: too short, 0\.094 s"),
        ([], "too short, 0.000 s"),
        ([np.full(RATE, 5e-5)] * 3, "silent from"),
    ],
)
def test_unusable_pieces_are_refused_after_the_last(blocks, reason):
    passed = []
    with pytest.raises(audio.AudioError, match=reason):
        passed.extend(audio.checked(blocks, RATE, "a.wav"))
    assert len(passed) == len(blocks)
