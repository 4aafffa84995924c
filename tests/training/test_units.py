"""From which recordings units are learned."""

import numpy as np

from speechvq.data.manifest import read_manifest
from speechvq.data.segments import Waveforms
from speechvq.models.sounds import Sounds
from speechvq.training import units


def test_every_speaker_is_among_those_that_units_are_learned_from(monkeypatch):
    """Corpora are listed speaker by speaker: the first hour may be one man's."""
    monkeypatch.setattr(units, "LONGEST", 30.0)
    said_by = [0] * 20 + [1] * 20 + [2]
    chosen = units._enough(said_by, np.full(41, 3.0))
    spoken = [said_by[i] for i in chosen]
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 10
    assert [spoken.count(s) for s in range(3)] == [5, 4, 1]


def test_little_speech_is_taken_whole(monkeypatch):
    assert units._enough([0, 1, 1], np.full(3, 3.0)) == [0, 1, 2]
    monkeypatch.setattr(units, "LONGEST", 1.0)  # one of each, even so
    assert units._enough([0, 1, 1], np.full(3, 3.0)) == [0, 1]


def test_features_are_moved_sound_by_sound(tiny_corpus, monkeypatch):
    train = Waveforms(read_manifest(tiny_corpus.train), 8000)
    fitted = []
    monkeypatch.setattr(Sounds, "fit", lambda self, alike, seed: fitted.extend(alike))
    monkeypatch.setattr(Sounds, "forward", lambda self, x, speaker: 0 * x + speaker[:, None, None])
    features = units._features([train], ["p225", "p226"], seed=0)
    assert [x.shape[1] for x in fitted] == [units.CEPSTRA] * 2
    for utterance, x in zip(train.utterances, features, strict=True):
        values, slopes = x.split(units.CEPSTRA, dim=1)
        assert (values == ["p225", "p226"].index(utterance.speaker)).all()
        assert slopes.abs().max() < 1e-6
