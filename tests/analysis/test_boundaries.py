import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from speechvq.analysis.boundaries import (
    boundary_scores,
    changes,
    hits,
    inside,
    phone_boundaries,
    regular,
    segmentations,
)
from speechvq.data.manifest import Phone

PHONES = (Phone(0.0, 0.1, "sil"), Phone(0.1, 0.3, "aa"), Phone(0.35, 0.6, "t"))


def test_times_of_changes():
    assert changes(np.array([3, 3, 5, 5, 3]), 0.04) == pytest.approx([0.08, 0.16])
    both = np.array([[1, 1], [1, 2], [1, 2], [0, 2]])
    assert changes(both, 0.01) == pytest.approx([0.01, 0.03])
    assert len(changes(np.array([4]), 0.04)) == 0
    # A gap between phones is silence: both of its ends are boundaries
    assert phone_boundaries(PHONES) == pytest.approx([0, 0.1, 0.3, 0.35, 0.6])
    assert inside(phone_boundaries(PHONES), 0.6).tolist() == [0.1, 0.3, 0.35]
    assert regular(3, 0.8) == pytest.approx([0.2, 0.4, 0.6])


def test_scores_by_hand():
    true = [np.array([0.1, 0.2, 0.3, 0.4])]
    found = [np.array([0.11, 0.115, 0.22, 0.35, 0.5])]
    scores = boundary_scores(found, true)
    # 0.11 and 0.115 are both near 0.1, which counts once; 0.22 is just near enough to 0.2
    assert (scores.hits, scores.found, scores.true) == (2, 5, 4)
    assert scores.precision.value == pytest.approx(2 / 5)
    assert scores.recall.value == pytest.approx(1 / 2)
    assert scores.f.value == pytest.approx(2 * 0.4 * 0.5 / 0.9)
    assert scores.over_segmentation.value == pytest.approx(0.25)
    r1, r2 = np.sqrt(0.5**2 + 0.25**2), (-0.25 + 0.5 - 1) / np.sqrt(2)
    assert scores.r_value.value == pytest.approx(1 - (abs(r1) + abs(r2)) / 2)
    assert np.isnan(scores.r_value.low)  # a single utterance


def test_r_value_is_that_of_the_paper():
    """Its figures: 1 where all is right; a boundary everywhere has a low one in spite of recall."""
    true = [np.arange(1, 11) / 10]
    assert boundary_scores(true, true).r_value.value == pytest.approx(1)
    dense = boundary_scores([np.arange(1, 120) / 100], true)
    assert dense.recall.value == 1
    assert dense.over_segmentation.value == pytest.approx(10.9)
    assert dense.r_value.value == pytest.approx(1 - (10.9 + 10.9 / np.sqrt(2)) / 2)
    nothing = boundary_scores([np.zeros(0)], true)
    assert nothing.r_value.value == pytest.approx(1 - np.sqrt(2) / 2)
    assert np.isnan(nothing.precision.value)


times = st.lists(st.integers(0, 60), max_size=25).map(lambda t: np.sort(t) / 100)


@given(times, times)
def test_hits_are_the_largest_matching(found, true):
    near = np.abs(np.subtract.outer(found, true)) <= 0.02 + 1e-6
    largest = (maximum_bipartite_matching(csr_matrix(near)) >= 0).sum() if near.size else 0
    assert hits(found, true) == largest == hits(true, found)


def test_baselines_have_as_many_boundaries_and_are_reproducible():
    codes = [np.array([0, 0, 1, 1, 1, 2, 2]), np.array([0, 1, 2, 3, 4, 5, 6])]
    phones, seconds = [PHONES[:2], PHONES], [0.7, 0.7]
    rows = segmentations({"codes": codes, "still": [c * 0 for c in codes]}, phones, seconds, 0.1, 1)
    assert [rows[name].found for name in rows] == [8, 0, 8, 8]
    assert rows["codes"].true == 2 + 4  # the last phone of either ends before the utterance
    # Changes at 0.2 and 0.5; then at 0.1, …, 0.6, which hit 0.1, 0.3 and 0.6
    assert rows["codes"].hits == 0 + 3
    again = segmentations({"codes": codes}, phones, seconds, 0.1, 1)
    assert again["as many, at random places"] == rows["as many, at random places"]
    other = segmentations({"codes": codes}, phones, seconds, 0.1, 2)
    assert other["as many, at random places"] != rows["as many, at random places"]
