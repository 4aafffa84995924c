"""The benchmarks still run, and say what they should."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from speechvq.model import Model
from speechvq.model_folder import PRETRAINED, save_model

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def sampling(monkeypatch):
    """benchmarks/sampling.py as a module; the number of threads of torch is restored afterwards."""
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("benchmark_sampling", FOLDER / "sampling.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    yield module
    torch.set_num_threads(threads)


def test_sampling_parts(sampling, capsys):
    assert sampling.main(["--quick", "--json", "--only", "one", "many", "shapes", "first"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {row["sampler"] for row in result["one"]} >= {"speechvq, float32", "speechvq, bfloat16"}
    rows = result["one"] + result["many"] + result["shapes"]
    assert all(row["samples_per_second"] > 0 for row in rows)
    assert {row["utterances"] for row in result["many"]} == {1, 2}
    # A sample of one stream fetches all weights but some of the past taps', which samples share
    one, eight = result["shapes"][:2]
    assert 0.75 * one["weights_kb"] < one["weights_kb_per_sample"] < one["weights_kb"]
    assert eight["weights_kb_per_sample"] == pytest.approx(eight["weights_kb"] / 8, abs=1)
    at_hand, live = result["first"]
    assert at_hand["ms_from_first_code"] < live["ms_from_first_code"]
    assert live["ms_from_first_code"] > live["lookahead_ms"] == 80


@pytest.mark.parametrize("config", ["tiny_config", "tiny_streaming_config"])
def test_sampling_loss(sampling, config, tiny_corpus, tmp_path, capsys, request):
    torch.manual_seed(0)
    config = request.getfixturevalue(config)
    save_model(tmp_path, Model(config, ["p225", "p226"]).eval(), {}, "a card")
    files = ["--model", str(tmp_path), "--manifest", tiny_corpus.train]
    assert sampling.main(["--json", "--utterances", "3", "--only", "loss", *files]) == 0
    result = json.loads(capsys.readouterr().out)["loss"]
    assert {(row["utterances"], row["speakers"]) for row in result} == {(3, 2)}
    assert "| bfloat16 | 3 | 2 |" in sampling.table(result)
    exact, half, training = (row["bits_per_sample"] for row in result)
    assert exact == pytest.approx(training, abs=1e-5)
    assert exact != half and exact == pytest.approx(half, abs=0.01)


def test_sampling_loss_needs_both_files(sampling, capsys):
    with pytest.raises(SystemExit):
        sampling.main(["--model", "somewhere"])
    assert "--model and --manifest" in capsys.readouterr().err


def test_prior(capsys):
    spec = importlib.util.spec_from_file_location("benchmark_prior", FOLDER / "prior.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    try:
        words = ["--model", str(PRETRAINED), "--seconds", "0.5", "--repeats", "2", "--json"]
        assert module.main(words) == 0
    finally:
        torch.set_num_threads(threads)
    rows = json.loads(capsys.readouterr().out)
    assert [row["utterances"] for row in rows] == [1, 16]
    assert all(0 < row["lowest"] <= row["codes_per_second"] <= row["highest"] for row in rows)


@pytest.mark.parametrize("paced", [False, True])
def test_live(tiny_streaming_config, tmp_path, monkeypatch, capsys, paced):
    torch.manual_seed(0)
    model = Model(tiny_streaming_config, ["p225"]).eval()
    with torch.no_grad():
        model.vqvae.quantizer.initialise(model.latents(0.1 * torch.randn(1, 8000))[0])
    save_model(tmp_path, model, {}, "a card")
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("benchmark_live", FOLDER / "live.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    words = ["--model", str(tmp_path), "--minutes", "0.02", "--json", *["--paced"] * paced]
    try:
        assert module.main(words) == 0
    finally:
        torch.set_num_threads(threads)
    row = json.loads(capsys.readouterr().out)
    # Encoder 25 ms, predictor 20, conditioner 10, block 20, and the post-filter's
    assert 75 <= row["delay_ms"] <= 160
    assert not paced or row["times_real_time"] < 1.01


def test_memory(monkeypatch, capsys):
    """Of processes of their own: a command that does little takes less than this one."""
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("benchmark_memory", FOLDER / "memory.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    words = ["--model", str(PRETRAINED), "--minutes", "0.05", "0.1", "--json"]
    assert module.main([*words, "--only", "prepare --check", "encode", "decode"]) == 0
    rows = {row["command"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == {"prepare --check", "encode", "decode"}
    for minutes in ("0.05", "0.1"):
        prepare, encode, decode = (
            rows[name][f"{minutes}_min,_MB"] for name in ("prepare --check", "encode", "decode")
        )
        assert 10 < prepare < min(encode, decode) / 2


def test_training(capsys):
    """Both implementations of the WaveNet give the same logits, and each takes its steps."""
    spec = importlib.util.spec_from_file_location("benchmark_training", FOLDER / "training.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    threads = torch.get_num_threads()
    sizes = ["--layers", "3", "--channels", "8", "--batch-size", "1", "--segment-length", "640"]
    try:
        assert module.main([*sizes, "--steps", "1", "--repeats", "1", "--json"]) == 0
    finally:
        torch.set_num_threads(threads)
    result = json.loads(capsys.readouterr().out)
    assert 0 <= result["largest_difference_of_logits"] < module.TOLERANCE
    assert len(result["samples_per_second"]) == 4
    assert all(speed > 0 for speed in result["samples_per_second"].values())


@pytest.mark.slow
def test_training_contention(monkeypatch, capsys):
    """Three ways beside two loads; the busy program ends with it, and a choice is made."""
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location("benchmark_training", FOLDER / "training.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    words = ["--contention", "--repeats", "1", "--seconds", "0", "--json"]
    assert module.main(words) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["threads"] for row in rows[:2]] == ["by default", "one"]
    assert all(row["quiet, samples/s"] > 0 for row in rows)
    assert rows[1]["quiet, times"] == rows[1]["beside one busy core, times"] == 1
    assert [row["quiet, threads"] for row in rows[1:]] == [1, len(os.sched_getaffinity(0))]
    assert len(started) == 4 and all(process.poll() is not None for process in started)


def test_corpus(tiny_streaming_config, tmp_path):
    torch.manual_seed(0)
    save_model(tmp_path, Model(tiny_streaming_config, ["p225", "p226"]).eval(), {}, "a card")
    options = ["--utterances", "2", "--convert", "1", "--repeats", "1", "--json"]
    command = [sys.executable, FOLDER / "corpus.py", "--model", tmp_path, *options]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows = {row["task"]: row["hours_a_core_hour"] for row in json.loads(done.stdout)}
    assert list(rows) == ["cat", "decode", "multiply", "encode", "convert", "convert, 2 threads"]
    assert rows["decode"] > rows["encode"] > rows["convert"] > 0
