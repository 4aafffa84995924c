import numpy as np
import pytest

from speechvq.analysis.confusion import confusion_matrix, phone_recalls
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


def test_recalls_by_hand():
    true = np.array(["t", "aa", "aa", "aa", "aa", "zz"])
    predicted = np.array(["t", "aa", "t", "t", "iy", "aa"])
    recalls = {r.phone: r for r in phone_recalls(true, predicted, np.array([0, 0, 0, 1, 1, 1]))}
    assert list(recalls) == ["aa", "t", "zz"]  # by class
    aa = recalls["aa"]
    assert (aa.frames, aa.recall.value, aa.recall.utterances) == (4, 0.25, 2)
    assert (aa.mistaken_for, aa.mistaken) == ("t", 0.5)
    assert (aa.recall.low, aa.recall.high) == (0, 0.5)  # either utterance alone
    assert recalls["t"].mistaken_for is None
    assert recalls["t"].recall.low == pytest.approx(0.025)  # one utterance: Clopper-Pearson
    assert (recalls["zz"].recall.value, recalls["zz"].mistaken_for) == (0, "aa")
