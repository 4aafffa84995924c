"""Codes for other programs: hand-written results, round trips, product codes."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechvq.codes import Codebook
from speechvq.data.interchange import npz, run_starts, tiers, units_line
from speechvq.data.manifest import Phone
from speechvq.data.textgrid import Tier, read_textgrid, textgrid

PLAIN = Codebook(codebook_size=10, hop_length=160, sample_rate=16000, model="m")
PRODUCT = Codebook(codebook_size=10, hop_length=160, sample_rate=16000, model="m", codebooks=2)
PAIRS = np.array([[1, 2], [1, 2], [1, 3], [1, 2]])


def test_runs():
    assert run_starts(np.array([4, 4, 4, 1, 4])).tolist() == [0, 3, 4]
    assert run_starts(np.array([7])).tolist() == [0]
    assert run_starts(PAIRS).tolist() == [0, 2, 3]


def test_units():
    codes = np.array([4, 4, 1, 4])
    assert units_line("a", codes, PLAIN) == "a|4 4 1 4\n"
    assert units_line("a", codes, PLAIN, merge_runs=True) == "a|4 1 4\n"
    assert units_line("a", PAIRS, PRODUCT) == "a|1 12 1 12 1 13 1 12\n"
    assert units_line("a", PAIRS, PRODUCT, merge_runs=True) == "a|1 12 1 13 1 12\n"


def test_the_tiers_of_product_codes():
    first, second, phones = tiers(PAIRS, PRODUCT, 0.035, [Phone(0.0, 0.02, "AH")])
    assert first == Tier("codes 1", True, [(0.0, 0.035, "1")])
    assert second == Tier(
        "codes 2", True, [(0.0, 0.02, "2"), (0.02, 0.03, "3"), (0.03, 0.035, "2")]
    )
    assert phones == Tier("phones", True, [(0.0, 0.02, "AH")])


def test_the_text_of_a_textgrid():
    text = textgrid([Tier("codes", True, [(0.0, 0.5, 'a "b"')])], 0.75)
    assert text == (
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 0.75\n'
        "tiers? <exists>\nsize = 1\nitem []:\n    item [1]:\n"
        '        class = "IntervalTier"\n        name = "codes"\n'
        "        xmin = 0\n        xmax = 0.75\n        intervals: size = 2\n"
        "        intervals [1]:\n            xmin = 0.0\n            xmax = 0.5\n"
        '            text = "a ""b"""\n'
        "        intervals [2]:\n            xmin = 0.5\n            xmax = 0.75\n"
        '            text = ""\n'
    )


LABELS = st.text(st.characters(codec="utf-8", exclude_characters="\r")).map(str.strip)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 2), LABELS), max_size=8),
    st.floats(0.01, 3),
)
def test_a_textgrid_has_no_gaps_and_reads_back(tmp_path_factory, marks, end):
    times = sorted({time for time, _ in marks})
    pairs = zip(times, times[1:], strict=False)
    given = [(*pair, label) for pair, (_, label) in zip(pairs, marks, strict=False)]
    path = tmp_path_factory.mktemp("grid") / "a.TextGrid"
    path.write_bytes(textgrid([Tier("x", True, given)], end).encode())
    (tier,) = read_textgrid(path)
    edges = [0.0, *(stop for _, stop, _ in tier.intervals)]
    assert [start for start, _, _ in tier.intervals] == edges[:-1]
    assert edges[-1] == end and edges == sorted(set(edges))
    for start, stop, label in given:
        if stop <= end:
            assert (start, stop, label) in tier.intervals


def test_npz_of_product_codes(tmp_path):
    (tmp_path / "c.npz").write_bytes(npz(PRODUCT, [("a", PAIRS), ("b", PAIRS[:1])]))
    with np.load(tmp_path / "c.npz", allow_pickle=False) as found:
        assert set(found) == {"ids", "lengths", "codes", "meta"}
        assert found["codes"].tolist() == [*PAIRS.tolist(), [1, 2]]
        assert found["lengths"].tolist() == [4, 1]
        assert json.loads(str(found["meta"]))["codebooks"] == 2


@pytest.mark.parametrize("duration", [0.04, 0.0351])
def test_the_last_code_ends_with_the_speech(duration):
    (tier,) = tiers(np.array([1, 1, 2, 2]), PLAIN, duration)
    assert tier.intervals == [(0.0, 0.02, "1"), (0.02, duration, "2")]
