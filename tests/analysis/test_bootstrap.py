"""Figures over utterances and their intervals."""

import math

import numpy as np
import pytest

from speechvq.analysis.bootstrap import bounded, estimate, ratio


def test_a_ratio_is_of_sums_and_its_interval_holds_it():
    found = ratio([1, 0, 3, 0], [10, 2, 10, 2])
    assert found.value == pytest.approx(4 / 24)  # not the mean of the ratios, 0.1
    assert found.low < found.value < found.high
    assert found.utterances == 4


def test_what_does_not_vary_has_no_width():
    found = ratio([2, 4, 6], [4, 8, 12])
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)


def test_the_interval_is_as_wide_as_theory_says():
    values = np.random.default_rng(1).normal(5, 2, 400)
    found = ratio(values, np.ones(400))
    width = 2 * 1.96 * values.std() / math.sqrt(400)
    assert found.high - found.low == pytest.approx(width, rel=0.1)


def test_it_draws_utterances_not_their_parts():
    """Twice the same in every utterance is no more evidence than once."""
    once, twice = ratio([0, 1, 1, 0, 1], [1] * 5), ratio([0, 2, 2, 0, 2], [2] * 5)
    assert (once.low, once.high) == (twice.low, twice.high)


def test_columns_are_drawn_together():
    """Twice as many errors in every utterance are twice as many in every draw."""
    errors, words = np.array([1, 5, 0, 3, 2]), np.array([9, 8, 7, 9, 8])
    found = estimate(lambda a, b, c, d: (a / b) / (c / d), 2 * errors, words, errors, words)
    assert found.low == pytest.approx(2)
    assert found.high == pytest.approx(2)


def test_nothing_to_divide_by():
    assert math.isnan(ratio([1, 2], [0, 0]).value)
    sometimes = ratio([1, 2], [0, 1])  # a draw of the first alone is infinite
    assert sometimes.value == 3
    assert sometimes.high == math.inf


def test_one_utterance_has_no_interval():
    found = ratio([1], [2])
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_all_or_nothing_is_not_certain():
    """Of 96 in 96, the share is over 96.2 %: Clopper and Pearson's table."""
    found = bounded(ratio(np.ones(96), np.ones(96)))
    assert (found.low, found.high) == (pytest.approx(0.9623, abs=1e-4), 1.0)
    found = bounded(ratio(np.zeros(96), np.ones(96)))
    assert (found.low, found.high) == (0.0, pytest.approx(0.0377, abs=1e-4))
    some = ratio([1, 0, 1], [1, 1, 1])
    assert bounded(some) == some


@pytest.mark.parametrize("columns", [([], []), ([1, 2],)])
def test_what_cannot_be_estimated(columns):
    with pytest.raises((ValueError, TypeError)):
        ratio(*columns)
