"""What is converted into what."""

from collections import Counter
from dataclasses import replace

import pytest

from speechvq.analysis.judges.trials import REFERENCES, choose, others, pools
from speechvq.data.manifest import Utterance


def corpus(**counts):
    return [
        Utterance(f"{speaker}_{i:03}", speaker, f"{speaker}_{i}.wav", 1.0, text=f"sentence {i}")
        for speaker, count in counts.items()
        for i in range(count)
    ]


def pairs(trials):
    return [(trial.utterance.id, trial.target) for trial in trials]


def test_every_turn_has_every_speaker_once_as_source_and_as_target():
    trials = choose(corpus(a=6, b=6, c=6, d=6), list("abcd"), 24)
    assert len(set(pairs(trials))) == 24
    for turn in range(6):
        four = trials[4 * turn : 4 * turn + 4]
        assert sorted(trial.utterance.speaker for trial in four) == list("abcd")
        assert sorted(trial.target for trial in four) == list("abcd")
    assert set(Counter((t.utterance.speaker, t.target) for t in trials).values()) == {2}
    assert len({trial.utterance.id for trial in trials}) == 24
    assert all(trial.utterance.speaker != trial.target for trial in trials)


def test_all_pairs_and_no_more():
    trials = choose(corpus(a=2, b=3), ["a", "b", "e"], 1000)
    assert len(trials) == len(set(pairs(trials))) == (2 + 3) * 2
    assert all(trial.utterance.speaker != trial.target for trial in trials)


def test_each_utterance_once():
    """With every speaker, and targets as often as each other."""
    sources = corpus(x=5, y=1, z=6)
    trials = choose(sources, ["a", "b", "c"], None)
    assert sorted(trial.utterance.id for trial in trials) == sorted(u.id for u in sources)
    assert set(Counter(trial.target for trial in trials).values()) == {4}
    lone = choose(corpus(**{f"s{i}": 1 for i in range(6)}), ["a", "b", "c"], None)
    assert sorted(Counter(trial.target for trial in lone).values()) == [2, 2, 2]


def test_the_seed_decides():
    utterances = corpus(a=6, b=6, c=6)
    one = pairs(choose(utterances, list("abc"), 6, seed=1))
    assert one == pairs(choose(utterances, list("abc"), 6, seed=1))
    assert one != pairs(choose(utterances, list("abc"), 6, seed=2))


def test_one_target():
    trials = choose(corpus(a=2, b=2), ["a"], 9)
    assert pairs(trials) == pairs(choose(corpus(b=2), ["a"], 9))
    assert {trial.target for trial in trials} == {"a"}


@pytest.mark.parametrize(
    ("utterances", "targets"), [([], ["a"]), (corpus(a=3), ["a"]), (corpus(a=3), [])]
)
def test_nothing_to_choose_from(utterances, targets):
    with pytest.raises(ValueError, match="no trials"):
        choose(utterances, targets, 5)


def test_pools_and_what_is_left_of_them():
    found = pools(corpus(a=REFERENCES + 5, b=3, c=2), ["a", "b"])
    assert {speaker: len(pool) for speaker, pool in found.items()} == {"a": REFERENCES, "b": 3}
    assert {u.speaker for u in found["b"]} == {"b"}
    judged = found["b"][0]
    assert others(found["b"], judged) == found["b"][1:]
    same_words = next(u for u in corpus(c=3) if u.text == judged.text)
    assert judged not in others(found["b"], same_words)
    assert len(others(found["b"], same_words)) == 2


def test_a_pool_of_the_judged_utterance_alone_is_left():
    (lone,) = corpus(a=1)
    assert others([lone], lone) == [lone]


def test_a_recording_is_left_out_whatever_its_id():
    """A group's name stands before the ids of its utterances."""
    one, two, three = corpus(a=3)
    assert others([one, two, three], replace(two, id=f"mp3/{two.id}")) == [one, three]
    elsewhere = replace(two, path="elsewhere.wav", text=None)
    assert others([one, two, three], elsewhere) == [one, two, three]


def test_a_pool_that_says_the_same_is_better_than_none():
    utterances = [Utterance(f"u{i}", "a", f"u{i}.wav", 1.0, text="the same") for i in range(3)]
    assert others(utterances, utterances[0]) == utterances[1:]
    silent = [Utterance(f"u{i}", "a", f"u{i}.wav", 1.0) for i in range(3)]
    assert others(silent, silent[0]) == silent[1:]
