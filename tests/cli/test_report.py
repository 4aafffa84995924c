"""speechvq-report, with and without the parts that it shows."""

import json
import re
import sys

import numpy as np
import pytest
from experiment import model_of, report, whole_experiment

from speechvq import audio
from speechvq.cli.report import main
from speechvq.report import page
from speechvq.report.page import EMBEDDED


@pytest.fixture
def exp(tmp_path):
    model_of(tmp_path)
    return tmp_path


def test_a_bare_model_gives_a_page_that_says_what_is_missing(exp, capsys):
    text = report(exp)
    missing = text[text.index('id="missing"') :]
    wanted = ("stage 4", "speechvq-analyze phonemes", "speechvq-analyze prior", "speechvq-convert")
    for command in (*wanted, "metrics.jsonl", "README.md"):
        assert command in missing
    captured = capsys.readouterr()
    assert captured.out == f"{exp / 'report' / 'index.html'}\n"
    assert captured.err.count("not on the page") == 6
    assert "<article" not in text


def test_a_whole_experiment(exp, capsys):
    whole_experiment(exp)
    text = report(exp)
    missing = [line for line in capsys.readouterr().err.splitlines() if "not on the page" in line]
    assert len(missing) == 1 and missing[0].endswith("Judges of conversions")
    assert text.count("data:audio/wav;base64,") == 5
    for shown in (
        "25 codes per second, of a codebook of 8, from 16000 Hz speech",
        "0.500 <span", "(0.400 to 0.600)", "6.50", "4.25", "1,000 cepstra + 2,000 refine",
        "Stages: cepstra, then decoder.", "Share of the codes that stand for the phone",
        "drawn from the prior", "and so are the sounds", "<h3>The card</h3>",
    ):  # fmt: skip
        assert shown in text, shown


def test_nothing_is_fetched_and_nothing_escapes(exp):
    whole_experiment(exp)
    text = report(exp)
    assert text.count("<script") == 1 and "<b>bold" not in text and "<img src=x" not in text
    assert not re.findall(r"src=\"(?!data:)[^\"]*", text)
    assert not re.findall(r"url\(|@import|\bfetch\(", text)
    assert "&lt;script&gt;boom()&lt;/script&gt;" in text


def test_more_sounds_are_files_beside_the_page(exp, monkeypatch):
    whole_experiment(exp)
    audio.write(exp / "wavs" / "a b-original.wav", np.zeros(8000), 16000)
    monkeypatch.setattr(page, "EMBEDDED", 1000)
    text = report(exp)
    assert 'src="sounds/wavs/a%20b-original.wav"' in text and "data:audio" not in text
    assert "the sounds are in the folder sounds" in text
    copied = exp / "report" / "sounds" / "wavs" / "a b-original.wav"
    assert copied.read_bytes() == (exp / "wavs" / "a b-original.wav").read_bytes()
    assert EMBEDDED == 16 << 20  # what --help says


def test_results_and_output_elsewhere(exp, tmp_path, capsys):
    (tmp_path / "results").mkdir()
    whole_experiment(tmp_path / "results")
    options = ["--results", str(tmp_path / "results"), "--out", str(tmp_path / "there")]
    assert main([str(exp / "vqvae"), *options]) == 0
    assert "to p226" in (tmp_path / "there" / "index.html").read_text()


def test_what_cannot_be_used_is_named_and_left_out(exp, capsys):
    whole_experiment(exp)
    (exp / "wavs" / "bad-original.wav").write_bytes(b"RIFF")
    assert main([str(exp / "vqvae")]) == 2
    assert "bad-original.wav" in capsys.readouterr().err
    assert "p225_001" in (exp / "report" / "index.html").read_text()


def test_mistakes_are_one_line(exp, capsys, tmp_path):
    model = str(exp / "vqvae")
    for options, says in (
        ([str(tmp_path / "nowhere")], "no such model folder"),
        ([model, "--model", model], "two models"),
        ([model, "--out", f"{model}/config.yaml"], "a folder was expected"),
        ([model, "--results", f"{model}/config.yaml"], "a folder was expected"),
    ):
        assert main(options) == 2
        assert says in capsys.readouterr().err
    (exp / "phonemes").mkdir()
    (exp / "phonemes" / "scores.json").write_text("[]")
    assert main([model]) == 2
    assert "scores.json: damaged" in capsys.readouterr().err
    assert (exp / "report" / "index.html").exists()  # of all else


@pytest.mark.parametrize("package", ["jinja2", "markdown_it"])
def test_without_the_extra_one_line_says_what_to_install(exp, capsys, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert main([str(exp / "vqvae")]) == 2
    assert 'pip install "speechvq[report]"' in capsys.readouterr().err.splitlines()[-1]


def test_scores_of_unknown_shapes_are_no_mistake(exp):
    whole_experiment(exp)
    for name, scores in (("phonemes", {"scores": {}}), ("generation", {"bits_per_code": None})):
        (exp / name / "scores.json").write_text(json.dumps(scores))
    assert "phone accuracy" not in report(exp)
