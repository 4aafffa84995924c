"""Commands that are ended by a signal, or cannot write: one line, an exit code, and whole files."""

import errno
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from speechvq import audio, model_folder
from speechvq.audio import writing
from speechvq.cli import convert, encode, enroll, prepare, train
from speechvq.model import Model
from speechvq.settings import plain
from speechvq.training import enroll as enrolling
from speechvq.training.checkpoint import LAST, read_header

RATE = 8000
LOOP = {"precision": "float32", "log_every": 1, "checkpoint_every": 1, "tensorboard": False}
COMMANDS = {
    "prepare": (prepare, ["people", "--out", "data"]),
    "encode": (encode, ["--src", "people/ann", "--out", "codes.txt"]),
    "convert": (convert, ["--src", "short.wav", "--speaker", "p225", "--out", "out.wav"]),
    "enroll": (enroll, ["--name", "me", "--wavs", "people/ann", "--steps", "2"]),
    "train": (train, ["--config", "train.yaml", "--out", "trained"]),
    "train prior": (train, ["prior", "--config", "prior.yaml", "--train", "train.jsonl", "--valid",
                            "valid.jsonl", "--out", "prior"]),
}  # fmt: skip
EARLIER = {"data/train.jsonl": b"", "codes.txt": b"earlier codes", "out.wav": b"RIFF earlier"}
"""Outputs that are there before; enrolment adds to the model."""
TRAININGS = {"train": 2, "train prior": 4}
"""Which file is the checkpoint of the first step, of those that get their names."""


@pytest.fixture(autouse=True)
def working_folder(tiny_config, tiny_corpus, one_thread, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = Model(tiny_config, ["p225", "p226"]).eval()
    with torch.no_grad():
        model.vqvae.quantizer.initialise(model.latents(0.1 * torch.randn(1, 4000))[0])
    model_folder.save_model("model", model, {}, "card")
    monkeypatch.setenv("SPEECHVQ_MODEL", "model")
    rng = np.random.default_rng(0)
    audio.write("short.wav", 0.1 * rng.standard_normal(RATE // 10).astype(np.float32), RATE)
    os.mkdir("data")
    for path, content in EARLIER.items():
        with open(path, "wb") as file:
            file.write(content)
    for speaker in ("ann", "bob"):
        for i in range(4):
            noise = 0.1 * rng.standard_normal(4 * RATE).astype(np.float32)
            audio.write(f"people/{speaker}/{i}.wav", noise, RATE)
    for name in ("train", "valid"):
        os.symlink(getattr(tiny_corpus, name), f"{name}.jsonl")
    with open("roots.txt", "w") as file:
        file.write(f"{os.path.dirname(tiny_corpus.train)}\n")
    short = {"steps": 3, "batch_size": 2, "warmup_steps": 1}
    stages = [{"objective": "mel", "segment_length": 256, **short}]
    config = {"model": tiny_config, "data": tiny_corpus, "stages": stages,
              "training": {**LOOP, "samples": 0}}  # fmt: skip
    written("train.yaml", config)
    wavenet = {"layers": 2, "residual_channels": 8, "skip_channels": 8, "output_channels": 16}
    stages = [{"objective": "prior", "segment_length": 64, **short}]
    written("prior.yaml", {"prior": {"wavenet": wavenet}, "training": LOOP, "stages": stages})
    for name in ("STAGE", "MEL_STAGE"):
        shorter = replace(getattr(enrolling, name), segment_length=256)
        monkeypatch.setattr(enrolling, name, shorter)


@pytest.fixture
def in_a_terminal():
    """Signals as they are there: in the background of a script SIGINT is ignored."""
    default = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in default.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def written(path, config):
    with open(path, "w") as file:
        yaml.safe_dump(plain(config), file)


def contents(folder="."):
    """All files but the logs of a training, and the checkpoints that it goes on writing."""
    paths = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
    kept = [path for path in paths if "metrics.jsonl" not in path and "checkpoints" not in path]
    return {path: open(path, "rb").read() for path in kept}  # noqa: SIM115


def ended(name, capsys):
    """Exit code and last line of a command; nothing is left half written."""
    command, arguments = COMMANDS[name]
    code = command.main(arguments)
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert not [path for path in contents() if path.endswith(".tmp")]
    return code, err.splitlines()[-1] if err else ""


def at_replace(monkeypatch, moment, action):
    """Do something before the file gets its name that is the n-th to get one."""
    put, count = os.replace, 0

    def replace(*arguments):
        nonlocal count
        count += 1
        if count == moment:
            action()
        put(*arguments)

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize(
    ("name", "number", "code", "said"),
    [
        *((name, signal.SIGTERM, 143, "ended by SIGTERM") for name in COMMANDS),
        *((name, signal.SIGINT, 130, "interrupted") for name in ("encode", "train")),
        *((name, signal.SIGHUP, 129, "ended by SIGHUP") for name in ("encode", "train")),
    ],
)
def test_a_signal_ends_a_command(name, number, code, said, capsys, monkeypatch, in_a_terminal):
    before = contents()
    with monkeypatch.context() as patch:
        at_replace(patch, TRAININGS.get(name, 1), lambda: os.kill(os.getpid(), number))
        found, line = ended(name, capsys)
    assert found == code
    assert line.startswith(f"speechvq-{name.split()[0]}: {said}")
    if name in TRAININGS:
        assert line.endswith("; the same command with --resume goes on")
    else:
        assert line.endswith(said)
        assert contents() == before


@pytest.mark.parametrize(
    ("name", "fault"),
    [*((name, "full") for name in COMMANDS), ("encode", "read-only"), ("train", "read-only")],
)
def test_what_cannot_be_written(name, fault, capsys, monkeypatch):
    """The kernel refuses what is beyond so many bytes of a file; or a file cannot be made."""
    before = contents()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with monkeypatch.context() as patch:
        if fault == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        else:
            read_only = OSError(errno.EROFS, os.strerror(errno.EROFS))
            refusing = lambda *_: (_ for _ in ()).throw(read_only)  # noqa: E731
            patch.setattr(writing, "open", refusing, raising=False)
        try:
            code, line = ended(name, capsys)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 2
    assert line.startswith(f"speechvq-{name.split()[0]}: error: "), line
    reasons = {"full": ("File too large", "is the disk full?"), "read-only": ("Read-only file",)}
    assert any(reason in line for reason in reasons[fault]), line
    after = contents()
    assert {path: after[path] for path in before} == before
    small = {"speakers.json", "roots.txt"} if name == "prepare" else set()
    assert {os.path.basename(path) for path in set(after) - set(before)} <= small


@pytest.mark.parametrize("name", TRAININGS)
def test_a_full_disk_stops_a_training_that_goes_on(name, capsys, monkeypatch):
    """One line says what to do; the last checkpoint is that of before."""
    command, arguments = COMMANDS[name]

    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        at_replace(patch, TRAININGS[name], full)
        code, line = ended(name, capsys)
    assert code == 2
    advice = "No space left on device; free some space, and the same command with --resume goes on"
    assert line.endswith(advice), line
    assert command.main([*arguments, "--resume"]) == 0
    assert read_header(Path(arguments[-1], LAST))[0].step == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(("number", "code"), [("INT", 130), ("TERM", 143), ("HUP", 129)])
def test_a_process_is_ended_by_a_signal(name, number, code):
    """From outside, once a process writes."""
    command, arguments = COMMANDS[name]
    module = command.__name__
    if name in TRAININGS:
        arguments = [
            *arguments,
            f"--stages.{name.split()[-1].replace('train', 'mel')}.steps=100000",
        ]
    program = (
        f"import os, signal, sys, {module}, speechvq.audio.writing as w\n"
        "init = w._NewFile.__init__\n"
        "def told(self, path):\n"
        "    init(self, path)\n"
        f"    if {name in TRAININGS} and 'checkpoints' not in str(path): return\n"
        f"    os.kill(os.getpid(), signal.SIG{number})\n"
        "w._NewFile.__init__ = told\n"
        f"sys.exit({module}.main(sys.argv[1:]))\n"
    )
    default = partial(signal.signal, getattr(signal, f"SIG{number}"), signal.SIG_DFL)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, timeout=120, preexec_fn=default,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in contents() if path.endswith(".tmp")]
