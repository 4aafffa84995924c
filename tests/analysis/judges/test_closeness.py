"""Judges that compare reconstructions with recordings."""

import math

import numpy as np
import pytest

from speechvq.analysis.judges.closeness import STOI, PitchError, SpectralDistance, ViSQOL
from speechvq.analysis.judges.judge import RECONSTRUCTION, Errors, Recordings, Speech
from speechvq.data.manifest import Utterance

NEEDED = {STOI: "pystoi", ViSQOL: "visqol", PitchError: "pyworld", SpectralDistance: "numpy"}
WORST_FIRST = {"STOI": True, "ESTOI": True, "ViSQOL": True, "LSD, dB": False, "MCD, dB": False}
"""Whether more noise makes the score smaller."""


def score(judge, recording, drawn):
    recordings = Recordings({}, (), lambda utterance: recording)
    utterance = Utterance("u1", "p225", "u1.wav", len(recording) / 16000)
    return judge.score(Speech(RECONSTRUCTION, utterance, recordings, synthesised=drawn)).numbers


@pytest.mark.parametrize("make", [SpectralDistance, STOI, ViSQOL])
def test_noise_is_heard(make, standin):
    pytest.importorskip(NEEDED[make])
    judge, recording = make(), standin("p225", 0)[0]
    noise = np.random.default_rng(0).normal(0, recording.std(), len(recording))
    drawn = [np.float32(recording + gain * noise) for gain in (0, 0.1, 1)]
    found = [score(judge, recording, x) for x in drawn]
    assert list(found[0]) == list(judge.formats)
    for name in judge.formats:
        values = [numbers[name] for numbers in found]
        assert values == sorted(values, reverse=WORST_FIRST[name])
        assert len(set(values)) == 3


def test_the_best_scores_are_of_the_same_speech(standin):
    pytest.importorskip("pystoi")
    pytest.importorskip("visqol")
    recording = standin("p226", 1)[0]
    assert score(STOI(), recording, recording)["STOI"] == pytest.approx(1)
    assert score(ViSQOL(), recording, recording)["ViSQOL"] == pytest.approx(5, abs=0.05)


def test_an_octave_is_a_gross_error(standin):
    pytest.importorskip("pyworld")
    judge = PitchError()
    phase = 2 * np.pi * 120 * np.arange(16000) / 16000
    low, high = (sum(np.sin(k * f * phase) for k in range(1, 8)) / 14 for f in (1, 2))
    same, octave = score(judge, low, low), score(judge, low, high)
    assert same["gross pitch errors"][0] == 0 and same["F0 RMSE, cents"] == 0
    assert same["voicing errors"] == Errors(0, same["voicing errors"].length)
    wrong, both = octave["gross pitch errors"]
    assert both > 100 and wrong > 0.95 * both


@pytest.mark.parametrize("make", [SpectralDistance, STOI, ViSQOL, PitchError])
@pytest.mark.parametrize("samples", [1, 800, 16000])
def test_short_and_silent_recordings_have_no_score_or_one(make, samples):
    pytest.importorskip(NEEDED[make])
    numbers = score(make(), np.zeros(samples, np.float32), np.zeros(samples + 3, np.float32))
    for number in numbers.values():
        assert isinstance(number, Errors) or math.isnan(number) or math.isfinite(number)


def test_only_the_common_part_is_compared(standin):
    recording = standin("p225", 0)[0]
    longer = np.concatenate([recording, np.ones(4000, np.float32)])
    assert score(SpectralDistance(), recording, longer) == {"LSD, dB": 0, "MCD, dB": 0}
