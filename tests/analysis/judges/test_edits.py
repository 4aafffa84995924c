"""Edit distance, against the textbook's table."""

import pytest

pytest.importorskip("rapidfuzz")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from speechvq.analysis.judges.edits import count_errors  # noqa: E402

words = st.lists(st.sampled_from(["a", "b", "ab"]), max_size=7)


def naive(reference, recognised):
    row = list(range(len(recognised) + 1))
    for i, one in enumerate(reference):
        above, row = row, [i + 1]
        for j, other in enumerate(recognised):
            row.append(min(above[j] + (one != other), above[j + 1] + 1, row[j] + 1))
    return row[-1]


@given(words, words)
def test_against_the_table(reference, recognised):
    assert count_errors(reference, recognised) == naive(reference, recognised)


def test_words_are_whole():
    assert count_errors(["cat"], ["cart"]) == 1
    assert count_errors(["the", "cat"], ["thecat"]) == 2
    assert count_errors([], ["so", "what"]) == 2
