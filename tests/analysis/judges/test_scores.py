"""Scores of made-up speech, whose answers are known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from speechvq.analysis.judges import scores, table
from speechvq.analysis.judges.judge import (
    CONVERSION,
    REAL_SOURCE,
    REAL_TARGET,
    RECONSTRUCTION,
    SOURCE,
    Errors,
    Judge,
    Recordings,
    Score,
    Speech,
)
from speechvq.analysis.judges.pitch import Pitch, PitchOf
from speechvq.analysis.judges.scores import judge_speech, summarise
from speechvq.analysis.judges.speakers import SpeakerSimilarity, nearest, similarity, voice
from speechvq.analysis.judges.trials import choose, pools
from speechvq.analysis.judges.words import WordErrorRate
from speechvq.data.manifest import Utterance

SPEAKERS = ("a", "b", "c")
UTTERANCES = [
    Utterance(f"{speaker}{i}", speaker, f"{speaker}{i}.wav", 1.0, text=f"{speaker} {i}")
    for speaker in SPEAKERS
    for i in range(4)
]
TRIALS = choose(UTTERANCES, SPEAKERS, 12)
POOLS = pools(UTTERANCES, SPEAKERS)
AXES = dict(zip(SPEAKERS, np.eye(3), strict=True))
REAL = {u.id: AXES[u.speaker] for u in UTTERANCES}


def judged(kind, method, converted, real):
    """What a judge says of TRIALS, its measure of each conversion and each recording given.

    The index of a measure takes the place of a waveform.
    """
    measures = [*converted, *real.values()]
    place = {u: len(converted) + i for i, u in enumerate(real)}

    class Told(kind):
        name = "told"

        def __init__(self):
            pass

    setattr(Told, method, lambda self, waveform: measures[int(waveform[0])])
    recordings = Recordings(POOLS, SPEAKERS, lambda u: np.array([place[u.id]]))
    speech = [
        Speech(REAL_TARGET, u, recordings, target)
        for target in sorted({trial.target for trial in TRIALS})
        for u in POOLS[target]
    ]
    for i, trial in enumerate(TRIALS):
        u, target = trial.utterance, trial.target
        speech.append(Speech(CONVERSION, u, recordings, target, u.speaker, np.array([i])))
        speech.append(Speech(REAL_SOURCE, u, recordings, target, u.speaker))
    return judge_speech(Told(), speech)


def voices(converted, real=REAL):
    return judged(SpeakerSimilarity, "embed", converted, real).scores


def test_a_perfect_conversion():
    found = voices([AXES[trial.target] for trial in TRIALS])
    assert found[CONVERSION]["identification accuracy"].value == 1
    assert found[CONVERSION]["similarity to target"].value == pytest.approx(1)
    assert found[CONVERSION]["similarity to source"].value == pytest.approx(0)
    assert found[REAL_TARGET]["similarity to target"].value == pytest.approx(1)
    assert found[REAL_TARGET]["identification accuracy"].value == 1
    assert "similarity to source" not in found[REAL_TARGET]
    assert found[REAL_SOURCE]["similarity to target"].value == pytest.approx(0)
    assert found[REAL_SOURCE]["similarity to source"].value == pytest.approx(1)
    assert found[REAL_SOURCE]["identification accuracy"].value == 0
    assert found[CONVERSION]["similarity to target"].utterances == 12


def test_a_conversion_that_keeps_the_voice():
    found = voices([AXES[trial.utterance.speaker] for trial in TRIALS])
    assert found[CONVERSION] == found[REAL_SOURCE]
    assert found[CONVERSION]["identification accuracy"].value == 0


def test_a_third_of_the_conversions():
    made = [AXES[trial.target if i % 3 == 0 else trial.utterance.speaker]
            for i, trial in enumerate(TRIALS)]  # fmt: skip
    accuracy = voices(made)[CONVERSION]["identification accuracy"]
    assert accuracy.value == pytest.approx(1 / 3)
    assert 0 <= accuracy.low < 1 / 3 < accuracy.high <= 1


def test_recordings_are_not_compared_with_themselves():
    """Embeddings that share nothing: a recording is similar to itself only."""
    lonely = {u.id: row for u, row in zip(UTTERANCES, np.eye(len(UTTERANCES)), strict=True)}
    found = voices([lonely[t.utterance.id] for t in TRIALS], lonely)
    assert found[REAL_TARGET]["similarity to target"].value == 0
    assert found[REAL_SOURCE]["similarity to source"].value == 0
    assert found[CONVERSION]["similarity to source"].value == 0


def test_recordings_are_measured_once():
    calls = []
    recordings = Recordings(POOLS, SPEAKERS, lambda u: calls.append(u.id) or np.zeros(1))
    speech = Speech(REAL_SOURCE, UTTERANCES[0], recordings)
    assert speech.measured(len) == speech.measured(len) == 1
    assert calls == [UTTERANCES[0].id]
    speech.measured(np.sum)  # another measure
    assert len(calls) == 2


def test_a_recording_is_not_one_of_the_same_id_in_another_manifest():
    there = replace(UTTERANCES[0], path="elsewhere.wav")
    heard = {UTTERANCES[0].path: 1, there.path: 2}
    recordings = Recordings(POOLS, SPEAKERS, lambda u: np.zeros(heard[u.path]))
    assert [recordings.measured(len, u) for u in (UTTERANCES[0], there)] == [1, 2]


def test_voices_are_compared_by_their_direction():
    one = voice([np.array([1.0, 0.0]), np.array([0.0, 1.0])])
    assert similarity(one, one) == pytest.approx(1)
    assert similarity(one, np.array([1.0, 0.0])) == pytest.approx(math.sqrt(0.5))
    assert nearest(np.array([0.1, 0.9]), {"x": np.array([1, 0]), "y": np.array([0, 1])}) == "y"
    assert not voice([np.zeros(2)]).any()


def errors(*entries):
    return [(utterance, Score({"WER": Errors(n, length)})) for utterance, n, length in entries]


def test_error_rates_are_of_all_words_and_ratios_of_shared_utterances():
    found = summarise(
        {
            SOURCE: errors(("u", 1, 10), ("v", 1, 2), ("w", 4, 4)),
            RECONSTRUCTION: errors(("u", 2, 10)),
            CONVERSION: errors(("u", 3, 10), ("u", 5, 10), ("v", 1, 2)),
        }
    )
    assert found[SOURCE]["WER"].value == pytest.approx(6 / 16)
    assert "WER / source" not in found[SOURCE]
    assert found[RECONSTRUCTION]["WER"].value == pytest.approx(0.2)
    assert found[RECONSTRUCTION]["WER / source"].value == pytest.approx(2)
    assert found[CONVERSION]["WER"].value == pytest.approx(9 / 22)
    assert found[CONVERSION]["WER / source"].value == pytest.approx(9 / 3)  # u counts twice
    assert found[CONVERSION]["WER"].utterances == 2


def test_a_faultless_source_has_no_ratio():
    entries = errors(("u", 0, 5), ("v", 0, 5))
    found = summarise({SOURCE: entries, RECONSTRUCTION: [], CONVERSION: entries})
    assert found[CONVERSION]["WER"].value == 0
    assert math.isnan(found[CONVERSION]["WER / source"].value)
    assert RECONSTRUCTION not in found


def test_floats_are_averaged():
    entries = [("u", Score({"overall": 3.0})), ("v", Score({"overall": 4.0}))]
    found = summarise({SOURCE: entries, "x": []})
    assert found == {SOURCE: {"overall": scores.mean(["u", "v"], [3.0, 4.0])}}
    assert found[SOURCE]["overall"].value == 3.5


def pitch_of(median, voiced, hertz=np.zeros(0)):  # noqa: B008
    return PitchOf(median, 5.0 if voiced else math.nan, voiced, hertz)


def test_pitch_off_the_target():
    """Speech an octave below the target's is 12 semitones off; what has no pitch is left out."""
    hertz = {"a": 100.0, "b": 200.0, "c": 400.0}
    real = {u.id: pitch_of(hertz[u.speaker], 0.7) for u in UTTERANCES}
    made = [pitch_of(hertz[trial.target] / 2, 0.5) for trial in TRIALS]
    made[0] = pitch_of(math.nan, 0.0)
    result = judged(Pitch, "measure", made, real)
    found, targets = result.scores, result.by_target
    assert found[CONVERSION]["semitones off target"].value == pytest.approx(12)
    assert found[CONVERSION]["semitones off target"].utterances == 11
    assert found[CONVERSION]["voiced share"].value == pytest.approx(0.5 * 11 / 12)
    assert found[REAL_TARGET]["semitones off target"].value == 0
    assert found[REAL_SOURCE]["semitones off target"].value > 11
    assert set(targets) == set(SPEAKERS)
    assert targets["b"][REAL_TARGET]["median Hz"].value == 200
    assert targets["b"][CONVERSION]["median Hz"].value == 100


def test_a_target_without_pitch():
    real = {u.id: pitch_of(math.nan, 0.0) for u in UTTERANCES}
    found = judged(Pitch, "measure", [real["a0"]] * len(TRIALS), real).scores
    assert set(found[CONVERSION]) == {"voiced share", "more voiced"}


def test_the_melody_of_the_source():
    """A conversion that follows the source's pitch, one that mirrors it, and one without any."""
    melody = np.array([0.0, 100, 110, 120, 0, 130])
    real = {u.id: pitch_of(110.0, 0.7, melody) for u in UTTERANCES}
    mirrored = np.array([90.0, 1 / 100, 1 / 110, 1 / 120, 80, 1 / 130, 70])  # longer by a frame
    made = [pitch_of(220.0, 0.8, 2 * melody)] * 8 + [pitch_of(220.0, 0.5, mirrored)] * 3
    made.append(pitch_of(math.nan, 0.0))
    found = judged(Pitch, "measure", made, real).scores
    melodies = found[CONVERSION]["correlation"]
    assert melodies.value == pytest.approx((8 - 3) / 11)
    assert melodies.utterances == 11
    assert found[CONVERSION]["more voiced"].value == pytest.approx((0.8 - 0.6 - 0.7) / 12)
    assert "correlation" not in found[REAL_SOURCE]


def test_a_source_with_one_recording():
    """It can be named, but not be compared with itself."""
    lone = Utterance("d0", "d", "d0.wav", 1.0)
    recordings = Recordings({**POOLS, "d": [lone]}, SPEAKERS, lambda u: np.array([u.speaker]))
    axes = dict(zip("abcd", np.eye(4), strict=True))

    class Told(SpeakerSimilarity):
        name = "told"

        def __init__(self):
            pass

        def embed(self, waveform):
            return axes[waveform[0]]

    speech = [
        Speech(CONVERSION, lone, recordings, "a", "d", np.array(["a"])),
        Speech(CONVERSION, lone, recordings, "b", "d", np.array(["d"])),
        Speech(REAL_SOURCE, lone, recordings, "a", "d"),
    ]
    found = judge_speech(Told(), speech).scores
    assert found[CONVERSION]["identification accuracy"].value == 0.5
    assert found[CONVERSION]["similarity to source"].value == 0.5
    assert set(found[REAL_SOURCE]) == {"similarity to target", "identification accuracy"}


def test_words_of_a_recording_without_text():
    """The reference is what is heard of it, and then it has no errors of its own."""

    class Told(WordErrorRate):
        name = "told"

        def __init__(self):
            pass

        def words(self, text):
            return text.split()

        def transcribe(self, waveform):
            return str(waveform[0]).split()

    silent = Utterance("d0", "d", "d0.wav", 1.0)
    heard = {"d0": "one two", "a0": "a 1"}
    recordings = Recordings(POOLS, SPEAKERS, lambda u: np.array([heard[u.id]]))
    speech = [
        Speech(kind, u, recordings, "b", u.speaker, made)
        for u in (silent, UTTERANCES[0])  # the text of the latter is: a 0
        for kind, made in ((SOURCE, None), (CONVERSION, np.array(["one 0"])))
    ]
    result = judge_speech(Told(), speech)
    assert (result.scores[SOURCE]["WER"].value, result.scores[SOURCE]["WER"].utterances) == (0.5, 1)
    assert [score.numbers.get("WER") for score in result.each] == [None, (1, 2), (1, 2), (1, 2)]


def test_groups_have_scores_of_their_own():
    class Kind(Judge):
        title, name, formats = "kind", "mine 1.0", {"same": ".0%"}

        def score(self, speech):
            return Score({"same": speech.group == speech.source})

    recordings = Recordings(POOLS, SPEAKERS, lambda u: np.zeros(1))
    speech = [
        Speech(CONVERSION, u, recordings, "b", u.speaker, np.zeros(1), group)
        for u, group in zip(UTTERANCES[:4], "aaac", strict=True)
    ]
    result = judge_speech(Kind(), speech)
    assert result.scores[CONVERSION]["same"].value == 0.75
    shares = {g: found[CONVERSION]["same"].value for g, found in result.by_group.items()}
    assert shares == {"a": 1, "c": 0}


def test_tables():
    found = voices([AXES[trial.target] for trial in TRIALS])
    lines = table.score_table(SpeakerSimilarity.formats, found).splitlines()
    assert lines[0].endswith("  identification accuracy")
    assert [line[:11] for line in lines[1:]] == ["real target", "conversion ", "real source"]
    assert lines[2].endswith("100% (74% to 100%)")
    assert "  -  " in lines[1]
    assert len({len(line) for line in lines}) == 1
    faultless = summarise({SOURCE: errors(("u", 0, 5)), "x": errors(("u", 1, 5))})
    rows = table.score_table({"WER": ".0%", "WER / source": ".2f"}, faultless).splitlines()
    assert rows[1].split() == ["source", "0%", "-"]
    assert rows[2].split() == ["x", "20%", "-"]


def test_every_table_shows_numbers_that_exist():
    real = {u.id: pitch_of(100.0, 0.7, np.array([90.0, 110.0])) for u in UTTERANCES}
    pitch = judged(Pitch, "measure", [real["a0"]] * 12, real).scores
    assert set(Pitch.formats) == set(pitch[CONVERSION])
    assert set(SpeakerSimilarity.formats) == set(voices([AXES["a"]] * 12)[CONVERSION])


def test_a_judge_from_outside():
    """One class with one method is all that a judge needs."""

    class Duration(Judge):
        title, name, formats = "duration", "mine 1.0", {"seconds": ".1f"}

        def score(self, speech):
            return Score({"seconds": speech.measured(len) / 16000})

    recordings = Recordings(POOLS, SPEAKERS, lambda u: np.zeros(8000))
    speech = [Speech(SOURCE, u, recordings) for u in UTTERANCES]
    assert judge_speech(Duration(), speech).scores[SOURCE]["seconds"].value == 0.5
