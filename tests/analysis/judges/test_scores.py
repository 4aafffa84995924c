"""Scores of made-up verdicts, whose answers are known."""

import math

import numpy as np
import pytest

from speechvq.analysis.judges import scores, table
from speechvq.analysis.judges.pitch import PitchOf
from speechvq.analysis.judges.scores import (
    CONVERSION,
    REAL_SOURCE,
    REAL_TARGET,
    RECONSTRUCTION,
    SOURCE,
    Misheard,
)
from speechvq.analysis.judges.speakers import nearest, similarity, voice
from speechvq.analysis.judges.trials import choose, pools
from speechvq.data.manifest import Utterance

SPEAKERS = ("a", "b", "c")
UTTERANCES = [
    Utterance(f"{speaker}{i}", speaker, "x.wav", 1.0, text=f"{speaker} {i}")
    for speaker in SPEAKERS
    for i in range(4)
]
TRIALS = choose(UTTERANCES, SPEAKERS, 12)
POOLS = pools(UTTERANCES, SPEAKERS)
AXES = dict(zip(SPEAKERS, np.eye(3), strict=True))
REAL = {u.id: AXES[u.speaker] for u in UTTERANCES}


def test_a_perfect_conversion():
    found = scores.voices(TRIALS, [AXES[trial.target] for trial in TRIALS], REAL, POOLS)
    assert found[CONVERSION]["named target"].value == 1
    assert found[CONVERSION]["to target"].value == pytest.approx(1)
    assert found[CONVERSION]["to source"].value == pytest.approx(0)
    assert found[REAL_TARGET]["to target"].value == pytest.approx(1)
    assert found[REAL_TARGET]["named target"].value == 1
    assert "to source" not in found[REAL_TARGET]
    assert found[REAL_SOURCE]["to target"].value == pytest.approx(0)
    assert found[REAL_SOURCE]["to source"].value == pytest.approx(1)
    assert found[REAL_SOURCE]["named target"].value == 0
    assert found[CONVERSION]["to target"].utterances == 12


def test_a_conversion_that_keeps_the_voice():
    kept = [AXES[trial.utterance.speaker] for trial in TRIALS]
    found = scores.voices(TRIALS, kept, REAL, POOLS)
    assert found[CONVERSION] == found[REAL_SOURCE]
    assert found[CONVERSION]["named target"].value == 0


def test_a_third_of_the_conversions():
    made = [AXES[trial.target if i % 3 == 0 else trial.utterance.speaker]
            for i, trial in enumerate(TRIALS)]  # fmt: skip
    named = scores.voices(TRIALS, made, REAL, POOLS)[CONVERSION]["named target"]
    assert named.value == pytest.approx(1 / 3)
    assert 0 <= named.low < 1 / 3 < named.high <= 1


def test_real_speech_is_not_compared_with_itself():
    """Embeddings that share nothing: whoever is compared with itself looks alike."""
    lonely = {u.id: row for u, row in zip(UTTERANCES, np.eye(len(UTTERANCES)), strict=True)}
    found = scores.voices(TRIALS, [lonely[t.utterance.id] for t in TRIALS], lonely, POOLS)
    assert found[REAL_TARGET]["to target"].value == 0
    assert found[REAL_SOURCE]["to source"].value == 0
    assert found[CONVERSION]["to source"].value == 0


def test_voices_are_compared_by_their_direction():
    one = voice([np.array([1.0, 0.0]), np.array([0.0, 1.0])])
    assert similarity(one, one) == pytest.approx(1)
    assert similarity(one, np.array([1.0, 0.0])) == pytest.approx(math.sqrt(0.5))
    assert nearest(np.array([0.1, 0.9]), {"x": np.array([1, 0]), "y": np.array([0, 1])}) == "y"
    assert not voice([np.zeros(2)]).any()


def test_error_rates_are_of_all_words_and_ratios_of_shared_utterances():
    found = scores.error_rates(
        {
            SOURCE: [Misheard("u", 1, 10), Misheard("v", 1, 2), Misheard("w", 4, 4)],
            RECONSTRUCTION: [Misheard("u", 2, 10)],
            CONVERSION: [Misheard("u", 3, 10), Misheard("u", 5, 10), Misheard("v", 1, 2)],
        }
    )
    assert found[SOURCE]["errors"].value == pytest.approx(6 / 16)
    assert "ratio" not in found[SOURCE]
    assert found[RECONSTRUCTION]["errors"].value == pytest.approx(0.2)
    assert found[RECONSTRUCTION]["ratio"].value == pytest.approx(2)
    assert found[CONVERSION]["errors"].value == pytest.approx(9 / 22)
    assert found[CONVERSION]["ratio"].value == pytest.approx(9 / 3)  # u counts twice for both
    assert found[CONVERSION]["errors"].utterances == 2


def test_a_faultless_source_has_no_ratio():
    entries = [Misheard("u", 0, 5), Misheard("v", 0, 5)]
    found = scores.error_rates({SOURCE: entries, RECONSTRUCTION: [], CONVERSION: entries})
    assert found[CONVERSION]["errors"].value == 0
    assert math.isnan(found[CONVERSION]["ratio"].value)
    assert RECONSTRUCTION not in found


def test_marks_are_means():
    found = scores.marks({SOURCE: [("u", {"overall": 3.0}), ("v", {"overall": 4.0})], "x": []})
    assert found == {SOURCE: {"overall": scores.mean(["u", "v"], [3.0, 4.0])}}
    assert found[SOURCE]["overall"].value == 3.5


def test_pitch_off_the_target():
    """Speech an octave below the target's is 12 semitones off; what has no pitch is left out."""
    hertz = {"a": 100.0, "b": 200.0, "c": 400.0}
    real = {u.id: PitchOf(hertz[u.speaker], 5.0, 0.7) for u in UTTERANCES}
    made = [PitchOf(hertz[trial.target] / 2, 6.0, 0.5) for trial in TRIALS]
    made[0] = PitchOf(math.nan, math.nan, 0.0)
    found, speakers = scores.pitches(TRIALS, made, real, POOLS)
    assert found[CONVERSION]["off"].value == pytest.approx(12)
    assert found[CONVERSION]["off"].utterances == 11
    assert found[CONVERSION]["voiced"].value == pytest.approx(0.5 * 11 / 12)
    assert found[REAL_TARGET]["off"].value == 0
    assert found[REAL_SOURCE]["off"].value > 11
    assert set(speakers) == set(SPEAKERS)
    assert speakers["b"][REAL_TARGET]["median"].value == 200
    assert speakers["b"][CONVERSION]["median"].value == 100


def test_a_target_without_pitch():
    real = {u.id: PitchOf(math.nan, math.nan, 0.0) for u in UTTERANCES}
    found, _ = scores.pitches(TRIALS, [real["a0"]] * len(TRIALS), real, POOLS)
    assert set(found[CONVERSION]) == {"voiced"}


def test_tables():
    found = scores.voices(TRIALS, [AXES[trial.target] for trial in TRIALS], REAL, POOLS)
    lines = table.score_table("voices", found).splitlines()
    assert lines[0].endswith("  named target")
    assert [line[:11] for line in lines[1:]] == ["real target", "conversion ", "real source"]
    assert lines[2].endswith("100% (74% to 100%)")
    assert "  -  " in lines[1]
    assert len({len(line) for line in lines}) == 1
    faultless = scores.error_rates({SOURCE: [Misheard("u", 0, 5)], "x": [Misheard("u", 1, 5)]})
    rows = table.score_table("words", faultless).splitlines()
    assert rows[1].split() == ["source", "0%", "-"]
    assert rows[2].split() == ["x", "20%", "-"]


def test_every_table_shows_figures_that_exist():
    real = {u.id: PitchOf(100.0, 5.0, 0.7) for u in UTTERANCES}
    pitch, _ = scores.pitches(TRIALS, [real["a0"]] * 12, real, POOLS)
    assert set(table.COLUMNS["pitch"]) == set(pitch[CONVERSION])
    voices = scores.voices(TRIALS, [AXES["a"]] * 12, REAL, POOLS)
    assert set(table.COLUMNS["voices"]) == set(voices[CONVERSION])
