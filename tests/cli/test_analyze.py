import csv
import dataclasses
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import speechvq  # noqa: E402
from speechvq import audio, model_folder  # noqa: E402
from speechvq.analysis.frames import frame_labels, normalise  # noqa: E402
from speechvq.analysis.phonemes import score  # noqa: E402
from speechvq.cli import analyze  # noqa: E402
from speechvq.config import (  # noqa: E402
    ConditionerConfig,
    ModelConfig,
    QuantizerConfig,
    StridedEncoderConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from speechvq.data.manifest import Phone, Utterance, read_manifest, write_manifest  # noqa: E402
from speechvq.model import Model  # noqa: E402
from speechvq.training.checkpoint import State, save_checkpoint  # noqa: E402

SAMPLE_RATE = 16000
CODEBOOK_SIZE = 8


def sounds(seed):
    """Stretches of noise (s), of a tone (aa) and of near silence, with their phones."""
    generator = np.random.default_rng(seed)
    time = np.arange(SAMPLE_RATE // 5) / SAMPLE_RATE
    made = {
        "s": lambda: generator.normal(0, 0.2, len(time)),
        "AA1": lambda: 0.4 * np.sin(2 * np.pi * 300 * time),
        "sil": lambda: generator.normal(0, 1e-3, len(time)),
    }
    labels = generator.permutation(["s", "AA1", "sil", "s", "AA1"])
    phones = tuple(Phone(0.2 * i, 0.2 * (i + 1), str(label)) for i, label in enumerate(labels))
    return np.concatenate([made[label]() for label in labels]).astype(np.float32), phones


def write_part(path, seeds, with_phones=True):
    utterances = []
    for seed in seeds:
        waveform, phones = sounds(seed)
        sound = path.parent / f"u{seed}.wav"
        audio.write(sound, waveform, SAMPLE_RATE)
        utterances.append(
            Utterance(f"u{seed}", "p225", str(sound), len(waveform) / SAMPLE_RATE,
                      text="s aa", phones=phones if with_phones else None)
        )  # fmt: skip
    write_manifest(path, utterances)


@pytest.fixture()
def exp(tmp_path, monkeypatch):
    """A recipe's folder with a tiny model whose codebook is of latents of its own data."""
    torch.set_num_threads(1)
    data, folder = tmp_path / "exp/vctk/data", tmp_path / "exp/vctk/vqvae"
    data.mkdir(parents=True)
    write_part(data / "train.jsonl", range(6))
    write_part(data / "test.jsonl", range(10, 13))
    torch.manual_seed(0)
    config = ModelConfig(
        encoder=StridedEncoderConfig(strides=(4, 8, 10), channels=16, norm=True),
        quantizer=QuantizerConfig(codebook_size=CODEBOOK_SIZE, codebook_dim=4),
        decoder=WaveNetDecoderConfig(
            conditioner=ConditionerConfig(channels=4),
            wavenet=WaveNetConfig(
                layers=2,
                dilation_cycle=2,
                residual_channels=4,
                skip_channels=4,
                output_channels=8,
            ),
        ),
    )
    model = Model(config, ["p225"])
    with torch.no_grad():
        latents = model.latents(torch.from_numpy(sounds(0)[0])[None])[0]
        model.vqvae.quantizer.codebook.copy_(latents[torch.linspace(0, 49, CODEBOOK_SIZE).long()])
    manifests = {split: str(data / f"{split}.jsonl") for split in ("train", "valid", "test")}
    model_folder.save_model(folder, model, {"data": manifests}, "# test model\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)
    return folder.parent


def test_without_options(exp, capsys):
    assert analyze.main(["phonemes"]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    (heading,) = [line for line in lines if "phone purity" in line]
    rows = [line for line in lines[lines.index(heading) + 1 :]][:5]
    assert [row.split("  ")[0] for row in rows] == [
        "learned codes", "untrained encoder", "MFCC k-means",
        "k-means of speaker-normalised cepstra",
        "the same, whitened within clusters",
    ]  # fmt: skip
    assert "K = 8, 50 codes/s, 150 bits/s; 3 phone classes" in out
    assert "(3 utterances, 150 frames)" in out
    assert "codebook well used" in out or "codebook poorly used" in out
    written = exp / "phonemes"
    assert sorted(path.name for path in written.iterdir()) == [
        "codes.csv", "codes.png", "codes.svg", "confusion.png", "confusion.svg",
        "recall.csv", "recall.png", "recall.svg", "scores.json",
    ]  # fmt: skip
    assert (written / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert ElementTree.parse(written / "confusion.svg").getroot().tag.endswith("}svg")
    assert len((written / "codes.csv").read_text().splitlines()) == CODEBOOK_SIZE + 1
    found = json.loads((written / "scores.json").read_text())
    scores = found["scores"]
    for name, above in found["accuracy_gains"].items():
        gain = scores["learned codes"]["accuracy"] - scores[name]["accuracy"]
        assert above["value"] == pytest.approx(gain)
        assert above["low"] <= above["value"] <= above["high"]
        assert f"{gain:+.3f}  ({above['low']:+.3f} to" in out
    assert list(found["accuracy_gains"]) == list(scores)[1:]
    assert scores["MFCC k-means"]["accuracy"] > 0.9  # three sounds that MFCCs tell apart
    assert scores["MFCC k-means"]["frames_map"] == 300
    assert scores["k-means of speaker-normalised cepstra"]["accuracy"] > 0.9
    assert scores["the same, whitened within clusters"]["accuracy"] > 0.9


def test_recall_and_boundaries_are_those_of_the_functions(exp, capsys):
    """Boundaries of the sounds are every 0.2 s; codes have 20 ms."""
    assert analyze.main(["phonemes", "--no-baselines", "--json"]) == 0
    boundaries = json.loads(capsys.readouterr().out)["boundaries"]
    assert list(boundaries) == [
        "changes of learned codes", "changes of their phones",
        "as many, at regular places", "as many, at random places",
    ]  # fmt: skip
    model = model_folder.load_model(exp / "vqvae")
    codes, labels, utterances = encoded(model, exp / "data/test.jsonl")
    found = boundaries["changes of learned codes"]
    inner = [codes[utterances == u][1:49] for u in range(3)]  # 0.02 s from the ends
    assert found["found"] == sum(int((own[1:] != own[:-1]).sum()) for own in inner)
    assert found["true"] == 3 * 4
    with open(exp / "phonemes/recall.csv", newline="") as file:
        rows = {row["phone"]: row for row in csv.DictReader(file)}
    assert {phone: int(row["frames"]) for phone, row in rows.items()} == {
        phone: int((labels == phone).sum()) for phone in ("aa", "s", "sil")
    }
    assert rows["aa"]["class"] == "vowels"


def test_checkpoints_are_scored_as_models_are(exp, capsys):
    """The weights of the training alone count; a codebook that has not started is k-means."""
    folder = exp / "vqvae"
    model = model_folder.load_model(folder)
    (folder / "checkpoints").mkdir()

    def keep(name, step, stage="decoder"):
        save_checkpoint(folder / f"checkpoints/{name}.safetensors", {"model": model},
                        State(stage, step, step), {})  # fmt: skip

    model.vqvae.quantizer.started.fill_(True)
    keep("last", 9)
    keep("best", 9)  # of the same step: scored once
    model.vqvae.quantizer.codebook[1:] += 1000
    keep("step-0000007", 7)
    model.vqvae.quantizer.started.fill_(False)
    keep("step-0000003", 3, "cepstra")
    (folder / "checkpoints/step-0000001.safetensors").write_bytes(b"cut")
    assert analyze.main(["phonemes", "--no-baselines", "--checkpoints"]) == 2  # one is left out
    output = capsys.readouterr()
    assert "step-0000001.safetensors: a damaged checkpoint" in output.err
    result = json.loads((exp / "phonemes/scores.json").read_text())
    curve = result["checkpoints"]
    assert [c["global_step"] for c in curve] == [3, 7, 9]
    assert [c["started"] for c in curve] == [False, True, True]
    learned = result["scores"]["learned codes"]
    assert curve[2]["scores"]["accuracy"] == learned["accuracy"]
    assert curve[2]["perplexity"] == pytest.approx(learned["perplexity"])
    assert curve[1]["perplexity"] == 1  # collapsed
    assert curve[1]["scores"]["accuracy"] == learned["chance"]
    assert curve[0]["perplexity"] > 2
    assert "* before its codebook starts" in output.out
    assert (exp / "phonemes/learning_curve.png").stat().st_size > 1000


def test_without_checkpoints_there_is_no_curve(exp, capsys):
    assert analyze.main(["phonemes", "--checkpoints"]) == 2
    assert "no checkpoints" in capsys.readouterr().err


def test_json_options_and_reproducibility(exp, tmp_path, capsys):
    call = ["phonemes", "--model", str(exp / "vqvae"), "--json", "--seed", "3", "--out"]
    assert analyze.main([*call, str(tmp_path / "one")]) == 0
    one = json.loads(capsys.readouterr().out)
    assert analyze.main([*call, str(tmp_path / "two")]) == 0
    assert json.loads(capsys.readouterr().out) == one
    assert one["bitrate"] == 150
    assert set(one["scores"]) == {
        "learned codes", "untrained encoder", "MFCC k-means",
        "k-means of speaker-normalised cepstra",
        "the same, whitened within clusters",
    }  # fmt: skip
    assert one["scores"]["learned codes"]["phone_classes"] == 3
    for name in ("codes.csv", "codes.png", "codes.svg", "confusion.png", "confusion.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_valid_is_mapped_on_where_train_has_no_phones(exp, capsys):
    write_part(exp / "data/valid.jsonl", range(20, 26))
    assert analyze.main(["phonemes", "--no-baselines"]) == 0
    assert "train.jsonl" in capsys.readouterr().out  # train, as long as it can be
    write_part(exp / "data/train.jsonl", range(6), with_phones=False)
    assert analyze.main(["phonemes", "--no-baselines"]) == 0
    assert "valid.jsonl" in capsys.readouterr().out


def test_no_baselines_and_overlap(exp, capsys):
    test = str(exp / "data/test.jsonl")
    assert analyze.main(["phonemes", "--no-baselines", "--map-on", test, "--score-on", test]) == 0
    output = capsys.readouterr()
    assert "MFCC" not in output.out
    assert "3 utterances are both mapped on and scored" in output.err


def test_speakers_without_speech_to_map_on_have_no_normalised_baseline(exp, capsys):
    test = exp / "data/test.jsonl"
    test.write_text(test.read_text().replace("p225", "p999"))
    assert analyze.main(["phonemes"]) == 0
    output = capsys.readouterr()
    assert "p999" in output.err
    assert "MFCC k-means" in output.out
    assert "speaker-normalised" not in output.out


def test_max_minutes_draws_whole_utterances(exp, capsys):
    assert analyze.main(["phonemes", "--no-baselines", "--max-minutes", "0.03"]) == 0
    output = capsys.readouterr()
    assert "(2 utterances, 100 frames)" in output.out
    assert "2 of 6 utterances drawn" in output.err


def test_too_few_frames_for_the_baselines(exp, capsys):
    waveform, phones = sounds(30)
    audio.write(exp / "data/short.wav", waveform[:2000], SAMPLE_RATE)
    short = Utterance("short", "p225", str(exp / "data/short.wav"), 0.125, phones=phones[:1])
    write_manifest(exp / "data/short.jsonl", [short])
    assert analyze.main(["phonemes", "--map-on", str(exp / "data/short.jsonl")]) == 0
    output = capsys.readouterr()
    assert "7 frames are too few for 8 clusters: no baselines" in output.err
    assert "MFCC" not in output.out


def test_the_codes_scored_are_those_of_the_function(exp, capsys):
    """For a model that knows its level, too, whose codes depend on it."""
    folder = exp / "vqvae"
    model = model_folder.load_model(folder)
    paths = {part: exp / f"data/{part}.jsonl" for part in ("train", "test")}
    unlevelled = encoded(model, paths["test"])[0]
    model.level.fill_(-50)
    model_folder.save_model(folder, model, model_folder.read_config(folder), "# test\n")
    assert analyze.main(["phonemes", "--no-baselines", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["scores"]["learned codes"]
    codes, labels, utterances = encoded(model, paths["test"])
    map_codes, map_labels, _ = encoded(model, paths["train"])
    expected = score(map_codes, map_labels, codes, labels, CODEBOOK_SIZE, utterances)
    assert found == json.loads(json.dumps(dataclasses.asdict(expected)))
    assert not np.array_equal(codes, unlevelled)
    levelled = np.bincount(map_codes, minlength=CODEBOOK_SIZE)
    table = (exp / "phonemes/codes.csv").read_text().splitlines()[1:]
    counts = {int(code): int(n) for code, n, *_ in (line.split(",") for line in table)}
    assert counts == dict(enumerate(levelled.tolist()))


def encoded(model, manifest):
    """Codes by speechvq.encode, phone labels, and the utterance of each code."""
    codes, labels = [], []
    utterances = read_manifest(manifest)
    for u in utterances:
        codes.append(speechvq.encode(model, audio.read(u.path, SAMPLE_RATE)[0]))
        labels.append(frame_labels(normalise(u.phones), len(codes[-1]), 1 / model.frame_rate))
    index = np.repeat(np.arange(len(utterances)), [len(c) for c in codes])
    return np.concatenate(codes), np.concatenate(labels), index


def test_a_collapsed_codebook_is_named(exp, capsys):
    model = model_folder.load_model(exp / "vqvae")
    with torch.no_grad():
        model.vqvae.quantizer.codebook[1:] += 1000
    model_folder.save_model(
        exp / "vqvae", model, model_folder.read_config(exp / "vqvae"), "# test\n"
    )
    assert analyze.main(["phonemes", "--no-baselines"]) == 0
    assert "codebook poorly used: perplexity 1.0 is under K/4 = 2" in capsys.readouterr().out
    assert not json.loads((exp / "phonemes/scores.json").read_text())["codebook_well_used"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "QUESTION"),
        (["colours"], "colours"),
        (["phonemes", "--max-minutes", "0"], "--max-minutes: must be above 0"),
        (["phonemes", "--max-minutes", "nan"], "--max-minutes: must be above 0"),
        (["phonemes", "--seed", "-1"], "--seed: must be a whole number, 0 or more"),
        (["phonemes", "--score-on", "none.jsonl"], "none.jsonl: no such manifest"),
        (["phonemes", "--model", "none"], "none: no such model folder"),
        (["phonemes", "--score-on", "mute.jsonl"], "speechvq-align"),
    ],
)
def test_mistakes_are_one_line(exp, tmp_path, capsys, options, complaint):
    write_part(tmp_path / "mute.jsonl", [20], with_phones=False)
    try:
        code = analyze.main(options)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("speechvq-analyze")
    assert complaint in error


def test_test_data_that_has_gone(exp, capsys):
    Path(exp / "data/test.jsonl").unlink()
    assert analyze.main(["phonemes"]) == 2
    assert "pass --score-on" in capsys.readouterr().err


def test_help_of_the_question(capsys):
    with pytest.raises(SystemExit) as stop:
        analyze.main(["phonemes", "--help"])
    assert stop.value.code == 0
    assert "--max-minutes" in capsys.readouterr().out
