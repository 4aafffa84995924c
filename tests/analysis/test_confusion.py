import numpy as np

from speechvq.analysis.confusion import confusion_matrix
from speechvq.analysis.phone_classes import CLASSES, class_of, in_order


def test_rows_are_true_phones():
    true = np.array(["t", "t", "t", "t", "sil", "aa"])
    said = np.array(["t", "t", "t", "aa", "t", "s"])
    shares, phones = confusion_matrix(true, said)
    assert phones == ["aa", "t", "s", "sil"]
    assert shares.tolist() == [[0, 0, 1, 0], [0.25, 0.75, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


def test_phones_are_ordered_by_class():
    assert in_order(["sil", "t", "xx", "b", "aa", "iy", "b", "a5"]) == [
        "iy", "aa", "b", "t", "sil", "a5", "xx",
    ]  # fmt: skip
    assert [class_of(phone) for phone in ("aa", "hh", "ch", "sil", "a5")] == [
        "vowels", "approximants", "fricatives", "silence", "other",
    ]  # fmt: skip
    everything = sum(CLASSES.values(), [])
    assert len(everything) == len(set(everything))
