"""CTC alignment of letters: boundaries by hand, torchaudio's alignment of known probabilities."""

import numpy as np
import pytest
import torch
from tiny_torchaudio import pipeline

from speechvq import audio
from speechvq.analysis.align import AlignmentError
from speechvq.analysis.ctc_align import LetterAligner, letter_times
from speechvq.cli import align as command
from speechvq.data.manifest import Phone, Utterance, read_manifest, write_manifest

LABELS = ("|", "E", "T", "A", "O", "N", "'")


def test_boundaries_within_and_between_words():
    frames = [(10, 12), (16, 17), (18, 20), (70, 71)]  # of 20 ms: "ab", a little later "c", "d"
    found = letter_times(["ab", "c", "d"], frames, 0.02, 2.0)
    expected = [
        (0.0, 0.1, "sil"),  # a reaches 0.1 s back from 0.2 s
        (0.1, 0.28, "a"),  # the middle of 0.24 and 0.32
        (0.28, 0.35, "b"),  # the middle of 0.34 and 0.36
        (0.35, 0.5, "c"),
        (0.5, 1.3, "sil"),
        (1.3, 1.52, "d"),
        (1.52, 2.0, "sil"),
    ]
    assert [phone.label for phone in found] == [label for _, _, label in expected]
    times = [(phone.start, phone.end) for phone in found]
    np.testing.assert_allclose(times, [(start, end) for start, end, _ in expected])


def test_a_long_sound_within_a_word_is_no_silence():
    found = letter_times(["ab"], [(0, 1), (99, 100)], 0.02, 1.995)
    assert found == (Phone(0.0, 1.0, "a"), Phone(1.0, 1.995, "b"))


@pytest.fixture
def aligner(monkeypatch, tmp_path):
    return LetterAligner("TINY", pipeline(monkeypatch, tmp_path, labels=LABELS)[0])


def test_words_and_letters(aligner):
    assert aligner.letters == {"e": 2, "t": 3, "a": 4, "o": 5, "n": 6, "'": 7}
    assert aligner.words("<noise> \u201cTo ' eat\u2019, no-one!") == ["to", "eat'", "no", "one"]
    assert aligner.unknown("to eat 9 exes") == ["9", "exes"]


def test_frames_are_those_of_the_likeliest_path(aligner):
    path = [0, 3, 3, 0, 5, 0, 1, 1, 0, 4, 0, 4, 6, 0]  # "to aan": blanks, a separator, a repeat
    likely = np.full((len(path), 8), -9.0, np.float32)
    likely[np.arange(len(path)), path] = -0.01
    assert aligner.frames(likely, ["to", "aan"]) == [(1, 3), (4, 5), (9, 10), (11, 12), (12, 13)]


def test_letters_cover_the_speech(aligner):
    waveform = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    found = aligner.align(waveform, "Not one, a note.")
    assert [phone.label for phone in found if phone.label != "sil"] == list("notoneanote")
    assert found[0].start == 0 and found[-1].end == 1.0
    for one, other in zip(found, found[1:], strict=False):
        assert one.start < one.end == other.start


@pytest.mark.parametrize(
    ("samples", "text", "complaint"),
    [
        (16000, "...", "no words"),
        (16000, "xyz", "the model lacks: xyz"),
        (0, "one", "no speech"),
        (1600, "not one note", "more letters than the speech has frames"),
    ],
)
def test_what_cannot_be_aligned(aligner, samples, text, complaint):
    with pytest.raises(AlignmentError, match=complaint):
        aligner.align(np.zeros(samples, np.float32), text)


def test_a_model_without_letters(monkeypatch, tmp_path):
    weights, _ = pipeline(monkeypatch, tmp_path)
    with pytest.raises(ValueError, match="TINY: has no letters"):
        LetterAligner("TINY", weights)


def test_the_command(monkeypatch, tmp_path, capsys):
    weights, _ = pipeline(monkeypatch, tmp_path, labels=LABELS)
    torch.manual_seed(0)
    audio.write(tmp_path / "a.wav", 0.1 * torch.randn(16000).numpy(), 16000)
    sound = str(tmp_path / "a.wav")
    utterances = [
        Utterance("a", "p225", sound, 1.0, text="An oat."),
        Utterance("b", "p225", sound, 1.0, text="Ten 9s"),
        Utterance("c", "p225", sound, 0.06, text="Not one note"),
    ]
    write_manifest(tmp_path / "m.jsonl", utterances)
    arguments = [str(tmp_path / "m.jsonl"), "--aligner", "ctc", "--ctc", "TINY"]
    arguments += ["--ctc-weights", str(weights)]
    assert command.main(arguments) == 0
    out, err = capsys.readouterr()
    assert "1 utterances aligned" in out and "2 skipped" in out
    assert "letters of the text, not phones" in err
    assert "1 utterances skipped for words with letters that the model lacks: 9s" in err
    found = [u.phones for u in read_manifest(tmp_path / "m.jsonl")]
    assert {phone.label for phone in found[0]} - {"sil"} == set("anot")
    assert found[1:] == [None, None]
    with_phones = Utterance("d", "p225", sound, 1.0, phones=(Phone(0, 1, "ah"),))
    write_manifest(tmp_path / "m.jsonl", [*utterances, with_phones])
    assert command.main(arguments) == 2
    assert "labels that are no letters of TINY, such as 'ah'" in capsys.readouterr().err
