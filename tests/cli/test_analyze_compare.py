"""speechvq-analyze compare: what lies beside models, and nothing computed."""

import csv
import json
import math

import pytest
import torch

from speechvq import model_folder
from speechvq.cli import analyze
from speechvq.evaluation.compare import compare_models
from speechvq.model import Model


@pytest.fixture
def models(tmp_path, monkeypatch, tiny_config, tiny_streaming_config):
    """One with a training log and analyses, one with nothing beside."""
    torch.manual_seed(0)
    one, two = tmp_path / "exp/one/vqvae", tmp_path / "exp/two/vqvae"
    stages = {"stages": [{"objective": "mel", "name": "", "steps": 30},
                         {"objective": "decoder", "name": "voice", "steps": 1200}]}  # fmt: skip
    model_folder.save_model(one, Model(tiny_config, ["p225", "p226"]), stages, "# tiny\n")
    model_folder.save_model(two, Model(tiny_streaming_config, ["p225"]), {}, "# tiny\n")
    valid = {"kind": "valid", "stage": "voice"}
    records = [
        {"kind": "valid", "stage": "mel", "loss": 0.1},
        {**valid, "loss": 3.0, "bits_per_sample": 4.5, "perplexity": 7.5, "dead_codes": 0},
        {**valid, "loss": 3.2, "bits_per_sample": 4.7, "perplexity": 7.0, "dead_codes": 1},
        {"kind": "train", "stage": "voice", "loss": 2.0},
    ]
    lines = [json.dumps(record) for record in records]
    (one / "metrics.jsonl").write_text("\n".join(lines) + '\n{"kind": "va')  # cut
    estimate = {"value": 0.25, "low": 0.2, "high": 0.3, "utterances": 5}
    beside(one, "phonemes", scores={"learned codes": {
        "accuracy": 0.56, "accuracy_interval": [0.5, 0.6], "pnmi": None}})  # fmt: skip
    beside(two, "phonemes", scores={"learned codes": {"accuracy": 0.7}})
    beside(one, "conversion", WER={"conversion": {"WER": estimate}})
    beside(one, "abx", scores={"codes": {"across": {"error": 0.1, "low": 0.05, "high": 0.2}}})
    beside(one, "drawn", bits_per_code={"prior": {**estimate, "low": None, "high": None}})
    (one.parent / "wrong").mkdir()
    (one.parent / "wrong/scores.json").write_text("[1")
    monkeypatch.chdir(tmp_path)
    return ["exp/one/vqvae", "exp/two/vqvae"]


def beside(folder, name, model=None, **scores):
    path = folder.parent / name / "scores.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"model": str(model or folder), **scores}))


def test_the_table(models, tmp_path, capsys):
    assert analyze.main(["compare", *models]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = list(csv.reader((tmp_path / "compare/compare.csv").open()))
    assert table[0] == ["", "one", "two"]
    found = {row[0]: row[1:] for row in table}
    weights = [
        f"{sum(x.numel() for x in model_folder.load_model(m).state_dict().values()):,}"
        for m in models
    ]
    assert found == {
        "": ["one", "two"],
        "codes a second": ["500", "100"],
        "K": ["8", "8"],
        "G": ["1", "2"],
        "bits/s": ["1,500", "600"],
        "weights": weights,
        "speakers": ["2", "1"],
        "training steps": ["30 mel, 1,200 voice", "-"],
        "validation, bits per sample": ["4.500", "-"],  # the best of the last stage
        "validation, loss": ["3.000", "-"],
        "perplexity": ["7.5", "-"],
        "codes unused": ["0", "-"],
        "phone accuracy": ["0.560 (0.500 to 0.600)", "0.700"],
        "ABX error across speakers": ["10.0% (5.0% to 20.0%)", "-"],
        "WER of conversions": ["25% (20% to 30%)", "-"],
        "prior, bits per code": ["0.25", "-"],
    }
    assert any(line.split() == ["speakers", "2", "1"] for line in lines)
    files = {path.name for path in (tmp_path / "compare").iterdir()}
    assert files == {"scores.json", "compare.csv", "compare.png", "compare.svg"}


def test_scores_of_another_model_are_not_taken(models, tmp_path):
    folder = tmp_path / models[0]
    beside(folder, "phonemes", model=folder.parent / "other", scores={})
    (compared,) = compare_models([folder])
    assert "phone accuracy" not in compared.numbers


def test_markdown_and_json(models, capsys):
    assert analyze.main(["compare", *models, "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["|  | one | two |", "|---|---|---|"]
    assert "| speakers | 2 | 1 |" in lines
    assert analyze.main(["compare", *models, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert list(scores) == models
    assert scores[models[0]]["scores"]["phone accuracy"]["low"] == 0.5
    assert scores[models[0]]["scores"]["perplexity"]["low"] is None
    assert list(scores[models[1]]["scores"]) == ["phone accuracy"]
    assert len(scores[models[0]]["from"]) == 4


def test_a_model_alone_and_one_twice(models, tmp_path, capsys):
    assert analyze.main(["compare", models[1], models[1]]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == [models[1]]
    assert not (tmp_path / "compare/compare.png").exists()  # nothing to compare with


def test_what_is_no_model_is_left_out(models, capsys):
    assert analyze.main(["compare", models[0], "nowhere"]) == 2
    output = capsys.readouterr()
    assert "nowhere: no such model folder" in output.err and "left out" in output.err
    assert "4.500" in output.out
    assert analyze.main(["compare", "nowhere"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_packaged_model():
    (compared,) = compare_models([model_folder.PRETRAINED])
    assert compared.facts["G"] == "4"
    assert all(math.isfinite(e.value) for e in compared.numbers.values())
