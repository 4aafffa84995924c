import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score

from speechvq.analysis.speakers import (
    folds,
    histograms,
    pointwise,
    probe,
    speaker_information,
)


def test_histograms_by_hand():
    assert histograms([np.array([0, 2, 2, 2]), np.array([1])], 3).tolist() == [
        [0.25, 0, 0.75],
        [0, 1, 0],
    ]
    product = histograms([np.array([[0, 1], [1, 1]])], 2)
    assert product.tolist() == [[0.5, 0.5, 0, 1]]


def test_information_by_hand():
    """Phone 0: the code is the speaker, one bit. Phone 1: it says nothing."""
    y = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    s = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    z = np.array([3, 3, 5, 5, 3, 5, 3, 5])
    assert pointwise(z, s, y).tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


triples = st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=50)


@given(triples)
def test_information_is_the_mean_of_that_of_each_phone(triples):
    z, s, y = np.array(triples).T
    per_phone = sum(
        (y == phone).mean() * mutual_info_score(z[y == phone], s[y == phone])
        for phone in np.unique(y)
    )
    assert pointwise(z, s, y).mean() == pytest.approx(per_phone / np.log(2), abs=1e-9)
    entropy = pointwise(s, s, y).mean()
    assert -1e-9 <= pointwise(z, s, y).mean() <= entropy + 1e-9


def speech(leak, seed=0, U=24, N=60, K=16):
    """Codes of a phone and, with a probability of `leak`, of the speaker, too."""
    random = np.random.default_rng(seed)
    speakers = np.array(["a", "b", "c"])[np.arange(U) % 3]
    owner = np.repeat(np.arange(U), N)
    phones = random.integers(0, 4, U * N)
    codes = 4 * phones + random.integers(0, 4, U * N)
    leaks = random.random(U * N) < leak
    codes[leaks] = 4 * phones[leaks] + owner[leaks] % 3
    return codes, phones, owner, speakers


def test_shuffles_take_the_bias_away():
    nothing = speaker_information(*speech(0))
    assert nothing.plugin.value > 0.005  # of finite speech, though there is nothing
    for shuffled in (nothing.frames, nothing.utterances):
        assert shuffled.low < nothing.plugin.value < shuffled.high
    assert nothing.excess.low < 0 < nothing.excess.high
    something = speaker_information(*speech(0.5))
    assert something.excess.low > 0
    assert something.excess.value == something.plugin.value - something.utterances.value
    assert something.speaker_entropy == pytest.approx(np.log2(3), abs=0.01)
    codes, phones, owner, speakers = speech(0)
    everything = speaker_information(owner % 3, phones, owner, speakers)
    assert everything.plugin.value == pytest.approx(everything.speaker_entropy)


def test_what_belongs_to_utterances_is_no_information_of_speakers():
    """Codes of an utterance's own: shuffled frames do not show them, shuffled utterances do."""
    codes, phones, owner, speakers = speech(0)
    own = speaker_information(
        owner % 16, phones, owner, np.random.default_rng(3).choice(speakers, 24)
    )
    assert own.plugin.value > 3 * own.frames.high
    assert own.utterances.low < own.plugin.value < own.utterances.high


def test_information_is_reproducible():
    assert speaker_information(*speech(0.2), seed=1) == speaker_information(*speech(0.2), seed=1)


@given(st.lists(st.integers(2, 9), min_size=2, max_size=5), st.integers(1, 3), st.integers(0, 3))
def test_folds_part_recordings_and_have_all_speakers(recordings, segments, seed):
    names = [(s, f"{s}-{r}") for s, n in enumerate(recordings) for r in range(n)] * segments
    speakers, paths = np.array([s for s, _ in names]), np.array([p for _, p in names])
    fold = folds(speakers, paths, seed)
    assert len(np.unique(fold)) == min(5, *recordings)
    for path in np.unique(paths):
        assert len(np.unique(fold[paths == path])) == 1
    for held_out in np.unique(fold):
        assert set(speakers[fold == held_out]) == set(speakers)
        assert set(speakers[fold != held_out]) == set(speakers)


def test_probes_find_speakers_and_nothing_in_noise():
    random = np.random.default_rng(0)
    speakers = np.array(["a", "b", "c", "a"] * 15)
    fold = folds(speakers, np.arange(60).astype(str))
    noise = random.normal(size=(60, 5))
    apart = noise + 20 * np.array([speakers == name for name in "abcab"]).T
    found = probe(apart, speakers, fold)
    assert found.linear.value == found.neighbours.value == 1
    assert found.linear.low == pytest.approx(0.025 ** (1 / 60))
    assert (found.chance, found.features) == (0.5, 5)
    none = probe(noise, speakers, fold)
    assert none.linear.low < 0.5 < 0.75 > none.linear.value
    assert none.neighbours.value < 0.7


def test_a_recording_that_is_known_by_heart_does_not_help():
    """Segments of a recording are alike; the speaker is told by other recordings alone."""
    recordings = np.repeat(np.arange(12), 6)
    speakers = np.array(["a", "b"])[np.random.default_rng(0).permutation(np.arange(12) % 2)]
    speakers = speakers[recordings]
    by_heart = np.eye(12)[recordings]
    of_recordings = probe(by_heart, speakers, folds(speakers, recordings.astype(str)))
    assert of_recordings.linear.value <= 0.6
    segments = np.arange(72) % 5  # the division that is not to be made
    assert probe(by_heart, speakers, segments).linear.value == 1
