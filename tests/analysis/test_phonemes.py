import dataclasses

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import homogeneity_score, mutual_info_score, v_measure_score

from speechvq.analysis import phonemes
from speechvq.analysis.phonemes import (
    accuracy_gain,
    code_to_phone,
    joint_counts,
    phone_map,
    score,
    score_map,
)
from speechvq.analysis.table import code_table, score_table

PHONES = np.array(["a", "b", "sil"])


@st.composite
def frames(draw, codebook_size=5, least=1):
    pairs = draw(
        st.lists(
            st.tuples(st.integers(0, codebook_size - 1), st.integers(0, 2)),
            min_size=least,
            max_size=60,
        )
    )
    codes, columns = np.array(pairs).T
    return codes, PHONES[columns]


def test_map_and_counts_by_hand():
    codes = np.array([0, 0, 0, 1, 1, 3, 3])
    labels = np.array(["b", "b", "a", "a", "sil", "sil", "sil"])
    counts, phones = joint_counts(codes, labels, 5)
    assert phones.tolist() == ["sil", "a", "b"]
    assert counts.tolist() == [[0, 1, 2], [1, 1, 0], [0, 0, 0], [2, 0, 0], [0, 0, 0]]
    # Code 1 ties between a and sil: sil is more frequent. Codes 2 and 4 never occur.
    assert code_to_phone(codes, labels, 5).tolist() == ["b", "sil", "sil", "sil", "sil"]


def test_scores_by_hand():
    # The map made on the mapping part: 0 to a, 1 to b, 2 (unseen) to a, the most frequent.
    scores = score(
        np.array([0, 0, 0, 1, 1]),
        np.array(["a", "a", "a", "b", "b"]),
        np.array([0, 0, 1, 1, 1, 1, 2, 2]),
        np.array(["a", "b", "b", "b", "a", "a", "b", "b"]),
        codebook_size=4,
    )
    assert scores.accuracy == 3 / 8
    assert scores.chance == 3 / 8
    # Counts a, b by code: (1, 1), (2, 2), (0, 2).
    assert scores.phone_purity == pytest.approx((1 + 2 + 2) / 8)
    assert scores.cluster_purity == pytest.approx((2 + 2) / 8)
    phone_entropy = -(3 / 8 * np.log(3 / 8) + 5 / 8 * np.log(5 / 8))
    # Codes 0 and 1 leave one bit open, code 2 nothing.
    information = phone_entropy - 6 / 8 * np.log(2)
    code_entropy = -(1 / 4 * np.log(1 / 4) * 2 + 1 / 2 * np.log(1 / 2))
    assert scores.pnmi == pytest.approx(information / phone_entropy)
    homogeneity, completeness = information / phone_entropy, information / code_entropy
    assert scores.v_measure == pytest.approx(2 / (1 / homogeneity + 1 / completeness))
    assert scores.perplexity == pytest.approx(np.exp(code_entropy))
    assert (scores.codes_used, scores.codebook_size, scores.phone_classes) == (3, 4, 2)
    assert (scores.frames_map, scores.frames_score) == (5, 8)
    assert scores.accuracy_interval is None


def test_the_map_comes_from_the_mapping_part():
    codes = np.array([0, 1])
    scores = score(codes, np.array(["a", "b"]), codes, np.array(["b", "a"]), 2)
    assert (scores.accuracy, scores.phone_purity) == (0.0, 1.0)


@given(part=frames(), scored=frames(), order=st.permutations(range(5)))
def test_the_names_of_codes_do_not_matter(part, scored, order):
    rename = np.array(order)
    one = score(*part, *scored, 5)
    other = score(rename[part[0]], part[1], rename[scored[0]], scored[1], 5)
    for field in dataclasses.fields(one):
        assert getattr(one, field.name) == pytest.approx(getattr(other, field.name)), field.name


@given(part=frames(), scored=frames())
def test_the_order_of_frames_does_not_matter(part, scored):
    turned = [array[::-1] for array in (*part, *scored)]
    one, other = score(*part, *scored, 5), score(*turned, 5)
    for field in dataclasses.fields(one):
        assert getattr(one, field.name) == pytest.approx(getattr(other, field.name)), field.name


@given(scored=frames())
def test_bounds_and_purity_as_the_best_accuracy(scored):
    scores = score(*scored, *scored, 5)
    assert scores.accuracy == pytest.approx(scores.phone_purity)
    assert scores.chance <= scores.phone_purity + 1e-12
    for name in ("accuracy", "chance", "phone_purity", "cluster_purity", "pnmi", "v_measure"):
        assert -1e-9 <= getattr(scores, name) <= 1 + 1e-9
    assert 1 - 1e-9 <= scores.perplexity <= scores.codes_used + 1e-9


@given(scored=frames())
@example(scored=(np.array([0, 0, 0, 1, 1, 2]), np.array(["b"] * 6)))  # 1/2 + 1/3 + 1/6 is not 1
def test_scikit_learn_agrees(scored):
    codes, labels = scored
    scores = score(*scored, *scored, 5)
    assert scores.v_measure == pytest.approx(v_measure_score(labels, codes), abs=1e-9)
    assert scores.pnmi == pytest.approx(homogeneity_score(labels, codes), abs=1e-9)
    entropy = mutual_info_score(labels, labels)
    if entropy > 0:
        assert scores.pnmi == pytest.approx(mutual_info_score(labels, codes) / entropy, abs=1e-9)


def test_perfect_codes():
    labels = np.array(list("abcab" * 5))
    codes = np.searchsorted(np.array(["a", "b", "c"]), labels)
    scores = score(codes, labels, codes, labels, 3)
    for name in ("accuracy", "phone_purity", "cluster_purity", "pnmi", "v_measure"):
        assert getattr(scores, name) == pytest.approx(1.0), name


def test_independent_codes_tell_nothing():
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 8, 40000)
    labels = np.array(list("abcd"))[generator.choice(4, 40000, p=[0.4, 0.3, 0.2, 0.1])]
    half = slice(0, 20000), slice(20000, None)
    scores = score(codes[half[0]], labels[half[0]], codes[half[1]], labels[half[1]], 8)
    assert scores.pnmi < 0.002
    assert scores.v_measure < 0.002
    assert scores.accuracy == pytest.approx(scores.chance)
    assert scores.chance == pytest.approx(0.4, abs=0.02)
    assert scores.perplexity == pytest.approx(8, abs=0.01)


def test_one_phone_and_one_code():
    zeros, labels = np.zeros(4, int), np.array(["a"] * 4)
    scores = score(zeros, labels, zeros, labels, 1)
    assert (scores.pnmi, scores.v_measure, scores.perplexity, scores.chance) == (1, 1, 1, 1)


def test_interval_is_over_utterances():
    labels = np.array(["a", "b"] * 2000)
    codes = np.tile([0, 1], 2000)
    wrong = np.where(np.arange(4000) < 1000, 1 - codes, codes)
    many = score(codes, labels, wrong, labels, 2, score_utterances=np.arange(4000) // 10)
    few = score(codes, labels, wrong, labels, 2, score_utterances=np.arange(4000) // 500)
    assert many.accuracy == few.accuracy == 0.75
    # The standard error of a share of .75 among 400 and among 8 draws.
    for scores, draws in ((many, 400), (few, 8)):
        low, high = scores.accuracy_interval
        assert low < 0.75 < high
        assert high - low == pytest.approx(4 * np.sqrt(0.75 * 0.25 / draws), rel=0.2)
    assert many == score(codes, labels, wrong, labels, 2, score_utterances=np.arange(4000) // 10)


@pytest.mark.parametrize(
    ("codes", "labels", "complaint"),
    [
        ([0, 5], ["a", "b"], "expected 0 to 4"),
        ([-1, 0], ["a", "b"], "expected 0 to 4"),
        ([0], ["a", "b"], "as long"),
        ([], [], "no frames"),
    ],
)
def test_bad_input(codes, labels, complaint):
    with pytest.raises(ValueError, match=complaint):
        code_to_phone(np.array(codes, dtype=int), np.array(labels, dtype=str), 5)


def added(frames, seed):
    """Codes (N, 2) of 8, each standing for a number, and as the phone the sum of the two."""
    codes = np.random.default_rng(seed).integers(0, 8, (frames, 2))
    numbers = np.array([[3, 1, 7, 0, 5, 2, 6, 4], [6, 2, 0, 7, 1, 4, 3, 5]])
    total = numbers[0, codes[:, 0]] + numbers[1, codes[:, 1]]
    return codes, np.array([f"p{number}" for number in range(15)])[total]


def test_a_linear_map_adds_what_no_codebook_tells():
    """Of a sum of two even draws, neither tells the most likely value better than chance."""
    codes, labels = added(20000, 0)
    held_out, true = added(4000, 1)
    assert (phone_map(codes, labels, 8)(held_out) == true).all()
    for g in range(2):
        alone = score(codes[:, g], labels, held_out[:, g], true, 8)
        assert alone.accuracy < alone.chance + 0.03 < 0.2


def test_the_linear_map_of_one_codebook_is_the_table():
    """Where the phones of a code are not nearly as likely as each other."""
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 6, 5000)
    labels = np.where(generator.random(5000) < 0.6, PHONES[codes % 3], generator.choice(PHONES))
    linear = phone_map(codes[:, None], labels, 7)
    assert np.array_equal(linear(np.arange(6)[:, None]), code_to_phone(codes, labels, 7)[:6])


def test_the_order_of_codebooks_and_the_names_of_codes_do_not_matter():
    codes, labels = added(500, 0)
    labels[::3] = np.roll(labels, 1)[::3]  # some that cannot be told
    held_out = added(500, 1)[0]
    rename = np.random.default_rng(2).permutation(8)
    one = phone_map(codes, labels, 8)(held_out)
    other = phone_map(rename[codes[:, ::-1]], labels, 8)(rename[held_out[:, ::-1]])
    assert (one == other).mean() > 0.99


def test_a_linear_map_of_drawn_frames(monkeypatch):
    monkeypatch.setattr(phonemes, "FITTED_FRAMES", 100)
    (codes, labels), (held_out, _) = added(1000, 0), added(1000, 1)
    found = [phone_map(codes, labels, 8, seed)(held_out) for seed in (0, 0, 1)]
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


def test_a_linear_map_of_one_phone():
    codes = np.zeros((3, 2), int)
    assert phone_map(codes, np.array(["a"] * 3), 4)(codes[:2]).tolist() == ["a", "a"]


@pytest.mark.parametrize(
    ("codes", "labels", "complaint"),
    [
        ([[0, 5], [0, 1]], ["a", "b"], "expected 0 to 4"),
        ([[0, 1]], ["a", "b"], "as long"),
        (np.zeros((0, 2), int), [], "no frames"),
    ],
)
def test_product_codes_that_are_none(codes, labels, complaint):
    with pytest.raises(ValueError, match=complaint):
        phone_map(np.array(codes), np.array(labels, dtype=str), 5)


def test_scores_of_a_map_alone():
    predicted, true = np.array(["a", "b", "a", "a"]), np.array(["a", "b", "b", "c"])
    scores = score_map(predicted, np.array(["b", "b", "a"]), true, 8)
    assert (scores.accuracy, scores.chance, scores.phone_classes) == (0.5, 0.5, 3)
    assert (scores.frames_map, scores.frames_score) == (3, 4)
    assert score_table({"codes": scores}).splitlines()[1].split() == [
        "codes", "0.500", "0.500", "0.750", *"------"
    ]  # fmt: skip


def test_a_gain_is_paired():
    """Of each utterance one frame in ten more is right, however hard the utterance is."""
    labels = np.tile("a", 400)
    index = np.repeat(np.arange(4), 100)
    wrong = np.concatenate([np.arange(100) < n for n in (10, 30, 50, 70)])
    fewer = np.concatenate([np.arange(100) < n - 10 for n in (10, 30, 50, 70)])
    others, predicted = np.where(wrong, "b", "a"), np.where(fewer, "b", "a")
    gain = accuracy_gain(predicted, others, labels, index)
    assert (gain.value, gain.low, gain.high) == pytest.approx((0.1, 0.1, 0.1))
    assert accuracy_gain(others, predicted, labels, index).value == pytest.approx(-0.1)


def test_code_table():
    codes = np.array([2, 2, 2, 2, 0])
    labels = np.array(["a", "a", "a", "b", "sil"])
    assert code_table(codes, labels, 3) == [
        ["code", "count", "share", "phone", "phones"],
        ["2", "4", "0.8000", "a", "a 0.75; b 0.25"],
        ["0", "1", "0.2000", "sil", "sil 1.00"],
        ["1", "0", "0.0000", "-", "-"],
    ]


def test_class_accuracy_by_hand():
    labels = np.array(["aa", "aa", "iy", "t", "t", "sil"])
    predicted = np.array(["aa", "iy", "t", "d", "sil", "sil"])
    scores = score_map(predicted, np.array(["aa", "iy", "t"]), labels, 4)
    assert scores.accuracy == 2 / 6
    assert scores.class_accuracy == 4 / 6  # aa for iy and d for t are of the class
    assert scores.class_chance == 3 / 6  # vowels are the most frequent class of the mapping part


def test_phones_outside_of_arpabet_have_no_class_accuracy():
    labels = np.array(["2:", "9^", "t"])
    scores = score_map(labels, labels, labels, 4)
    assert scores.class_accuracy is None and scores.class_chance is None
    assert " - " in score_table({"codes": scores})
