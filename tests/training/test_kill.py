"""Trainings that are killed at any moment and resumed are those that were never stopped."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from speechvq import model_folder
from speechvq.codes import Codebook, write_codes
from speechvq.config import ConditionerMelPredictorConfig
from speechvq.data.manifest import read_manifest
from speechvq.model import Model
from speechvq.settings import plain
from speechvq.training.checkpoint import BEST, LAST, _load
from speechvq.training.metrics import FILE

KILLING = Path(__file__).parents[1] / "killing.py"
SHORT = {"batch_size": 4, "learning_rate": 3e-3, "warmup_steps": 2, "steps": 4}
LOOP = {
    "precision": "float32", "log_every": 1, "valid_every": 3, "checkpoint_every": 2,
    "keep_every": 2, "keep_last": 2, "tensorboard": False,
}  # fmt: skip
TRAINING = {**LOOP, "valid_utterances": 2, "samples": 0}


def stage(objective, length, **settings):
    return {"objective": objective, "segment_length": length, **SHORT, **settings}


STAGES = {
    "pretext": [
        stage("cepstra", 512),
        stage("mel_predictor", 512),
        stage("decoder", 256),
    ],
    "joint": [stage("mel", 512, codebook="whitened"), stage("likelihood", 256)],
    "labels": [stage("labels", 512), stage("mel_predictor", 512, codebook="keep")],
    "streaming": [
        stage("mel", 1600),
        stage("mel_predictor", 800, codebook="keep"),
        stage("decoder", 400),
    ],
}


def written(path, **sections):
    path.write_text(yaml.safe_dump(plain(sections)))
    return path


def of_stages(name, folder, config, streaming, corpus):
    """Arguments of a training of the stages of this name."""
    stages = STAGES[name]
    model = streaming if name == "streaming" else config
    if name == "labels":
        rng = np.random.default_rng(0)
        listed = [u for part in (corpus.train, corpus.valid) for u in read_manifest(part)]
        labels = {u.id: rng.integers(0, 8, round(u.duration * 100)) for u in listed}
        write_codes(folder / "labels.txt", Codebook(8, 80, 8000, "units"), labels)
        stages = [{**stages[0], "labels": str(folder / "labels.txt")}, stages[1]]
    data = replace(corpus, level=-25.0 if name == "streaming" else None)
    path = folder / "conf.yaml"
    written(path, model=model, data=data, stages=stages, training=TRAINING)
    return ["--config", str(path)]


def of_prior(folder, config, corpus):
    """Arguments of the training of a prior."""
    torch.manual_seed(0)
    vqvae = Model(config, ["p225", "p226"])
    with torch.no_grad():
        vqvae.vqvae.quantizer.initialise(vqvae.latents(torch.randn(1, 4000))[0])
    model_folder.save_model(folder / "vqvae", vqvae, {}, "card")
    wavenet = {"layers": 2, "residual_channels": 8, "skip_channels": 8, "output_channels": 16}
    path = folder / "prior.yaml"
    prior = {"condition_channels": 4, "wavenet": {**wavenet, "dilation_cycle": 2, "dropout": 0.1}}
    stages = [stage("prior", 128, steps=12)]
    written(path, prior=prior, stages=stages, training=LOOP)
    manifests = ["--train", corpus.train, "--valid", corpus.valid]
    return ["prior", "--config", str(path), "--model", str(folder / "vqvae"), *manifests]


def numbers(folder):
    records = [json.loads(line) for line in (folder / FILE).read_text().splitlines()]
    return [
        {k: v for k, v in r.items() if k not in ("seconds", "samples_per_second")} for r in records
    ]


def same(one, other):
    """Two trainings have the same losses, the same weights and the same checkpoints."""
    assert numbers(other) == numbers(one)
    names = [sorted(path.name for path in (f / "checkpoints").iterdir()) for f in (one, other)]
    assert names[0] == names[1]
    for name in (BEST, LAST, *(f"checkpoints/{n}" for n in names[0] if n.startswith("step-"))):
        expected, found = _load(one / name), _load(other / name)
        assert expected.keys() == found.keys()
        for key, tensor in expected.items():
            assert torch.equal(found[key], tensor), (name, key)
    weights = [_load(folder / "model.safetensors") for folder in (one, other)]
    assert all(torch.equal(weights[1][key], tensor) for key, tensor in weights[0].items())
    assert not list(other.rglob("*.tmp"))


def kill_and_compare(folder, arguments, seed, kills):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, KILLING, seed, kills, folder / "whole", folder / "killed"]
    done = subprocess.run(
        [*map(str, command), *arguments], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    count = json.loads(done.stdout.splitlines()[-1])
    print(count)
    assert count["time"] + count["call"] == kills
    for number in range(count["trainings"]):
        same(folder / "whole", folder / "killed" / str(number))
    assert "Traceback" not in done.stderr


def test_a_few_kills(tmp_path, tiny_config, tiny_streaming_config, tiny_corpus):
    """In the stages on frozen codes of a streaming encoder, whose codes are kept."""
    folder = tmp_path
    few = of_stages("streaming", folder, tiny_config, tiny_streaming_config, tiny_corpus)
    kill_and_compare(folder, few, seed=1, kills=6)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*STAGES, "prior"])
def test_a_hundred_kills(name, tmp_path, tiny_config, tiny_streaming_config, tiny_corpus):
    """Twenty of each training, in all of their stages."""
    if name == "joint":  # as in the paper
        tiny_config = replace(tiny_config, mel_predictor=ConditionerMelPredictorConfig(bands=8))
    if name == "prior":
        arguments = of_prior(tmp_path, tiny_config, tiny_corpus)
    else:
        arguments = of_stages(name, tmp_path, tiny_config, tiny_streaming_config, tiny_corpus)
    kill_and_compare(tmp_path, arguments, seed=7, kills=20)
