"""From which recordings units are learned."""

import numpy as np

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
