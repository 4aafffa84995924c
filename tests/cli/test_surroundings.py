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
    # Nor can the folder that was given be written to; and there is no temporary one
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(OSError, match="set NUMBA_CACHE_DIR or TMPDIR"):
        numba_cache.provide()


def test_a_user_without_a_home(monkeypatch, tmp_path):
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setenv("HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # is not enough for other packages
    monkeypatch.delenv(numba_cache.VARIABLE, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("atexit.register", lambda *_, **__: None)
    numba_cache.provide()
    assert os.environ[numba_cache.VARIABLE].startswith(str(tmp_path))
    assert os.environ["HOME"] == os.environ[numba_cache.VARIABLE]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_letters_that_stdout_does_not_have(encoding):
    code = PRINT.format(check=r"print('na\u00efve \u2026 \udce9')", error="SystemExit(0)")
    done = subprocess.run(
        [sys.executable, "-c", code, os.devnull],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
    )
    assert done.returncode == 0 and not done.stderr
    assert rb"ve \u2026 \udce9" in done.stdout
