"""Processes without streams, and users who may write nowhere."""

import os
import subprocess
import sys

import pytest

from speechvq import numba_cache

PRINT = """
import sys
from speechvq.cli.errors import check_stdout, command
@command
def main(argv=None):
    {check}
    print("said")
    with open(argv[0], "w") as file:
        file.write("done")
    raise {error}
sys.exit(main(sys.argv[1:]))
"""


def started_without(descriptors, path, check="pass", error="SystemExit(0)"):
    code = PRINT.format(check=check, error=error)
    closing = " ".join(f"{d}>&-" for d in descriptors)
    command = f'"{sys.executable}" -c "$CODE" "{path}" {closing}'
    done = subprocess.run(
        ["sh", "-c", command], env=os.environ | {"CODE": code}, capture_output=True, text=True
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("descriptors", ["1", "2", "12", "012"])
def test_the_work_is_done_without_streams(tmp_path, descriptors):
    code, said = started_without(descriptors, tmp_path / "a")
    assert (code, said) == (0, "")
    assert (tmp_path / "a").read_text() == "done", "nothing else was written to its descriptor"
    assert started_without(descriptors, tmp_path / "a", error="ValueError(3)")[0] == 2


def test_a_result_for_stdout_needs_one(tmp_path):
    code, said = started_without("1", tmp_path / "a", check="check_stdout('--out')")
    assert code == 2
    assert said.endswith("use --out\n")
    assert started_without("2", tmp_path / "a", check="check_stdout('--out')")[0] == 0


def test_numba_gets_a_folder_only_where_it_has_none(tmp_path, monkeypatch):
    monkeypatch.delenv(numba_cache.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "made"))
    numba_cache.provide()
    assert numba_cache.VARIABLE not in os.environ
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("atexit.register", lambda *_, **__: None)
    numba_cache.provide()
    assert os.environ[numba_cache.VARIABLE].startswith(str(tmp_path))
    monkeypatch.delenv(numba_cache.VARIABLE)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    numba_cache.provide()
    assert numba_cache.VARIABLE not in os.environ
