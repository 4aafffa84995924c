"""Splits: no sentence in two splits, for any corpus."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechvq.data.manifest import Utterance
from speechvq.data.split import group_sentences, normalize, split


def utterance(id, text=None, speaker=None, duration=3.0):
    return Utterance(id, speaker or id.split("_")[0], f"/{id}.wav", duration, text=text)


def vctk(speakers=10, own=40, textless=()):
    """Sentences 001 to 024 shared by all, the others each speaker's own."""
    return [
        utterance(
            f"p{225 + s}_{n:03d}",
            None
            if f"p{225 + s}" in textless
            else (f"Shared sentence {n}!" if n <= 24 else f"Sentence {s} of {n}."),
            duration=2 + (n * 7 + s) % 5,
        )
        for s in range(speakers)
        for n in range(1, 25 + own)
    ]


def assert_is_a_split(utterances, parts):
    assert sorted(u.id for part in parts.values() for u in part) == sorted(u.id for u in utterances)
    side = {u.id: name for name, part in parts.items() for u in part}
    for key, group in group_sentences(utterances).items():
        assert len({side[u.id] for u in group}) == 1, key


def seconds(utterances):
    return sum(u.duration for u in utterances)


@pytest.mark.parametrize("seed", range(5))
def test_sizes_and_speakers(seed):
    corpus = vctk()
    parts = split(corpus, 0.05, 0.1, seed)
    assert_is_a_split(corpus, parts)
    assert seconds(parts["valid"]) / seconds(corpus) == pytest.approx(0.05, abs=0.012)
    assert seconds(parts["test"]) / seconds(corpus) == pytest.approx(0.1, abs=0.012)
    for name in ("train", "test"):
        assert len({u.speaker for u in parts[name]}) == 10


def test_the_seed_alone_decides():
    corpus = vctk(4)
    shuffled = random.Random(1).sample(corpus, len(corpus))
    assert split(corpus, seed=3) == split(shuffled, seed=3)
    assert split(corpus, seed=3) != split(corpus, seed=4)
    # The test part does not depend on how much is kept for validation.
    assert split(corpus, 0.2, 0.1)["test"] == split(corpus, 0.0, 0.1)["test"]


def test_the_split_is_the_same_on_every_machine_and_version():
    parts = split(vctk(2, 6), 0.1, 0.1, seed=0)
    assert (
        " ".join(u.id for u in parts["valid"])
        == "p225_005 p225_019 p225_021 p226_005 p226_019 p226_021"
    )
    assert (
        " ".join(u.id for u in parts["test"])
        == "p225_012 p225_016 p225_029 p226_012 p226_016 p226_025"
    )


def test_the_same_words_are_the_same_sentence():
    assert normalize("  Please, call\tSTELLA!! ") == normalize("please call stella")
    assert normalize("don't") == normalize("DONT")
    assert normalize("p225") != normalize("p226")
    assert normalize("Ça va? Ünïcödé") == "ça va ünïcödé"
    groups = group_sentences([utterance("a_1", "Go on."), utterance("b_9", "go ON")])
    assert list(groups) == ["go on"]


def test_vctk_readings_without_text_stay_with_the_shared_sentences():
    corpus = vctk(5, 10, textless={"p227"})
    groups = {u.id: key for key, group in group_sentences(corpus).items() for u in group}
    assert groups["p227_007"] == groups["p225_007"] == "shared sentence 7"
    assert groups["p227_024"] == groups["p225_024"]
    assert len({groups[f"p227_{n:03d}"] for n in range(25, 35)}) == 10
    assert groups["p227_025"] not in {groups["p225_025"], groups["p226_025"]}
    assert_is_a_split(corpus, split(corpus, 0.2, 0.2))


def test_vctk_without_any_text_keeps_numbers_together():
    corpus = vctk(3, 5, textless={"p225", "p226", "p227"})
    assert sorted(map(len, group_sentences(corpus).values())) == [1] * 15 + [3] * 24


def test_a_slip_in_a_shared_text_is_no_other_sentence():
    corpus = vctk(5, 10)
    slip = utterance("p300_007", "Shared sentance 7")
    elsewhere = utterance("p300_300", "Shared sentance 7")
    # Numbered otherwise: 8, 9 and 10 stay apart.
    moved = [
        utterance("p300_009", "Shared sentence 8"),
        utterance("p301_009", "Shared sentence 10"),
    ]
    groups = group_sentences([*corpus, slip, elsewhere, *moved])
    ids = {key: {u.id for u in group} for key, group in groups.items()}
    assert {"p300_007", "p300_300", "p225_007"} <= ids["shared sentence 7"]
    assert "p300_009" in ids["shared sentence 8"]
    assert "p301_009" in ids["shared sentence 10"]
    assert "p225_009" in ids["shared sentence 9"]


def test_numbers_mean_nothing_where_texts_differ():
    corpus = [utterance(f"p{s}_{n:03d}", f"text {s} {n}") for s in range(4) for n in range(1, 9)]
    assert len(group_sentences(corpus)) == len(corpus)


texts = st.none() | st.sampled_from(["", "One.", "one", "Two", "three", "Four four", "five", "six"])


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.integers(1, 4), st.integers(1, 30)), texts, min_size=1, max_size=40
    ),
    st.integers(0, 5),
)
def test_any_corpus_is_split_or_refused(spec, seed):
    corpus = [utterance(f"p{s}_{n:03d}", text) for (s, n), text in spec.items()]
    try:
        parts = split(corpus, 0.1, 0.2, seed)
    except ValueError as error:
        assert "too few" in str(error)
        return
    assert_is_a_split(corpus, parts)
    # The same words are on one side, whatever was made of the numbers.
    sides = [{normalize(u.text or "") for u in part} - {""} for part in parts.values()]
    assert sum(map(len, sides)) == len(set().union(*sides))
    assert all(parts.values())
    assert {u.speaker for u in parts["train"]} == {u.speaker for u in corpus}


def test_too_few_sentences():
    same = [utterance(f"s{n}_1", "One sentence only.") for n in range(9)]
    with pytest.raises(ValueError, match="1 different sentences are too few .* --test 0"):
        split(same)
    assert len(split(same, 0, 0)["train"]) == 9
    assert split([], 0, 0) == {"train": [], "valid": [], "test": []}
    # A speaker's only utterance is trained on.
    corpus = [*vctk(2, 5), utterance("lonely_1", "Alone.", duration=1)]
    for seed in range(10):
        assert "lonely_1" in {u.id for u in split(corpus, 0.3, 0.3, seed)["train"]}


def test_every_part_asked_for_has_something(caplog):
    corpus = [utterance(f"s_{n}", f"text {n}", duration=100) for n in range(4)]
    parts = split(corpus, 0.01, 0.01)
    assert [len(part) for part in parts.values()] == [2, 1, 1]
    assert "not 1.0 %" in caplog.text


@pytest.mark.parametrize(("valid", "test"), [(-0.1, 0), (0, 1), (0.5, 0.5), (float("nan"), 0)])
def test_impossible_fractions(valid, test):
    with pytest.raises(ValueError, match=r"valid|test"):
        split(vctk(1), valid, test)
