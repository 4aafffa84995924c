import numpy as np
import pytest

from speechvq.analysis.generation import DISTRIBUTIONS, Counter, divergences

# Codes 0 and 1 are aa, 2 is t, 3 silence
PHONES = np.array(["aa", "aa", "t", "sil"])
RATE = 10.0


def test_what_is_counted():
    counter = Counter(PHONES, RATE)
    assert counter.phones.tolist() == ["aa", "sil", "t"]
    counts = counter.counts([np.array([3, 3, 0, 1, 0, 2, 3, 0, 3, 3, 3])])
    assert counts["phones"].tolist() == [[4, 6, 1]]
    pairs = counts["bigrams"][0].reshape(3, 3)
    # sil-aa, aa-t, t-sil, sil-aa, aa-sil
    assert pairs.tolist() == [[0, 1, 1], [2, 0, 0], [0, 1, 0]]
    # aa for three codes, t and aa for one
    assert counts["durations"].tolist() == [[2, 0, 1, 0, 0, 0, 0, 0, 0, 0]]
    # The pauses of two and one; the last may have been cut
    assert counts["pauses"].tolist() == [[1, 1, 0, 0, 0, 0, 0, 0, 0, 0]]


def test_long_segments_count_as_a_second():
    counts = Counter(PHONES, RATE).counts([np.array([0] * 30 + [2])])
    assert counts["durations"][0, -1] == 1


def test_phones_without_silence_have_no_pauses():
    counts = Counter(np.array(["aa", "t"]), RATE).counts([np.array([0, 1, 0])])
    assert counts["pauses"].sum() == 0


def speech(seed: int, shares, utterances: int = 50) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.repeat(rng.choice(4, 40, p=shares), 2) for _ in range(utterances)]


def test_the_same_is_near_and_another_far():
    counter = Counter(PHONES, RATE)
    here, like, unlike = (
        counter.counts(speech(seed, shares))
        for seed, shares in (
            (0, [0.3, 0.2, 0.3, 0.2]),
            (1, [0.3, 0.2, 0.3, 0.2]),
            (2, [0.0, 0.1, 0.1, 0.8]),
        )
    )
    near, far = divergences(like, here), divergences(unlike, here)
    assert near.keys() == set(DISTRIBUTIONS)
    for name in DISTRIBUTIONS:
        assert 0 <= near[name].low <= near[name].value <= near[name].high < 0.05
        assert far[name].value > 2 * near[name].value
        assert far[name].value <= 1
    itself = divergences(here, here)
    assert all(itself[name].value == pytest.approx(0, abs=1e-12) for name in DISTRIBUTIONS)


def test_nothing_in_common_is_one_bit():
    counter = Counter(PHONES, RATE)
    one, other = counter.counts([np.array([0] * 5)]), counter.counts([np.array([2] * 5)])
    assert divergences(one, other)["phones"].value == pytest.approx(1)
