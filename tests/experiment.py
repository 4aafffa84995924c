"""An experiment as a recipe leaves it, without a training: for the page."""

import json
from pathlib import Path

import numpy as np

from speechvq import audio, model_folder
from speechvq.cli.report import main
from speechvq.codes import Codebook, write_codes
from speechvq.config import ModelConfig, QuantizerConfig, StridedEncoderConfig
from speechvq.data.manifest import Phone, Utterance, write_manifest
from speechvq.report.figures import new_figure, rendered
from speechvq.weights import make_header, write_weights

RATE = 16000
SECONDS = 1.0
INJECTED = '"><img src=x onerror=boom()>'
"""An id and a speaker that must stay text."""

SCORES = {"accuracy": 0.5, "accuracy_interval": [0.4, 0.6], "chance": 0.1, "codebook_size": 8}
RESULT = {
    "model": "m", "codebook_size": 8, "frame_rate": 25.0, "codebook_well_used": True,
    "scores": {"learned codes": SCORES, "<script>boom()</script>": SCORES},
}  # fmt: skip
GENERATION = {
    "frame_rate": 25.0,
    "bits_per_code": {"prior": {"value": 6.5, "low": None, "high": None}},
    "divergences": {"drawn from the prior": {"phones": {"value": 0.125}}},
}
RECORDS = [
    {"kind": "valid", "stage": "cepstra", "global_step": 2, "loss": 0.625},
    {"kind": "valid", "stage": "decoder", "global_step": 5, "loss": 2.9, "bits_per_sample": 4.25},
]
CARD = "# The card\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n<b>bold</b> ![no](http://a.b/c.png)\n"


def model_of(folder: Path) -> Path:
    """Write a model folder whose weights are a header alone: the page needs no more.

    What config.yaml says is not read.
    """
    model = folder / "vqvae"
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
    return model


def whole_experiment(folder: Path) -> None:
    """Write sounds, codes, manifest and analyses to a folder, and what lies in its model."""
    rng = np.random.default_rng(0)
    for place, name in enumerate(
        ("p225_001-original", "p225_001-reconstruction", "p225_001-to-p226", f"{INJECTED}-original")
    ):
        noise = rng.normal(0, 0.02 * (place + 1), round(SECONDS * RATE))
        audio.write(folder / "wavs" / f"{name}.wav", noise, RATE)
    audio.write(folder / "generation" / "sample-p225-0.wav", rng.normal(0, 0.1, RATE), RATE)
    book = Codebook(8, 640, RATE, "m")
    codes = {"p225_001": np.arange(25) % 8, INJECTED: np.zeros(25, int)}
    write_codes(folder / "codes" / "test.txt", book, codes)
    write_codes(folder / "generation" / "codes.txt", book, {"sample-p225-0": np.arange(25) // 5})
    phones = (Phone(0.1, 0.5, "aa"), Phone(0.5, SECONDS, "s"))
    utterances = [
        Utterance("p225_001", "p225", "a.wav", SECONDS, text="He said </script>.", phones=phones),
        Utterance(INJECTED, INJECTED, "b.wav", SECONDS, text=INJECTED),
    ]
    (folder / "data").mkdir()
    write_manifest(folder / "data" / "test.jsonl", utterances, ["/"])
    for name, scores in (("phonemes", RESULT), ("generation", GENERATION)):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "scores.json").write_text(json.dumps(scores))
    rows = ["0,9,0.3,sil,sil 0.9; s 0.1", "2,7,0.2,aa,aa 0.60; <b>bold</b> 0.40", "3,0,0,-,-"]
    table = "\n".join(["code,count,share,phone,phones", *rows])
    (folder / "phonemes" / "codes.csv").write_text(table)
    (folder / "phonemes" / "codes.png").write_bytes(rendered(new_figure(8, 2)))
    model = folder / "vqvae"
    if model.is_dir():
        lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
        (model / "metrics.jsonl").write_text(lines + '{"cut o')
        (model / "README.md").write_text(CARD)


def report(exp: Path, *options: str) -> str:
    """Write the page of an experiment, and read it."""
    assert main([str(exp / "vqvae"), *options]) == 0
    return (exp / "report" / "index.html").read_text()
