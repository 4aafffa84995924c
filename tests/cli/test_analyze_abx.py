"""speechvq-analyze abx from end to end, on a tiny model and made-up sounds."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from speechvq import audio, model_folder  # noqa: E402
from speechvq.cli import analyze  # noqa: E402
from speechvq.data.manifest import Phone, Utterance, read_manifest, write_manifest  # noqa: E402
from speechvq.model import Model  # noqa: E402
from speechvq.sampling import encode, latents  # noqa: E402

RATE = 8000
NAMES = ["codes", "quantized", "latents", "mfcc"]
SOUNDS = {"AA1": 300, "iy": 900, "s": None, "sil": 0}  # Hz; None for noise


def write_speech(path, speakers=("p225", "p226"), each=3):
    """A manifest of utterances sil s V s sil s V s sil, of 80 ms each, in several pitches."""
    utterances = []
    for speaker, up in zip(speakers, (1.0, 1.3, 0.8), strict=False):
        for i in range(each):
            rng = np.random.default_rng(i)
            vowels = ["AA1", "iy"] if i % 2 else ["iy", "AA1"]
            labels = ["sil", "s", vowels[0], "s", "sil", "s", vowels[1], "s", "sil"]
            time = np.arange(RATE * 8 // 100) / RATE
            pieces = [
                rng.normal(0, 0.1, len(time))
                if SOUNDS[name] is None
                else 0.4 * np.sin(2 * np.pi * SOUNDS[name] * up * time)
                + rng.normal(0, 1e-3, len(time))
                for name in labels
            ]
            phones = tuple(Phone(0.08 * k, 0.08 * (k + 1), n) for k, n in enumerate(labels))
            sound = path.parent / f"{speaker}_{i}.wav"
            audio.write(sound, np.concatenate(pieces).astype(np.float32), RATE)
            utterances.append(Utterance(sound.stem, speaker, str(sound), 0.72, phones=phones))
    write_manifest(path, utterances)
    return utterances


BOTH = pytest.mark.parametrize("exp", ["tiny_config", "tiny_streaming_config"], indirect=True)


@pytest.fixture()
def exp(request, tmp_path, monkeypatch, one_thread):
    """A model folder, of one codebook or, with a streaming encoder, of two, and test data."""
    write_speech(tmp_path / "test.jsonl")
    torch.manual_seed(0)
    model = Model(
        request.getfixturevalue(getattr(request, "param", "tiny_config")), ["p225"]
    ).eval()
    model.level.fill_(-20)
    data = {"data": {"test": str(tmp_path / "test.jsonl")}}
    model_folder.save_model(tmp_path / "vqvae", model, data, "# test model\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHVQ_MODEL", str(tmp_path / "vqvae"))
    return tmp_path


@BOTH
def test_what_is_printed_and_written(exp, capsys):
    assert analyze.main(["abx"]) == 0
    out = capsys.readouterr().out
    assert "12 of 12 triphones in context" in out
    assert "at most 10 tokens of a phone, speaker and context, 5 speakers of X, seed 0" in out
    # 3 of each of 2 vowels in one context, 2 speakers: 2 · 2 · 3 · 2 · 3 triples within
    assert "within     72 triples in 4 cells; contexts 1, pairs of phones 2, speakers 2" in out
    assert "across     108 triples in 4 cells" in out
    rows = [line.split()[0] for line in out.splitlines() if "angle" in line or "differ" in line]
    assert rows == NAMES
    assert sorted(path.name for path in (exp / "abx").iterdir()) == [
        "abx.png", "abx.svg", "pairs.csv", "pairs.png", "pairs.svg", "scores.json",
    ]  # fmt: skip
    assert ElementTree.parse(exp / "abx/abx.svg").getroot().tag.endswith("}svg")
    scores = json.loads((exp / "abx/scores.json").read_text())["scores"]
    assert scores["mfcc"]["within"]["error"] == 0  # two tones
    assert scores["mfcc"]["within"]["low"] is None  # a single context
    lines = (exp / "abx/pairs.csv").read_text().splitlines()
    assert lines[0] == "representation,speakers,phone,other,error"
    assert len(lines) == 1 + 4 * 2 * 2


def test_json_is_the_same_each_time(exp, capsys):
    call = ["abx", "--json", "--context", "any", "--max-group", "2", "--max-speakers", "1"]
    found = []
    for out in ("one", "two"):
        assert analyze.main([*call, "--out", out]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert found[0]["tokens"] == 3 * 2 * 2  # three phones of two speakers
    assert found[0]["tokens_found"] == 2 * 3 * 6
    for name in ("abx.png", "pairs.svg", "pairs.csv"):
        assert (exp / "one" / name).read_bytes() == (exp / "two" / name).read_bytes()


@BOTH
def test_what_is_exported_is_what_was_scored(exp, capsys):
    assert analyze.main(["abx", "--export", "zs"]) == 0
    assert "zs/: triphone.item, codes/, quantized/" in capsys.readouterr().out
    model = model_folder.load_model(exp / "vqvae")
    utterances = {u.id: u for u in read_manifest(exp / "test.jsonl")}
    heading, *lines = (exp / "zs/triphone.item").read_text().splitlines()
    assert heading == "#file onset offset #phone prev-phone next-phone speaker"
    assert len(lines) == 12
    assert lines[0] == "p225_0 0.080000 0.320000 iy s s p225"
    assert {line.split()[0] for line in lines} == set(utterances)
    for id, u in utterances.items():
        waveform = audio.read(u.path, RATE)[0]
        codes = encode(model, waveform)
        kept = {kind: np.load(exp / "zs" / kind / f"{id}.npy") for kind in [*NAMES, "times"]}
        assert np.array_equal(kept["codes"], codes.reshape(len(codes), -1))
        assert np.array_equal(kept["latents"], latents(model, waveform))
        quantized = model.vqvae.quantizer.lookup(torch.from_numpy(codes)[None])[0]
        assert np.array_equal(kept["quantized"], quantized.detach().numpy())
        assert len(kept["mfcc"]) == len(codes)
        assert kept["times"] == pytest.approx((np.arange(len(codes)) + 0.5) / model.frame_rate)


def test_one_speaker_has_no_across(exp, capsys):
    write_speech(exp / "one.jsonl", ["p225"])
    assert analyze.main(["abx", "--score-on", "one.jsonl", "--json"]) == 0
    output = capsys.readouterr()
    assert "one.jsonl: nothing to compare across speakers" in output.err
    scores = json.loads(output.out)["scores"]["codes"]
    assert scores["across"]["error"] is None and scores["within"]["triples"] == 36
    assert analyze.main(["abx", "--score-on", "one.jsonl"]) == 0
    assert " -  " in capsys.readouterr().out


def test_what_cannot_be_scored_is_one_line(exp, capsys):
    utterances = write_speech(exp / "few.jsonl", ["p225"], 1)
    assert analyze.main(["abx", "--score-on", "few.jsonl"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "few.jsonl: none of 2 tokens make a triple" in error and "--context any" in error
    with pytest.raises(SystemExit, match="2"):
        analyze.main(["abx", "--score-on", "few.jsonl", "--max-minutes", "0"])
    assert "--max-minutes: must be above 0" in capsys.readouterr().err
    mute = [Utterance("m", "p225", utterances[0].path, 0.72)]
    write_manifest(exp / "mute.jsonl", mute)
    assert analyze.main(["abx", "--score-on", "mute.jsonl"]) == 2
    assert "speechvq-align" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("id", "a b", "'a b' of utterance 'a b' has white space"),
        ("speaker", "p 225", "'p 225' of utterance 'p225_0' has white space"),
        ("id", "../a", "'../a': not a name of a file"),
    ],
)
def test_names_that_cannot_be_exported(exp, capsys, key, value, complaint):
    lines = [json.loads(line) for line in (exp / "test.jsonl").read_text().splitlines()]
    for record in lines:
        if record["id"] == "p225_0" or (key == "speaker" and record["speaker"] == "p225"):
            record[key] = value
    (exp / "bad.jsonl").write_text("\n".join(map(json.dumps, lines)))
    call = ["abx", "--score-on", "bad.jsonl", "--export", "zs"]
    assert analyze.main(call) == 2
    assert complaint in capsys.readouterr().err.splitlines()[-1]
    assert not (exp / "zs").exists()
