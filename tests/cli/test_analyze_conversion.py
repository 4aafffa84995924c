"""speechvq-analyze conversion, with judges that are made up, and the question's own mistakes."""

import json
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("rapidfuzz")

from speechvq import audio, model_folder  # noqa: E402
from speechvq.analysis.judges import (  # noqa: E402
    DNSMOS,
    PhoneErrorRate,
    Pitch,
    SpeakerSimilarity,
    WordErrorRate,
)
from speechvq.analysis.judges.level import SAMPLE_RATE  # noqa: E402
from speechvq.analysis.judges.missing import INSTALL  # noqa: E402
from speechvq.analysis.judges.pitch import PitchOf  # noqa: E402
from speechvq.cli import analyze  # noqa: E402
from speechvq.data.manifest import Phone, Utterance, read_manifest, write_manifest  # noqa: E402
from speechvq.evaluation import conversion as experiment  # noqa: E402
from speechvq.model import Model  # noqa: E402

HERTZ = {"p225": 200.0, "p226": 400.0}  # of the voices here
MODEL_RATE = 8000
PACKAGES = ("resemblyzer", "faster_whisper", "pocketsphinx", "speechmos", "pyworld")


def voice(speaker, seconds, sample_rate):
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return (0.3 * np.sin(2 * np.pi * HERTZ[speaker] * time)).astype(np.float32)


def frequency(waveform):
    """Hz of a tone, by its zero crossings."""
    return np.count_nonzero(np.diff(waveform > 0)) * SAMPLE_RATE / 2 / len(waveform)


class ToneJudge:
    """A judge that computes every score from the pitch of a tone."""

    name = "tones 1.0"

    def __init__(self, *_, **__):
        pass

    def embed(self, waveform):
        high = frequency(waveform) > 300
        return np.array([not high, high], dtype=float)

    def transcribe(self, waveform):
        return ["high" if frequency(waveform) > 300 else "low", "tone"]

    def words(self, text):
        return text.split()

    def rate(self, waveform):
        return dict.fromkeys(("overall", "speech", "background", "p808"), frequency(waveform) / 100)

    def measure(self, waveform):
        return PitchOf(frequency(waveform), 0.5, 1.0)


@pytest.fixture()
def tone_judges(monkeypatch):
    """The judges of the package, computing as `ToneJudge` does."""
    for judge, method in {
        SpeakerSimilarity: "embed", WordErrorRate: "transcribe", PhoneErrorRate: "transcribe",
        DNSMOS: "rate", Pitch: "measure",
    }.items():  # fmt: skip
        monkeypatch.setattr(judge, "__init__", ToneJudge.__init__)
        monkeypatch.setattr(judge, "name", ToneJudge.name, raising=False)
        monkeypatch.setattr(judge, method, getattr(ToneJudge, method))
    monkeypatch.setattr(WordErrorRate, "words", ToneJudge.words)


@pytest.fixture()
def exp(tmp_path, tiny_config, monkeypatch):
    """A model and test data of two voices, each a tone; the model draws the speaker's tone."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)
    utterances = []
    for speaker in HERTZ:
        for i in range(3):
            path = tmp_path / f"{speaker}_{i}.wav"
            audio.write(path, voice(speaker, 0.5, MODEL_RATE), MODEL_RATE)
            text = f"{'low' if speaker == 'p225' else 'high'} tone"
            phones = tuple(
                Phone(0.25 * k, 0.25 * (k + 1), word) for k, word in enumerate(text.split())
            )
            utterances.append(
                Utterance(path.stem, speaker, str(path), 0.5, text=text, phones=phones)
            )
    write_manifest("test.jsonl", utterances)
    torch.manual_seed(0)
    model = Model(tiny_config, list(HERTZ))
    model_folder.save_model("exp/vqvae", model, {"data": {"test": "test.jsonl"}}, "# test\n")

    def draw(model, codes, speakers, *_, **__):
        lengths = [len(c) * model.hop_length / MODEL_RATE for c in codes]
        return [voice(s, seconds, MODEL_RATE) for s, seconds in zip(speakers, lengths, strict=True)]

    monkeypatch.setattr(experiment, "sample_batch", draw)
    return tmp_path / "exp"


def asked(capsys, *options):
    assert analyze.main(["conversion", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_known_answers(exp, tone_judges, capsys):
    """Conversions that have the target's voice and, here, for that reason other words."""
    found = asked(capsys)
    assert len(found["trials"]) == 6  # all pairs of the two
    conversion = found["speaker"]["conversion"]
    named = conversion["identification accuracy"]
    assert (named["value"], named["high"], named["utterances"]) == (1, 1, 6)
    assert named["low"] == pytest.approx(0.541, abs=1e-3)  # six of six
    assert conversion["similarity to source"]["value"] == 0
    assert found["speaker"]["real target"]["identification accuracy"]["value"] == 1
    assert found["speaker"]["real source"]["identification accuracy"]["value"] == 0
    for what in ("WER", "PER"):
        assert found[what]["source"][what]["value"] == 0
        assert found[what]["reconstruction"][what]["value"] == 0
        assert found[what]["conversion"][what]["value"] == 0.5
        assert found[what]["conversion"][f"{what} / source"]["value"] is None  # of no errors
    pitch = found["pitch"]
    assert pitch["conversion"]["semitones off target"]["value"] == pytest.approx(0, abs=0.1)
    assert pitch["real source"]["semitones off target"]["value"] == pytest.approx(12, abs=0.1)
    assert found["pitch by target"]["p226"]["conversion"]["median Hz"]["value"] == pytest.approx(
        400, abs=4
    )
    assert found["DNSMOS"]["source"]["overall"]["value"] == pytest.approx(3, abs=0.05)
    assert 0 < found["bits_per_sample"]["value"] < 20
    assert found["bits_per_sample"]["utterances"] == 6
    trial = found["trials"][0]
    assert trial["transcripts"]["WER"]["source"] == trial["text"]
    assert trial["transcripts"]["WER"]["conversion"] != trial["text"]


def test_a_model_that_ignores_the_speaker(exp, tone_judges, capsys, monkeypatch):
    def draw(model, codes, speakers, *_, **__):
        return [voice("p225", 0.5, MODEL_RATE) for _ in codes]

    monkeypatch.setattr(experiment, "sample_batch", draw)
    assert asked(capsys)["speaker"]["conversion"]["identification accuracy"]["value"] == 0.5


def test_printed_and_written(exp, tone_judges, capsys, tmp_path):
    assert analyze.main(["conversion", "--trials", "2", "--wavs"]) == 0
    out = capsys.readouterr().out
    assert "2 conversions of 2 utterances of test.jsonl: 2 sources, 2 targets" in out
    for heading in ("speaker, by tones 1.0", "WER, by", "PER, by", "DNSMOS, by", "pitch, by"):
        assert heading in out
    written = exp / "conversion"
    scores = json.loads((written / "scores.json").read_text())
    assert scores["judges"] == dict.fromkeys(
        ("speaker", "WER", "PER", "DNSMOS", "pitch"), "tones 1.0"
    )
    names = {path.name for path in (written / "wavs").iterdir()}
    trials = scores["trials"]
    assert names == (
        {f"{trial['utterance']}-{trial['target']}.wav" for trial in trials}
        | {f"{trial['utterance']}-source.wav" for trial in trials}
        | {f"{trial['utterance']}-reconstruction.wav" for trial in trials}
    )
    sound, rate = audio.read(
        written / "wavs" / f"{trials[0]['utterance']}-{trials[0]['target']}.wav"
    )
    assert rate == SAMPLE_RATE
    assert frequency(sound) == pytest.approx(HERTZ[trials[0]["target"]], rel=0.02)


def test_options_choose(exp, tone_judges, capsys):
    one = asked(capsys, "--trials", "2", "--seed", "1", "--out", "one")
    two = asked(capsys, "--trials", "2", "--seed", "1", "--out", "two")
    assert {**one, "seconds": 0} == {**two, "seconds": 0}
    only = asked(capsys, "--speaker", "p226", "--temperature", "0.5")
    assert {trial["target"] for trial in only["trials"]} == {"p226"}
    assert len(only["trials"]) == 3
    assert only["sampling"]["temperature"] == 0.5
    assert set(only["sampling"]) == {
        "temperature", "top_k", "top_p", "seed", "precision", "post_filter",
    }  # fmt: skip


def test_a_source_that_the_model_does_not_know(exp, tone_judges, capsys, tmp_path):
    """It can be converted, but not reconstructed."""
    utterances = [
        Utterance(
            u.id, "other" if u.speaker == "p226" else u.speaker, u.path, u.duration, text=u.text
        )
        for u in read_manifest("test.jsonl")
    ]
    write_manifest("other.jsonl", utterances)
    assert analyze.main(["conversion", "--json", "--manifest", "other.jsonl"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert {(trial["source"], trial["target"]) for trial in found["trials"]} == {("other", "p225")}
    assert "reconstruction" not in found["WER"]
    assert found["bits_per_sample"] is None
    assert "speechvq-align other.jsonl" in output.err  # no phones here
    assert "PER" not in found


def test_missing_judges_are_skipped_with_a_line_each(exp, capsys, monkeypatch):
    for package in PACKAGES:
        monkeypatch.setitem(sys.modules, package, None)
    assert analyze.main(["conversion", "--trials", "2"]) == 0
    output = capsys.readouterr()
    lines = [line for line in output.err.splitlines() if "not judged" in line]
    assert len(lines) == 5
    assert all(INSTALL in line for line in lines)
    assert "per sample" in output.out
    assert ", by " not in output.out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--trials", "0"], "--trials must be 1 or more"),
        (["--speaker", "p999"], "p999"),
        (["--manifest", "none.jsonl"], "none.jsonl"),
        (["--manifest", "single.jsonl"], "at least two speakers"),
        (["--manifest", "single.jsonl", "--speaker", "p226"], "fewer than two utterances of p226"),
        (["--model", "none"], "none: no such model folder"),
        (["--temperature", "0"], "above 0"),
    ],
)
def test_mistakes_are_one_line(exp, tone_judges, capsys, options, complaint):
    write_manifest("single.jsonl", read_manifest("test.jsonl")[:4])  # one of p226 alone
    try:
        code = analyze.main(["conversion", *options])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("speechvq-analyze")
    assert complaint in error


def test_test_data_that_has_gone(exp, tone_judges, capsys, tmp_path):
    (tmp_path / "test.jsonl").unlink()
    assert analyze.main(["conversion"]) == 2
    assert "pass --manifest" in capsys.readouterr().err


def test_help_of_the_question(capsys):
    with pytest.raises(SystemExit) as stop:
        analyze.main(["conversion", "--help"])
    assert stop.value.code == 0
    assert INSTALL in capsys.readouterr().out
