import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pytest
import yaml

from speechvq.cli.train import main, parser
from speechvq.model_folder import load_model


@pytest.fixture
def conf(tmp_path, tiny_config, tiny_corpus):
    """A configuration file of a training of three steps."""
    values = {
        "model": asdict(tiny_config),
        "data": asdict(tiny_corpus),
        "training": {
            "likelihood": {"steps": 3, "batch_size": 2, "segment_length": 128, "warmup_steps": 1},
            "precision": "float32",
            "log_every": 1,
            "valid_every": 2,
            "samples": 0,
            "tensorboard": False,
        },
    }
    values["model"]["strides"] = list(tiny_config.strides)
    values["model"]["envelope_bands"] = 0  # there is no spectral phase to learn it
    path = tmp_path / "conf.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def failure(capsys, *arguments) -> str:
    """The one line of a command that fails with status 2."""
    try:
        status = main([str(a) for a in arguments])
    except SystemExit as stop:
        status = stop.code
    output = capsys.readouterr()
    assert status == 2
    assert not output.out
    assert output.err.count("\n") == 1
    assert output.err.startswith("speechvq-train: error: ")
    return output.err.removeprefix("speechvq-train: error: ")


def test_an_option_overrides_the_file_on_either_side_of_it(conf, tmp_path):
    out = tmp_path / "vqvae"
    assert main(["--model.codebook_size", "4", "--out", str(out), "--config", str(conf)]) == 0
    assert load_model(out).config.codebook_size == 4


def test_trains_and_prints_the_folder(conf, tmp_path, capsys):
    out = tmp_path / "vqvae"
    assert main(["--config", str(conf), "--out", str(out), "--model.codebook_size", "4"]) == 0
    output = capsys.readouterr()
    assert output.out == f"{out}\n"
    assert "likelihood: 100%" in output.err  # the bar
    assert load_model(out).config.codebook_size == 4
    assert load_model(out).config.strides == (4, 4)


def test_numbers_as_people_write_them(tmp_path):
    path = tmp_path / "conf.yaml"
    path.write_text("training: {likelihood: {learning_rate: 2e-4}}\nmodel: {strides: [5, 4]}\n")
    options = parser().parse_args(["--config", str(path), "--model.beta=1e-1"])
    assert options.training.likelihood.learning_rate == 2e-4
    assert options.model.strides == (5, 4)
    assert options.model.beta == 0.1


def test_options_go_before_the_file(conf):
    options = parser().parse_args(["--config", str(conf), "--training.likelihood.steps", "7"])
    assert options.training.likelihood.steps == 7
    assert options.training.likelihood.batch_size == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model: {stridez: [4]}", "model.stridez: no such setting; did you mean model.strides?"),
        ("model: {wavenet: {layerz: 2}}", "model.wavenet.layerz: no such setting; did you mean"),
        ("modle: {beta: 2}", "modle.beta: no such setting; did you mean model.beta?"),
        ("model: {codebook_size: x}", "model.codebook_size: expected a whole number, got x"),
        ("model: {codebook_size: 1}", "model.codebook_size: must be at least 2, got 1"),
        ("model: {strides: 4}", "model.strides: expected a list such as [4, 4], got 4"),
        ("model: {wavenet: {layers: 0}}", "model.wavenet.layers: must be at least 1, got 0"),
        (
            "training: {likelihood: {learning_rate: fast}}",
            "training.likelihood.learning_rate: expected a number, got fast",
        ),
        (
            "training: {precision: half}",
            "training.precision: expected one of auto, bfloat16, float32, got half",
        ),
        (
            "training: {spectral: {steps: 10}}",
            "training.spectral.unquantized_steps: 500 of 10 steps leave none with codes",
        ),
        ("training: {likelihood: {steps: 0}}", "training.steps: both phases have 0"),
        ("model: {", "config: not YAML"),
    ],
)
def test_mistakes_in_the_file(tmp_path, capsys, text, expected):
    path = tmp_path / "conf.yaml"
    path.write_text(text)
    assert failure(capsys, "--config", path).startswith(expected)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model.codebok_size", "3"], "--model.codebok_size: no such option; did you mean --"),
        (["--model.codebook_size", "2.5"], "model.codebook_size: expected a whole number, got 2.5"),
        (["--config", "/gone.yaml"], "config: file does not exist: '/gone.yaml'"),
        (["--data.train", "gone.jsonl"], "gone.jsonl: no such manifest; speechvq-prepare makes it"),
        (["more"], "unrecognized arguments: more"),
    ],
)
def test_mistakes_in_the_options(capsys, arguments, expected):
    assert failure(capsys, *arguments).startswith(expected)


def test_mistakes_found_later(conf, tmp_path, capsys):
    always = ["--config", conf, "--out", tmp_path / "out"]
    assert "device: 'tpu'" in failure(capsys, *always, "--device", "tpu")
    # A full folder
    assert main([str(a) for a in always]) == 0
    capsys.readouterr()
    assert "holds a training already" in failure(capsys, *always)
    message = failure(capsys, *always, "--resume", "--training.seed", "5")
    assert message.startswith("training.seed: this training was started with 0, not 5")


def test_print_config_can_be_read_again(conf, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(["--config", str(conf), "--model.beta", "0.5", "--print_config"])
    assert stop.value.code == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    again = parser().parse_args(["--config", str(printed)])
    assert again.model.beta == 0.5
    assert again.training.likelihood.steps == 3


def test_ctrl_c_says_how_to_go_on(conf, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "speechvq.cli.train", "--config", str(conf), "--out", str(out)]
    command += ["--training.likelihood.steps=200000", "--training.valid_every=100000"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    metrics = out / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    last = err.strip().splitlines()[-1]
    assert last.startswith("speechvq-train: interrupted (phase likelihood, step ")
    assert last.endswith("the same command with --resume goes on")
    assert "Traceback" not in err
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert f"step {steps[-1]} of 200000" in last
