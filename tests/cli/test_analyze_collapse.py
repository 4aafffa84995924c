"""speechvq-analyze collapse, on seconds of tones."""

import csv
import dataclasses
import json

import pytest

from speechvq.cli import analyze
from speechvq.data.manifest import Phone, read_manifest, write_manifest
from speechvq.evaluation import collapse

NAMES = ["VQ", "Gaussian VAE", "plain autoencoder", "no latents"]


@pytest.fixture
def manifests(tmp_path, monkeypatch, tiny_config, tiny_corpus, one_thread):
    """With phones; and the tiny model in place of the fixed one."""
    config = dataclasses.replace(
        tiny_config, mel_predictor=dataclasses.replace(tiny_config.mel_predictor, bands=0)
    )
    monkeypatch.setattr(collapse, "CONFIG", config)
    monkeypatch.setattr(
        collapse, "STAGE", dataclasses.replace(collapse.STAGE, segment_length=320, warmup_steps=1)
    )
    monkeypatch.chdir(tmp_path)
    for name in ("train", "test"):
        utterances = [
            dataclasses.replace(u, phones=(Phone(0, 0.2, "aa"), Phone(0.2, u.duration, "s")))
            for u in read_manifest(getattr(tiny_corpus, name))
        ]
        write_manifest(tmp_path / f"{name}.jsonl", utterances, ["/"])
    return ["--train", "train.jsonl", "--score-on", "test.jsonl", "--steps", "2"]


def test_table_files_and_repetition(manifests, tmp_path, capsys):
    assert analyze.main(["collapse", *manifests]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    (heading,) = [i for i, line in enumerate(lines) if "another's" in line]
    assert [line.split("  ")[0] for line in lines[heading + 1 : heading + 5]] == NAMES
    assert "phone accuracy of an untrained encoder" in out
    written = tmp_path / "collapse"
    assert {path.name for path in written.iterdir()} == {
        "scores.json", "collapse.csv", "collapse.png", "collapse.svg",
    }  # fmt: skip
    scores = json.loads((written / "scores.json").read_text())["bottlenecks"]
    rows = {(name, score): value for name, score, value, *_ in csv.reader(
        (written / "collapse.csv").open())}  # fmt: skip
    for name in NAMES:
        assert float(rows[name, "own"]) == scores[name]["own"]["value"]
    nothing = scores["no latents"]["phones"]
    assert nothing["accuracy"] == nothing["chance"]
    assert scores["plain autoencoder"]["rate"] is None
    assert ("plain autoencoder", "rate") not in rows
    assert analyze.main(["collapse", *manifests, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bottlenecks"] == scores


def test_without_phones(manifests, tiny_corpus, capsys):
    options = ["--train", tiny_corpus.train, "--score-on", tiny_corpus.test, "--steps", "1"]
    assert analyze.main(["collapse", *options]) == 0
    out = capsys.readouterr().out
    assert "untrained encoder" not in out
    assert next(line for line in out.splitlines() if line.startswith("VQ  ")).endswith(" -")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--steps", "0"], "--steps"),
        (["--max-minutes", "-1"], "--max-minutes: must be above 0"),
        (["--train", "none.jsonl"], "none.jsonl"),
        (["--score-on", "others.jsonl"], "no utterance by a speaker of the training data"),
        (["--score-on", "one.jsonl"], "1 utterance to score"),
    ],
)
def test_mistakes_are_one_line(manifests, tmp_path, capsys, options, complaint):
    utterances = read_manifest(tmp_path / "test.jsonl")
    write_manifest(tmp_path / "one.jsonl", utterances[:1], ["/"])
    others = [dataclasses.replace(u, speaker="p999") for u in utterances]
    write_manifest(tmp_path / "others.jsonl", others)
    try:
        code = analyze.main(["collapse", *manifests, *options])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert complaint in capsys.readouterr().err.splitlines()[-1]
