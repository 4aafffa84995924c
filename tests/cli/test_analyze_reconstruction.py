"""speechvq-analyze reconstruction, on a tiny model."""

import csv
import dataclasses
import json
import sys

import numpy as np
import pytest
import torch

from speechvq import audio, model_folder
from speechvq.cli import analyze
from speechvq.data.manifest import read_manifest, write_manifest
from speechvq.evaluation.likelihood import bits_per_sample
from speechvq.model import Model

KINDS = ["source", "reconstruction", "Griffin-Lim, predicted mel", "Griffin-Lim, recorded mel"]


@pytest.fixture(autouse=True)
def few_judges(monkeypatch):
    """Without those whose packages may be there or not, or that take long."""
    for package in ("pystoi", "visqol", "pyworld", "speechmos"):
        monkeypatch.setitem(sys.modules, package, None)


@pytest.fixture
def exp(tmp_path, monkeypatch, tiny_config, tiny_corpus, one_thread):
    torch.manual_seed(0)
    model = Model(tiny_config, ["p225", "p226"]).eval()
    folder = tmp_path / "exp/vqvae"
    model_folder.save_model(folder, model, {"data": dataclasses.asdict(tiny_corpus)}, "# tiny\n")
    monkeypatch.chdir(tmp_path)
    return folder


def run(capsys, *options):
    code = analyze.main(["reconstruction", *map(str, options)])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_without_options(exp, tiny_corpus, capsys):
    code, out, err = run(capsys, "--wavs")
    assert code == 0
    assert "compared   2 utterances" in out
    for title in ("STOI", "ViSQOL", "pitch error", "DNSMOS"):  # a line each, and no row
        assert f"{title} not judged" in err
    written = exp.parent / "reconstruction"
    assert {path.name for path in written.iterdir()} == {
        "scores.json", "reconstruction.csv", "utterances.csv", "reconstruction.png",
        "reconstruction.svg", "spectrograms.png", "spectrograms.svg", "wavs",
    }  # fmt: skip
    scores = json.loads((written / "scores.json").read_text())
    spectrum = scores["scores"]["spectrum"]
    assert list(spectrum) == KINDS[1:]
    model = model_folder.load_model(exp)
    expected = bits_per_sample(model, read_manifest(tiny_corpus.test))
    assert scores["bits_per_sample"]["value"] == pytest.approx(expected.value)
    (_, *each) = csv.reader((written / "utterances.csv").open())
    mean = np.mean([float(row[3]) for row in each])
    assert mean == pytest.approx(spectrum["reconstruction"]["MCD, dB"]["value"])
    for utterance in read_manifest(tiny_corpus.test):  # as long as the recording, at 16 kHz
        path = written / "wavs" / f"{utterance.id}-reconstruction.wav"
        waveform, rate = audio.read(path)
        assert rate == 16000
        assert len(waveform) == pytest.approx(utterance.duration * rate, abs=2)


def test_a_model_without_mel_predictor_and_json(exp, tiny_config, tiny_corpus, capsys):
    config = dataclasses.replace(
        tiny_config, mel_predictor=dataclasses.replace(tiny_config.mel_predictor, bands=0)
    )
    torch.manual_seed(0)
    model_folder.save_model(exp, Model(config, ["p225", "p226"]), {}, "# tiny\n")
    code, out, _ = run(capsys, "--json", "--manifest", tiny_corpus.test)
    assert code == 0
    assert list(json.loads(out)["scores"]["spectrum"]) == ["reconstruction"]


def test_a_streaming_model_with_product_codes(exp, tiny_streaming_config, tiny_corpus, capsys):
    torch.manual_seed(0)
    model_folder.save_model(exp, Model(tiny_streaming_config, ["p225", "p226"]), {}, "# tiny\n")
    code, out, _ = run(capsys, "--json", "--manifest", tiny_corpus.test)
    assert code == 0
    assert list(json.loads(out)["scores"]["spectrum"]) == KINDS[1:]


def test_a_stranger_needs_a_speaker(exp, tiny_corpus, tmp_path, capsys):
    utterances = [
        dataclasses.replace(u, speaker="stranger") for u in read_manifest(tiny_corpus.test)
    ]
    write_manifest(tmp_path / "strangers.jsonl", utterances, ["/"])
    code, _, err = run(capsys, "--manifest", "strangers.jsonl")
    assert code == 2 and "--speaker" in err.splitlines()[-1]
    code, _, err = run(capsys, "--manifest", "strangers.jsonl", "--speaker", "p999")
    assert code == 2 and "unknown speaker 'p999'" in err.splitlines()[-1]
    code, out, _ = run(capsys, "--manifest", "strangers.jsonl", "--speaker", "p226")
    assert code == 0 and "compared   2 utterances" in out
    rows = list(csv.reader((exp.parent / "reconstruction/utterances.csv").open()))
    assert [row[1] for row in rows] == ["speaker", "p226", "p226"]


def test_a_single_utterance_has_no_interval(exp, tiny_corpus, tmp_path, capsys):
    write_manifest(tmp_path / "one.jsonl", read_manifest(tiny_corpus.test)[:1], ["/"])
    code, out, _ = run(capsys, "--manifest", "one.jsonl", "--json")
    assert code == 0
    assert json.loads(out)["bits_per_sample"]["low"] is None


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--manifest", "none.jsonl"], "none.jsonl"),
        (["--manifest", "empty.jsonl"], "empty.jsonl"),
    ],
)
def test_mistakes_are_one_line(exp, tmp_path, capsys, options, complaint):
    (tmp_path / "empty.jsonl").write_text("")
    code, out, err = run(capsys, *options)
    assert (code, out) == (2, "")
    assert complaint in err.splitlines()[-1]


def test_no_minutes(exp, capsys):
    with pytest.raises(SystemExit, match="2"):
        analyze.main(["reconstruction", "--max-minutes", "0"])
    assert "--max-minutes: must be above 0" in capsys.readouterr().err
