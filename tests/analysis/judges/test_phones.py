"""Phones heard by pocketsphinx."""

import numpy as np
import pytest

pytest.importorskip("pocketsphinx")
pytest.importorskip("rapidfuzz")

from speechvq.analysis.judges.edits import edits  # noqa: E402
from speechvq.analysis.judges.phones import Phones, said  # noqa: E402
from speechvq.data.labels import read_phones  # noqa: E402
from speechvq.data.manifest import Phone  # noqa: E402


@pytest.fixture(scope="module")
def phones():
    return Phones()


@pytest.mark.parametrize("speaker", ["p225", "p226"])
def test_hears_most_phones(phones, standin, speaker):
    waveform, _, labels = standin(speaker, 0)
    expected, heard = said(read_phones(labels)), phones.hear(waveform)
    assert edits(expected, heard) < 0.6 * len(expected)
    assert edits(expected, heard[::-1]) > 0.6 * len(expected)  # any phones will not do
    assert phones.hear(waveform) == heard


def test_symbols_are_those_that_can_be_heard(phones, standin):
    _, _, labels = standin("p225", 0)
    assert all(
        symbol.isalpha() and symbol == symbol.lower() for symbol in said(read_phones(labels))
    )
    known = [
        Phone(i, i + 1.0, label) for i, label in enumerate(["AX", "sil", "EL", "DX", "tcl", "AA1"])
    ]
    assert said(known) == ["ah", "ah", "l", "t", "aa"]


def test_what_was_heard_before_does_not_count(phones, standin):
    waveforms = [standin(speaker, number)[0] for speaker in ("p225", "p232") for number in range(3)]
    heard = [phones.hear(waveform) for waveform in waveforms]
    assert [phones.hear(waveform) for waveform in waveforms[::-1]] == heard[::-1]


def test_silence_and_next_to_nothing(phones):
    assert phones.hear(np.zeros(16000)) == []
    assert isinstance(phones.hear(np.zeros(0)), list)
