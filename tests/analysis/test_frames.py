import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechvq.analysis.frames import frame_labels, normalise
from speechvq.data.labels import SILENCE
from speechvq.data.manifest import Phone


def test_the_phone_at_the_centre():
    phones = (Phone(0.05, 0.1, "a"), Phone(0.1, 0.14, "b"), Phone(0.2, 0.25, "c"))
    # Centres at 0.02, 0.06, 0.1, 0.14, 0.18, 0.22, 0.26: before, in a, the boundary a-b, the end
    # of b, the gap, in c, after.
    labels = frame_labels(phones, 7, 0.04)
    assert labels.tolist() == [SILENCE, "a", "b", SILENCE, SILENCE, "c", SILENCE]


@pytest.mark.parametrize("phones", [(), (Phone(5.0, 6.0, "aa"),)])
def test_frames_outside_every_phone_are_silence(phones):
    assert frame_labels(phones, 3, 0.04).tolist() == [SILENCE] * 3
    assert frame_labels(phones, 0, 0.04).shape == (0,)


def test_long_labels_are_not_cut_short():
    phones = (Phone(0.0, 1.0, "schwa-like"),)
    assert frame_labels(phones, 1, 0.5).tolist() == ["schwa-like"]


@given(
    gaps=st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), max_size=8),
    n_frames=st.integers(0, 30),
)
def test_equals_a_naive_search(gaps, n_frames):
    phones, now = [], 0
    for number, (gap, length) in enumerate(gaps):
        phones.append(Phone(float(now + gap), float(now + gap + length), f"p{number}"))
        now += gap + length

    def naive(centre):
        inside = [phone.label for phone in phones if phone.start <= centre < phone.end]
        return inside[0] if inside else SILENCE

    # A frame of two seconds is centred on whole seconds, where the boundaries are.
    expected = [naive(2 * frame + 1) for frame in range(n_frames)]
    assert np.array_equal(frame_labels(phones, n_frames, 2.0), expected)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("AA1", "aa"),
        ("ah0", "ah"),
        ("HH", "hh"),
        ("sil", "sil"),
        ("a5", "a5"),
        ("AA3", "aa3"),
        ("TS2", "ts2"),
        ("AXR0", "axr"),
    ],
)
def test_normalise(label, expected):
    phone = Phone(0.0, 1.0, label)
    assert normalise([phone]) == (Phone(0.0, 1.0, expected),)
