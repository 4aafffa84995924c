"""What shells, file systems and manifests hand over by mistake: one line, and nothing is lost."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speechvq import audio, model_folder
from speechvq.cli import align, convert, decode, encode, enroll, report, train
from speechvq.data.manifest import Utterance, write_manifest
from speechvq.model import Model

RATE = 8000


@pytest.fixture(scope="module")
def saved(tiny_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(0)
    model = Model(tiny_config, ["p225", "p226"]).eval()
    model_folder.save_model(folder / "model", model, {}, "card")
    return folder / "model"


@pytest.fixture(autouse=True)
def working_folder(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHVQ_MODEL", str(saved))
    rng = np.random.default_rng(0)
    os.mkdir("talks")
    for name in ("a", "b"):
        noise = 0.1 * rng.standard_normal(RATE // 5).astype(np.float32)
        audio.write(f"talks/{name}.wav", noise, RATE)


def run(command, arguments, capsys, code=0):
    try:
        assert command.main([str(word) for word in arguments]) == code
    except SystemExit as stop:
        assert stop.code == code
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out, [line for line in err.splitlines() if ": model: " not in line]


def listed(**changes):
    """A manifest of both recordings, of which the first is changed."""
    utterances = [Utterance(n, "me", f"talks/{n}.wav", 0.2, text="a") for n in ("a", "b")]
    write_manifest("m.jsonl", [replace(utterances[0], **changes), utterances[1]])
    return "m.jsonl"


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (encode, ["--src", ""]),
        (encode, ["--src", "talks", "--out", ""]),
        (convert, ["--src", "", "--speaker", "p225"]),
        (convert, ["--src", "talks/a.wav", "--speaker", "p225", "--out", ""]),
        (decode, ["--codes", "c.txt", "--speaker", "p225", "--out", ""]),
        (enroll, ["--name", "me", "--wavs", "", "--out", "new"]),
        (align, ["m.jsonl", "--out", ""]),
        (train, ["--config", "c.yaml", "--out", ""]),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else x.__name__.rpartition(".")[2],
)
def test_an_empty_value_is_not_the_working_folder(command, arguments, capsys):
    before = sorted(Path().rglob("*"))
    _, errors = run(command, arguments, capsys, code=2)
    assert len(errors) == 1 and "an empty value" in errors[0]
    assert sorted(Path().rglob("*")) == before


def test_what_is_no_file_among_recordings(capsys):
    os.mkfifo("talks/pipe.wav")
    os.symlink("loop.wav", "talks/loop.wav")
    options = ["--src", "talks", "--speaker", "p225", "--out", "out"]
    out, errors = run(convert, options, capsys, code=2)
    assert sorted(out.splitlines()) == ["out/a-p225.wav", "out/b-p225.wav"]
    assert len(errors) == 2
    assert any("talks/pipe.wav: not a regular file" in line for line in errors)
    assert any("talks/loop.wav: " in line for line in errors)
    given = ["--name", "me", "--wavs", "talks", "--out", "new"]
    _, errors = run(enroll, given, capsys, code=2)  # nor is a pipe waited for
    assert any("talks/pipe.wav: not a regular file" in line for line in errors)
    assert "speech in 2 usable recordings" in errors[-1]


@pytest.mark.parametrize("options", [[], ["--format", "npz"], ["--format", "units"]], ids=str)
def test_an_output_is_no_recording_of_the_manifest(options, capsys):
    manifest = listed()
    before = Path("talks/b.wav").read_bytes()
    given = ["--manifest", manifest, "--out", "talks/b.wav", *options]
    _, errors = run(encode, given, capsys, code=2)
    assert len(errors) == 1 and "would overwrite this source" in errors[0]
    _, errors = run(align, [manifest, "--out", "talks/b.wav"], capsys, code=2)
    assert len(errors) == 1 and "would overwrite this source" in errors[0]
    assert Path("talks/b.wav").read_bytes() == before


def test_an_alignment_looks_at_its_output_first(capsys):
    _, errors = run(align, [listed(), "--out", "talks"], capsys, code=2)
    assert len(errors) == 1 and "a folder stands where" in errors[0]
    _, errors = run(align, ["m.jsonl", "--ctc-weights", "w.pt"], capsys, code=2)
    assert len(errors) == 1 and "give that as well" in errors[0]


def test_a_recording_that_is_shorter_than_its_manifest_says(capsys):
    manifest = listed(duration=3.0)
    message = "holds 0.20 s from 0.00 s on, where 3.00 s were expected"
    _, errors = run(encode, ["--manifest", manifest, "--out", "c.txt"], capsys, code=2)
    assert len(errors) == 1 and message in errors[0]
    options = ["--manifest", manifest, "--speaker", "p225", "--out", "out"]
    out, errors = run(convert, options, capsys, code=2)
    assert out == "out/p225/b.wav\n"
    assert len(errors) == 1 and message in errors[0]


def test_an_id_that_is_no_text(capsys):
    listed()
    text = Path("m.jsonl").read_text().replace('"id": "a"', '"id": "\\ud800"')
    Path("m.jsonl").write_text(text)
    options = ["--manifest", "m.jsonl", "--speaker", "p225", "--out", "out"]
    out, errors = run(convert, options, capsys, code=2)
    assert out == "out/p225/b.wav\n"
    assert len(errors) == 1 and "not UTF-8" in errors[0]
    options = ["--manifest", "m.jsonl", "--format", "textgrid", "--out", "grids"]
    out, errors = run(encode, options, capsys, code=2)
    assert out == "grids/b.TextGrid\n"
    assert len(errors) == 1 and "not UTF-8" in errors[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--temperature", "x"], "must be a number, got 'x'"),
        (["--top-p", "x"], "must be a number, got 'x'"),
        (["--guidance", "x"], "must be a number, got 'x'"),
        (["--seed", "9" * 5000], "must be a whole number, 0 or more, got '999"),
        (["--top-k", "1.5"], "must be a whole number, 1 or more, got '1.5'"),
        (["--pcm", "8000"], "--pcm: the samples come through a pipe"),
    ],
    ids=lambda x: x[0] if isinstance(x, list) else "",
)
def test_numbers_say_what_is_expected(options, message, capsys):
    given = ["--manifest", listed(), "--speaker", "p225", "--out", "out", *options]
    _, errors = run(convert, given, capsys, code=2)
    assert len(errors) == 1 and message in errors[0] and len(errors[0]) < 200


def test_json_is_utf_8_in_any_locale(tmp_path):
    os.rename("talks/a.wav", "talks/é.wav")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    for options in (["--json"], []):
        command = [sys.executable, "-m", "speechvq.cli.encode", "--src", "talks", *options]
        out = subprocess.run(command, capture_output=True, env=environment).stdout.decode("utf-8")
        if options:
            assert list(json.loads(out)["codes"]) == ["b", "é"]
        assert "é" in out


def test_json_tells_what_was_left_out(capsys):
    """Before anything was converted, too: what is not there, and outputs that are not ours."""
    Path("out").mkdir()
    Path("out/b-p225.wav").write_text("mine")
    options = ["--src", "talks", "gone.wav", "--speaker", "p225", "--out", "out", "--json"]
    out, errors = run(convert, options, capsys, code=2)
    outcome = json.loads(out)
    assert [each["output"] for each in outcome["written"]] == ["out/a-p225.wav"]
    assert [f"speechvq-convert: error: {line}" for line in outcome["errors"]] == errors
    assert any("gone.wav" in line for line in errors)
    assert any("did not write it" in line for line in errors)
    run(encode, ["--src", "talks", "--out", "c.txt"], capsys)
    options = ["--codes", "c.txt", "--speaker", "p225", "--out", "out", "--json"]
    out, errors = run(decode, options, capsys, code=2)
    (left_out,) = json.loads(out)["errors"]
    assert "out/b-p225.wav" in left_out and left_out in errors[0]


def test_variables_of_torchrun_that_are_no_numbers(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "many")
    _, errors = run(encode, ["--manifest", listed(), "--out", "c.txt"], capsys, code=2)
    assert len(errors) == 1 and "RANK and WORLD_SIZE" in errors[0]


def test_a_page_keeps_what_is_not_its_own(capsys, saved):
    Path("own").mkdir()
    Path("own/index.html").write_text("mine")
    Path("results/phonemes").mkdir(parents=True)
    Path("results/phonemes/scores.json").write_text("{bad")
    options = [saved, "--results", "results", "--out"]
    _, errors = run(report, [*options, "own"], capsys, code=2)
    assert len(errors) == 1 and "speechvq did not write it" in errors[0]
    assert Path("own/index.html").read_text() == "mine"
    for _ in range(2):  # a page is written again
        out, errors = run(report, [*options, "page"], capsys, code=2)
        assert out == "page/index.html\n"
        assert "phonemes/scores.json: damaged" in errors[0] and "left out" in errors[0]
    _, errors = run(report, [saved, "--results", "gone"], capsys, code=2)
    assert len(errors) == 1 and "--results gone: no such folder" in errors[0]


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.3])
def test_an_interrupt_while_a_command_starts(seconds):
    command = [sys.executable, "-m", "speechvq.cli.convert", "--src", "-", "--speaker", "p225"]
    process = subprocess.Popen(
        [*command, "--out", "o.wav"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with process:
        while b"speechvq" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
            time.sleep(0.001)
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        error = process.communicate()[1].decode()
    if "interrupted" not in error and "speechvq/" not in error:
        pytest.skip("Python itself was still starting")
    assert process.returncode == 130
    assert error.splitlines() and error.splitlines()[-1].endswith("interrupted")
