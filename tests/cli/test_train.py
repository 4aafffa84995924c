import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import yaml

from speechvq.cli.settings import MOVED
from speechvq.cli.train import main, parser
from speechvq.config import ConditionerMelPredictorConfig
from speechvq.model_folder import load_model
from speechvq.settings import plain


@pytest.fixture
def conf(tmp_path, tiny_config, tiny_corpus):
    """A configuration file of a training of three steps."""
    values = {
        # No stage would train a mel predictor
        "model": plain(replace(tiny_config, mel_predictor=ConditionerMelPredictorConfig())),
        "data": plain(tiny_corpus),
        "stages": [
            {
                "objective": "likelihood",
                "steps": 3,
                "batch_size": 2,
                "segment_length": 128,
                "warmup_steps": 1,
            }
        ],
        "training": {
            "precision": "float32",
            "log_every": 1,
            "valid_every": 2,
            "samples": 0,
            "tensorboard": False,
        },
    }
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
    option = ["--model.quantizer.codebook_size", "4"]
    assert main([*option, "--out", str(out), "--config", str(conf)]) == 0
    assert load_model(out).config.quantizer.codebook_size == 4


def test_trains_and_prints_the_folder(conf, tmp_path, capsys):
    out = tmp_path / "vqvae"
    option = ["--model.quantizer.codebook_size", "4"]
    assert main(["--config", str(conf), "--out", str(out), *option]) == 0
    output = capsys.readouterr()
    assert output.out == f"{out}\n"
    assert "%" not in output.err and "\r" not in output.err  # no bar in a log file
    assert load_model(out).config.quantizer.codebook_size == 4
    assert load_model(out).config.encoder.strides == (4, 4)


def parsed(*arguments) -> dict:
    """The sections that arguments stand for."""
    return parser().parse_settings([str(a) for a in arguments])[1]


def test_numbers_as_people_write_them(tmp_path):
    path = tmp_path / "conf.yaml"
    path.write_text(
        "stages: [{objective: decoder, learning_rate: 2e-4}]\nmodel: {encoder: {strides: [5, 4]}}\n"
    )
    sections = parsed("--config", path, "--model.quantizer.beta=1e-1")
    assert sections["stages"][0].learning_rate == 2e-4
    assert sections["model"].encoder.strides == (5, 4)
    assert sections["model"].quantizer.beta == 0.1


def test_an_option_reaches_a_stage_by_its_objective_wherever_it_stands(conf):
    option = ["--stages.likelihood.steps", "7"]
    for arguments in ([*option, f"--config={conf}"], ["--config", conf, *option]):
        (stage,) = parsed(*arguments)["stages"]
        assert (stage.steps, stage.batch_size) == (7, 2)


def test_options_are_yaml_but_for_texts():
    sections = parsed(
        "--model.encoder.strides", "[5, 4]", "--model.encoder.norm", "true",
        "--data.train", "1", "--training.init_from", "a: b",
    )  # fmt: skip
    assert sections["model"].encoder.strides == (5, 4) and sections["model"].encoder.norm
    assert (sections["data"].train, sections["training"].init_from) == ("1", "a: b")
    assert parsed("--training.init_from", "null")["training"].init_from is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "model: {encoder: {stridez: [4]}}",
            "model.encoder.stridez: no such setting; did you mean model.encoder.strides?",
        ),
        (
            "model: {decoder: {wavenet: {layerz: 2}}}",
            "model.decoder.wavenet.layerz: no such setting; did you mean",
        ),
        ("modle: {}", "modle: no such section; did you mean model?"),
        ("out: a", "out: not a section; give it as an option, --out"),
        (
            "model: {quantizer: {codebook_size: x}}",
            "model.quantizer.codebook_size: expected a whole number, got 'x'",
        ),
        (
            "model: {quantizer: {codebook_size: 1}}",
            "model.quantizer.codebook_size: must be at least 2, got 1",
        ),
        (
            "model: {quantizer: {codebook_size: }}",
            "model.quantizer.codebook_size: expected a whole number, got nothing (blank)",
        ),
        (
            "model: {encoder: {strides: 4}}",
            "model.encoder.strides: expected a list such as [4, 4], got 4",
        ),
        (
            "stages: [{objective: decoder, learning_rate: fast}]",
            "stages.decoder.learning_rate: expected a number, got 'fast'",
        ),
        (
            "stages: [{objective: decoder, learning_rate: .nan}]",
            "stages.decoder.learning_rate: expected a finite number, got nan",
        ),
        ("stages: [{objective: decodr}]", "stages[0].objective: no such objective: 'decodr'; did"),
        ("stages: [{steps: 3}]", "stages[0]: no key 'objective'; expected one of "),
        ("stages: {objective: decoder}", "stages: expected a list, got"),
        (
            "training: {precision: half}",
            "training.precision: expected one of auto, bfloat16, float32, got 'half'",
        ),
        ("training: {log_every: 0}", "training.log_every: must be at least 1, got 0"),
        ("training: {}", "stages: no stage has steps"),
        (
            "stages: [{objective: decoder, name: No}]",
            "stages.decoder.name: expected text, got False",
        ),
        ("stages: [{objective: decoder, name: a/b}]", "stages.a/b.name: expected letters, dig"),
        ("stages: [{objective: decoder, steps: 1:30}]", "stages.decoder.steps: expected a whole n"),
        (
            "training: {learning_rate: 1}",
            "training.learning_rate: no such setting; there is stages",
        ),
        ("seed: 1", "seed: no such setting; there is training.seed"),
        ("training: {seed: 4294967296}", "training.seed: must be below 2^32"),
        ("data: {train: 1" + 30 * "0" + "}", "data.train: expected text, got 1000"),
        ("training: &a {seed: *a}", "{path}, line 1: *a stands inside of what it stands for"),
        ("training: {spectral: {steps: 10}}", "training.spectral: now two entries of the list"),
        ("model: {codebook_size: 3}", "model.codebook_size: now a key of the section"),
        ("training: {}\ntraining: {}", "{path}, line 2: key 'training' is there twice"),
        ("model: {", "{path}, line 1: not YAML"),
        ("", "{path}: holds no settings"),
    ],
)
def test_mistakes_in_the_file(tmp_path, capsys, text, expected):
    path = tmp_path / "conf.yaml"
    path.write_text(text)
    assert failure(capsys, "--config", path).startswith(expected.replace("{path}", str(path)))


def test_a_mistake_is_told_with_its_line(tmp_path, capsys):
    path = tmp_path / "conf.yaml"
    path.write_text(
        "training: {seed: 1}\nstages:\n- objective: decoder\n  name: long\n  steps: many\n"
    )
    assert failure(capsys, "--config", path) == (
        f"stages.long.steps: expected a whole number, got 'many' ({path}, line 5)\n"
    )
    # The option is at fault, not the file
    message = failure(capsys, "--config", path, "--stages.long.steps", "more")
    assert message == "stages.long.steps: expected a whole number, got 'more'\n"
    path.write_text("training:\n  seed: 1\nstages: [\n {objective: decoder}]\n")  # found later
    message = failure(capsys, "--config", path)
    assert message.startswith("stages.decoder: no stage before it") and "line 4)" in message


def test_aliases_do_not_multiply(tmp_path, capsys):
    """A small file that stands for 10^12 entries."""
    path, levels = tmp_path / "conf.yaml", ["training:", "  k0: &k0 {a: 1}"]
    for i in range(1, 13):
        entries = ", ".join(f"{c}: *k{i - 1}" for c in "abcdefghij")
        levels.append(f"  k{i}: &k{i} {{{entries}}}")
    path.write_text("\n".join(levels))
    assert failure(capsys, "--config", path).startswith("training.k0: no such setting")
    path.write_text("\n".join([*levels, "  seed: *k12"]).replace("k0: &k0", "log_every: &k0"))
    assert failure(capsys, "--config", path).startswith("training.log_every: expected a whole")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--model.quantizer.codebok_size", "3"],
            "--model.quantizer.codebok_size: no such option; did you mean --model.quantizer.codebo",
        ),
        (["--model.codebook_size=3"], "--model.codebook_size: now a key of the section"),
        (
            ["--model.quantizer.codebook_size", "2.5"],
            "model.quantizer.codebook_size: expected a whole number, got 2.5",
        ),
        (["--model.encoder.strides", "[2"], "model.encoder.strides, line 1: not YAML"),
        (["--stages.decoder.steps", "3"], "stages.decoder: no entry with objective: decoder; the"),
        (["--data.level", "-250"], "data.level: must be less than 200 dB"),
        (["--config", "/gone.yaml"], "/gone.yaml: No such file or directory"),
        (["more"], "unrecognized arguments: more"),
    ],
)
def test_mistakes_in_the_options(capsys, arguments, expected):
    assert failure(capsys, *arguments).startswith(expected)


def old_paths():
    """Former settings, one for each pattern, and what the message promises."""
    for old, advice in MOVED.items():
        yield old.replace("*", "size" if "codebook" in old else "channels"), advice


@pytest.mark.parametrize(("path", "advice"), old_paths())
def test_each_former_setting_names_the_new_one(tmp_path, capsys, path, advice):
    keys, values = path.split("."), {"steps": 1}
    for key in reversed(keys):
        values = {key: values}
    file = tmp_path / "old.yaml"
    file.write_text(yaml.safe_dump(values))
    assert failure(capsys, "--config", file) == f"{path}: {advice} ({file}, line {len(keys)})\n"
    message = failure(capsys, f"--{path}", "1")
    assert message == f"--{path}: {advice} (see speechvq-train --help)\n"


def test_each_promised_setting_is_there():
    known = set(parser()._settings)
    for advice in MOVED.values():
        for name in re.findall(r"(?:model|training)\.[a-z_.]*[a-z]", advice):
            if name != "model.encoder" and name not in known:
                assert any(path.startswith(f"{name}.") for path in known), name


def test_help_is_quick(tmp_path):
    """Without torch."""
    program = "import sys; from speechvq.cli.train import parser; parser().format_help()"
    program += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_an_option_of_a_union_that_the_file_leaves_to_its_default():
    """--model.encoder.strides without encoder.kind in the file."""
    encoder = parsed("--model.encoder.strides", "[5, 4]")["model"].encoder
    assert (encoder.kind, encoder.strides) == ("strided", (5, 4))


def test_a_stage_that_the_file_has_not(conf, capsys):
    message = failure(capsys, "--config", conf, "--stages.decoder.steps", "3")
    assert message == "stages.decoder: no entry with objective: decoder; there are likelihood\n"


def test_a_stage_that_is_no_mapping(tmp_path, capsys):
    (path := tmp_path / "conf.yaml").write_text("stages: [decoder]")
    message = failure(capsys, "--config", path, "--stages.decoder.steps", "3")
    assert message.startswith("stages.decoder: no entry with objective: decoder")


def test_a_manifest_that_is_not_there(conf, capsys):
    message = failure(capsys, "--config", conf, "--data.train", "gone.jsonl")
    assert message.startswith("gone.jsonl: no such manifest; speechvq-prepare makes it")


def test_mistakes_found_later(conf, tmp_path, capsys):
    always = ["--config", conf, "--out", tmp_path / "out"]
    assert "device 'tpu' cannot be used here" in failure(capsys, *always, "--device", "tpu")
    # A full folder
    assert main([str(a) for a in always]) == 0
    capsys.readouterr()
    assert "holds a training already" in failure(capsys, *always)
    message = failure(capsys, *always, "--resume", "--training.seed", "5")
    assert message.startswith("training.seed: this training was started with 0, not 5")


def test_print_config_can_be_read_again(conf, tmp_path, capsys):
    arguments = ["--config", conf, "--model.quantizer.beta", "0.5"]
    with pytest.raises(SystemExit) as stop:
        parsed(*arguments, "--print_config")
    assert stop.value.code == 0
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert parsed("--config", printed) == parsed(*arguments)


def test_help_describes_every_setting():
    text = parser().format_help()
    for path in parser()._settings:
        assert f"--{path} " in text
    assert "K, the number of codes (default: 512)" in " ".join(text.split())


def test_ctrl_c_says_how_to_go_on(conf, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "speechvq.cli.train", "--config", str(conf), "--out", str(out)]
    command += ["--stages.likelihood.steps=200000", "--training.valid_every=100000"]
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
    assert last.startswith("speechvq-train: interrupted (stage likelihood, step ")
    assert last.endswith("the same command with --resume goes on")
    assert "Traceback" not in err
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert f"step {steps[-1]} of 200000" in last


def test_a_stage_with_a_name_of_its_own(tmp_path, capsys):
    """Its settings are options by that name; a name that is not in the file is refused."""
    path = tmp_path / "two.yaml"
    path.write_text(
        "model: {mel_predictor: {bands: 8}}\n"
        "stages:\n"
        "- {objective: mel, name: warm_up, quantization: none}\n"
        "- {objective: mel, steps: 7}\n"
    )
    options = ["--stages.warm_up.steps", "3", "--stages.warm_up.learning_rate=2e-4"]
    _, sections = parser().parse_settings(["--config", str(path), *options])
    assert [stage.steps for stage in sections["stages"]] == [3, 7]
    assert sections["stages"][0].learning_rate == 2e-4
    with pytest.raises(SystemExit) as error:
        parser().parse_settings(["--config", str(path), "--stages.cool_down.steps", "3"])
    assert error.value.code == 2
    assert "--stages.cool_down.steps: no such option" in capsys.readouterr().err
