"""Phones recognised by pocketsphinx."""

import numpy as np
import pytest

pytest.importorskip("pocketsphinx")
pytest.importorskip("rapidfuzz")

from speechvq.analysis.judges.edits import count_errors  # noqa: E402
from speechvq.analysis.judges.phones import PhoneErrorRate, reference_phones  # noqa: E402
from speechvq.data.labels import read_labels  # noqa: E402
from speechvq.data.manifest import Phone  # noqa: E402


@pytest.fixture(scope="module")
def phones():
    return PhoneErrorRate()


@pytest.mark.parametrize("speaker", ["p225", "p226"])
def test_most_phones_are_recognised(phones, standin, speaker):
    waveform, _, labels = standin(speaker, 0)
    expected, recognised = reference_phones(read_labels(labels).phones), phones.transcribe(waveform)
    assert count_errors(expected, recognised) < 0.6 * len(expected)
    assert count_errors(expected, recognised[::-1]) > 0.6 * len(expected)  # any phones will not do
    assert phones.transcribe(waveform) == recognised


def test_reference_phones_are_symbols_of_the_recogniser(phones, standin):
    _, _, labels = standin("p225", 0)
    assert all(
        symbol.isalpha() and symbol == symbol.lower()
        for symbol in reference_phones(read_labels(labels).phones)
    )
    known = [
        Phone(i, i + 1.0, label) for i, label in enumerate(["AX", "sil", "EL", "DX", "tcl", "AA1"])
    ]
    assert reference_phones(known) == ["ah", "ah", "l", "t", "aa"]


def test_phones_do_not_depend_on_earlier_calls(phones, standin):
    waveforms = [standin(speaker, number)[0] for speaker in ("p225", "p232") for number in range(3)]
    recognised = [phones.transcribe(waveform) for waveform in waveforms]
    assert [phones.transcribe(waveform) for waveform in waveforms[::-1]] == recognised[::-1]


def test_silence_and_next_to_nothing(phones):
    assert phones.transcribe(np.zeros(16000)) == []
    assert isinstance(phones.transcribe(np.zeros(0)), list)
