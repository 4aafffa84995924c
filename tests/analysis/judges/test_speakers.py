"""Voices told apart by Resemblyzer."""

import numpy as np
import pytest

pytest.importorskip("resemblyzer")

from speechvq.analysis.judges.speakers import SpeakerSimilarity, nearest, similarity  # noqa: E402


@pytest.fixture(scope="module")
def speakers():
    return SpeakerSimilarity()


def test_one_speaker_is_more_alike_than_two(speakers, standin):
    known = {speaker: speakers.embed(standin(speaker, 0)[0]) for speaker in ("p225", "p226")}
    for speaker in known:
        second = speakers.embed(standin(speaker, 1)[0])
        assert np.linalg.norm(second) == pytest.approx(1, abs=1e-5)
        assert nearest(second, known) == speaker
    assert similarity(known["p225"], second) < similarity(known["p226"], second) - 0.1


def test_sounds_without_a_voice(speakers):
    assert not speakers.embed(np.zeros(16000)).any()
    hiss = np.random.default_rng(0).normal(0, 0.05, 16000)
    assert np.isfinite(speakers.embed(hiss)).all()
    assert np.isfinite(speakers.embed(hiss[:100])).all()
