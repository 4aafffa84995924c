"""speechvq-report, with and without the parts that it shows."""

import json

import numpy as np
import pytest

from speechvq import audio, model_folder
from speechvq.cli.report import main
from speechvq.config import ModelConfig, QuantizerConfig, StridedEncoderConfig
from speechvq.report.sections import EMBEDDED
from speechvq.weights import make_header, write_weights

SCORES = {
    "accuracy": 0.5, "accuracy_interval": [0.4, 0.6], "chance": 0.1, "phone_purity": 0.55,
    "cluster_purity": 0.3, "pnmi": 0.6, "v_measure": 0.5, "codebook_size": 8, "codes_used": 7,
    "perplexity": 6.5, "phone_classes": 4, "frames_map": 90, "frames_score": 30,
}  # fmt: skip
RESULT = {
    "model": "m", "codebook_size": 8, "frame_rate": 25.0, "bitrate": 75.0, "phone_classes": 4,
    "map_on": "train.jsonl", "score_on": "test.jsonl", "seed": 0, "codebook_well_used": True,
    "scores": {"learned codes": SCORES, "MFCC k-means": SCORES | {"accuracy_interval": None}},
}  # fmt: skip
GENERATION = {
    "frame_rate": 25.0,
    "decoder_bits_per_second": 1000.0,
    "bits_per_code": {"prior": {"value": 6.5}},
    "divergences": {"drawn from the prior": {"phones": {"value": 0.125}}},
}


@pytest.fixture
def exp(tmp_path):
    """An experiment with a model folder whose weights are a header alone: the page needs no more.

    What config.yaml says is not read.
    """
    model = tmp_path / "vqvae"
    model.mkdir()
    config = ModelConfig(
        encoder=StridedEncoderConfig(strides=(5, 4, 4, 4, 2)),
        quantizer=QuantizerConfig(codebook_size=8),
    )
    stages = [
        {"objective": "cepstra", "steps": 1000},
        {"objective": "decoder", "name": "refine", "steps": 2000},
    ]
    header = make_header(model_folder.FORMAT, {"model": config, "stages": stages}, ["p225"])
    write_weights(model / "model.safetensors", {}, header)
    (model / "config.yaml").write_text("model: {sample_rate: 1}")
    return tmp_path


def report(exp, *options: str) -> str:
    assert main(["--model", str(exp / "vqvae"), *options]) == 0
    return (exp / "report.html").read_text()


def test_a_bare_model_gives_a_page_that_says_what_is_missing(exp, capsys):
    text = report(exp)
    assert text.count('class="missing"') == 5
    wanted = ("stage 4", "speechvq-analyze phonemes", "speechvq-analyze prior")
    for command in (*wanted, "metrics.jsonl", "README.md"):
        assert command in text
    captured = capsys.readouterr()
    assert captured.out == f"{exp / 'report.html'}\n"
    assert "not on the page" in captured.err


def test_a_whole_experiment(exp):
    noise = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    for name in ("p225_001-to-p226", "p225_001-reconstruction", "p225_001-original", "mine"):
        audio.write(exp / "wavs" / f"{name}.wav", noise, 16000)
    (exp / "phonemes").mkdir()
    (exp / "phonemes" / "scores.json").write_text(json.dumps(RESULT))
    (exp / "phonemes" / "codes.csv").write_text("code,count\n3,12\n")
    valid = {"kind": "valid", "stage": "decoder", "global_step": 5}
    record = valid | {"loss": 2.946, "bits_per_sample": 4.25}
    early = {"kind": "valid", "stage": "cepstra", "global_step": 2, "loss": 0.625}
    lines = json.dumps(early) + "\n" + json.dumps(record) + '\n{"cut o'
    (exp / "vqvae" / "metrics.jsonl").write_text(lines)
    (exp / "vqvae" / "README.md").write_text("# The card")
    audio.write(exp / "babble" / "sample-p225-0.wav", noise, 16000)
    (exp / "babble" / "scores.json").write_text(json.dumps(GENERATION))
    text = report(exp)
    places = [text.index(f"<figcaption>{title}<") for title in
              ("original", "reconstruction", "converted to p226")]  # fmt: skip
    assert places == sorted(places)
    assert text.count("data:audio/wav;base64,") == 5 and "other sounds" in text
    assert "0.500 (0.400 to 0.600)" in text and "7 of 8" in text
    assert "6.500" in text and "162.5" in text and "1,162" in text  # 6.5 bits, 25 times a second
    assert "drawn from the prior, from held-out speech: phones 0.125" in text
    assert "4.250" in text and "2.946" in text and "# The card" in text
    assert "Stages: cepstra, then decoder." in text
    assert "25 codes per second, of a codebook of 8, from 16000 Hz speech" in text
    assert "1,000 cepstra + 2,000 refine" in text
    assert text.count('class="missing"') == 2  # the two pictures that were not drawn


def test_large_sounds_are_linked(exp):
    audio.write(exp / "wavs" / "a b-original.wav", np.zeros(EMBEDDED // 2), 16000)
    assert 'src="wavs/a%20b-original.wav"' in report(exp)


def test_mistakes_are_one_line(exp, capsys, tmp_path):
    model = str(exp / "vqvae")
    for options, says in (
        (["--model", str(tmp_path / "nowhere")], "no such model folder"),
        (["--model", model, "--out", str(tmp_path)], "a folder"),
        (["--model", model, "--wavs", f"{model}/config.yaml"], "a folder was expected"),
    ):
        assert main(options) == 2
        assert says in capsys.readouterr().err
    (exp / "phonemes").mkdir()
    (exp / "phonemes" / "scores.json").write_text("[]")
    assert main(["--model", model]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "scores.json: damaged" in lines[-1]
    assert not (exp / "report.html").exists()
