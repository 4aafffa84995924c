"""speechvq-demo: its mistakes, and a server from its start to its end."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from speechvq import model_folder
from speechvq.cli.demo import main
from speechvq.model import Model

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def working_folder(tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)
    torch.manual_seed(0)
    model = Model(tiny_config, ["p225"]).eval()
    model_folder.save_model("exp/tiny/vqvae", model, {}, "card")


def error_of(capsys, *arguments: str) -> str:
    """The error of a command that fails with one line."""
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    return err.splitlines()[-1]


def need_gradio() -> None:
    pytest.importorskip("gradio", reason="the demo is not tested: Gradio is missing")
    if shutil.which("ffmpeg") is None:
        pytest.importorskip("imageio_ffmpeg", reason="the demo is not tested: FFmpeg is missing")


@pytest.mark.parametrize("missing", ["gradio", "imageio_ffmpeg"])
def test_what_is_missing_is_named(capsys, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    if missing == "gradio":
        monkeypatch.setattr("speechvq.demo.serving._find_ffmpeg", lambda folder: None)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    expected = f"{missing} is missing: pip install 'speechvq[demo]'"
    assert error_of(capsys) == f"speechvq-demo: error: {expected}"


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "some"])
def test_minutes_out_of_range(capsys, minutes):
    assert "argument --max-minutes" in error_of(capsys, "--max-minutes", minutes)


def test_a_model_that_is_not_there(capsys):
    assert "nowhere: no such model folder" in error_of(capsys, "--model", "nowhere")


def test_a_port_that_is_taken(capsys, monkeypatch):
    need_gradio()
    monkeypatch.setattr(os, "environ", os.environ.copy())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = error_of(capsys, "--port", str(port))
    assert error.startswith(f"speechvq-demo: error: 127.0.0.1, port {port}: cannot listen there")


def test_a_number_that_is_no_port(capsys, monkeypatch):
    need_gradio()
    monkeypatch.setattr(os, "environ", os.environ.copy())
    error = error_of(capsys, "--port", "70000")
    assert error.startswith("speechvq-demo: error: 127.0.0.1, port 70000: cannot listen there")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_server_begins_and_leaves_nothing(tmp_path, host):
    need_gradio()
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "speechvq.cli.demo", "--host", host]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as server:
        try:
            address = server.stdout.readline()
            serving = list(temporary.glob("speechvq-demo-*"))
            server.send_signal(signal.SIGTERM)
            out, err = server.communicate(timeout=60)
        finally:
            server.kill()
    assert re.fullmatch(r"http://(127\.0\.0\.1|localhost|0\.0\.0\.0):\d+/\n", address), err
    assert len(serving) == 1
    assert (server.returncode, out) == (0, "")
    assert not list(temporary.glob("speechvq-demo-*"))
    warned = "whoever reaches this machine can use the demo" in err
    assert warned == (host == "0.0.0.0")
    assert "the model has no prior: no unconditional speech" in err
    assert "Traceback" not in err
