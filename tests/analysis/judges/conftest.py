"""Recordings of the stand-in corpus, as judges get them."""

from pathlib import Path

import pytest
import soundfile

from speechvq.analysis.judges.level import SAMPLE_RATE, normalised

STANDIN = Path(__file__).parents[3] / "recipes/vctk/standin"


@pytest.fixture(scope="session")
def standin():
    """Waveform, text and label file of a speaker's utterance number, 0 for the first."""

    def read(speaker, number):
        texts = sorted((STANDIN / "txt" / speaker).glob("*.txt"))
        if len(texts) <= number:
            pytest.skip("no stand-in corpus")
        name = texts[number].stem
        sound = STANDIN / "wav48_silence_trimmed" / speaker / f"{name}_mic1.flac"
        waveform, sample_rate = soundfile.read(sound, dtype="float32")
        assert sample_rate == SAMPLE_RATE
        return (
            normalised(waveform),
            texts[number].read_text(encoding="utf-8").strip(),
            STANDIN / "phones" / speaker / f"{name}.lab",
        )

    return read
