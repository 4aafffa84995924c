"""speechvq-analyze conversion, with judges that are made up, and the question's own mistakes."""

import json
import sys
from dataclasses import replace
from pathlib import Path

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
from speechvq.sampling import griffin_lim  # noqa: E402

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
        return PitchOf(frequency(waveform), 0.5, 1.0, np.geomspace(90, 100, 20))


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
    assert pitch["conversion"]["more voiced"]["value"] == 0
    assert pitch["conversion"]["correlation"]["value"] == pytest.approx(1)
    assert found["DNSMOS"]["source"]["overall"]["value"] == pytest.approx(3, abs=0.05)
    assert 0 < found["bits_per_sample"]["value"] < 20
    assert found["bits_per_sample"]["utterances"] == 6
    trial = found["trials"][0]
    assert trial["transcripts"]["WER"]["source"] == trial["text"]
    assert trial["transcripts"]["WER"]["conversion"] != trial["text"]
    assert trial["scores"]["WER"]["conversion"] == {"WER": [1, 2]}
    assert trial["scores"]["speaker"]["conversion"]["identification accuracy"] is True


def test_a_model_that_ignores_the_speaker(exp, tone_judges, capsys, monkeypatch):
    def draw(model, codes, speakers, *_, **__):
        return [voice("p225", 0.5, MODEL_RATE) for _ in codes]

    monkeypatch.setattr(experiment, "sample_batch", draw)
    assert asked(capsys)["speaker"]["conversion"]["identification accuracy"]["value"] == 0.5


def test_printed_and_written(exp, tone_judges, capsys, tmp_path):
    assert analyze.main(["conversion", "--trials", "2", "--wavs"]) == 0
    out = capsys.readouterr().out
    assert "2 conversions of 2 utterances of test.jsonl: 2 sources, 2 targets; with text 2, " in out
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
        "temperature", "top_k", "top_p", "seed", "precision", "post_filter", "guidance",
    }  # fmt: skip


def test_griffin_lim_stands_for_the_decoder(exp, tone_judges, capsys, monkeypatch):
    def low(model, codes, speakers, *_, **__):
        return [voice("p225", len(k) * model.hop_length / MODEL_RATE, MODEL_RATE) for k in codes]

    monkeypatch.setattr(griffin_lim, "griffin_lim_batch", low)
    found = asked(capsys, "--griffin-lim", "--speaker", "p226")
    assert found["sampling"] == {"griffin_lim": True, "seed": 0}
    assert found["bits_per_sample"] is None  # of a decoder that has not learned
    named = found["speaker"]["conversion"]["identification accuracy"]
    assert named["value"] == 0  # the decoder's are all named


@pytest.fixture()
def strangers(exp):
    """Two manifests of people whom the model does not know, the second one without texts."""
    known = read_manifest("test.jsonl")
    for name, speaker, voice_of in (("clean", "ann", "p226"), ("noisy", "bob", "p225")):
        own = [u for u in known if u.speaker == voice_of][: 2 if speaker == "ann" else 1]
        spoken = [replace(u, speaker=speaker, phones=None) for u in own]
        write_manifest(
            f"{name}.jsonl", [replace(u, text=None) if speaker == "bob" else u for u in spoken]
        )


def test_sources_that_the_model_does_not_know(strangers, tone_judges, capsys):
    """They are converted, not reconstructed; targets have recordings elsewhere."""
    options = ["--manifest", "clean=clean.jsonl", "noisy=noisy.jsonl", "--targets", "test.jsonl"]
    found = asked(capsys, *options, "--speaker", "p226", "--trials", "all")
    assert found["manifests"] == {"clean": "clean.jsonl", "noisy": "noisy.jsonl"}
    trials = found["trials"]
    assert sorted((t["group"], t["utterance"], t["source"], t["target"]) for t in trials) == [
        ("clean", "clean/p226_0", "ann", "p226"),
        ("clean", "clean/p226_1", "ann", "p226"),
        ("noisy", "noisy/p225_0", "bob", "p226"),
    ]
    assert "reconstruction" not in found["WER"]
    assert found["bits_per_sample"] is None
    groups = found["WER by group"]
    assert groups["clean"]["source"]["WER"]["value"] == 0
    assert groups["clean"]["conversion"]["WER"]["value"] == 0
    assert "WER" not in groups["noisy"]["source"]  # no text: "low tone" is what is heard of it
    assert groups["noisy"]["conversion"]["WER"]["value"] == 0.5
    assert found["WER"]["conversion"]["WER"]["value"] == pytest.approx(1 / 6)
    assert "PER" not in found["PER"]["source"]  # no phones anywhere
    assert found["PER"]["conversion"]["PER"]["value"] == pytest.approx(1 / 6)


def test_groups_are_printed(strangers, tone_judges, capsys):
    options = ["--manifest", "clean=clean.jsonl", "noisy=noisy.jsonl", "--targets", "test.jsonl"]
    assert analyze.main(["conversion", *options, "--speaker", "p225", "--wavs"]) == 0
    out = capsys.readouterr().out
    assert "2 conversions of 2 utterances of clean.jsonl: 1 sources, 1 targets; with text 2" in out
    assert "1 conversions of 1 utterances of noisy.jsonl: 1 sources, 1 targets; with text 0" in out
    assert "per sample" not in out
    rows = [line.split("  ")[0] for line in out.splitlines()]
    assert {"clean, conversion", "noisy, conversion", "p225, conversion"} <= set(rows)
    assert (Path("exp/conversion/wavs") / "noisy_p225_0-p225.wav").is_file()


def test_a_path_with_an_equals_sign_is_no_group(strangers, tone_judges, capsys):
    write_manifest("lr=0.1.jsonl", read_manifest("clean.jsonl"))
    options = ["--manifest", "lr=0.1.jsonl", "--targets", "test.jsonl", "--speaker", "p225"]
    assert analyze.main(["conversion", *options]) == 0
    assert "of lr=0.1.jsonl: " in capsys.readouterr().out


def test_speakers_left_out_are_named(strangers, tone_judges, capsys):
    both = [*read_manifest("clean.jsonl"), *read_manifest("noisy.jsonl")]
    write_manifest("both.jsonl", both)
    options = ["--manifest", "both.jsonl", "--targets", "test.jsonl", "--trials", "1"]
    assert analyze.main(["conversion", *options]) == 0
    assert "1 trials are too few for each of 2 speakers; left out: " in capsys.readouterr().err


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
        (["--trials", "0"], "argument --trials: must be a whole number, 1 or more"),
        (["--speaker", "p999"], "p999"),
        (["--manifest", "none.jsonl"], "none.jsonl"),
        (["--manifest", "alone.jsonl"], "another speaker than the target p225"),
        (["--manifest", "alone.jsonl", "test.jsonl"], "expected GROUP=FILE"),
        (["--manifest", "a=alone.jsonl", "a=test.jsonl"], "expected GROUP=FILE"),
        (["--targets", "none.jsonl"], "none.jsonl"),
        (["--manifest", "strangers.jsonl"], "give some with --targets"),
        (["--manifest", "single.jsonl", "--speaker", "p226"], "fewer than two utterances of p226"),
        (["--model", "none"], "none: no such model folder"),
        (["--temperature", "0"], "above 0"),
    ],
)
def test_mistakes_are_one_line(exp, tone_judges, capsys, options, complaint):
    utterances = read_manifest("test.jsonl")
    write_manifest("single.jsonl", utterances[:4])  # one of p226 alone
    write_manifest("alone.jsonl", utterances[:3])
    write_manifest("strangers.jsonl", [replace(u, speaker="ann") for u in utterances])
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
