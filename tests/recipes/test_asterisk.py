"""The recipe of recorded prompts, with a stand-in for Python that writes down what it is to run."""

import os
import subprocess
from pathlib import Path

import pytest

RECIPE = Path(__file__).parents[2] / "recipes" / "asterisk" / "run.sh"
STUB = """#!/usr/bin/env bash
echo "$@" >> "$CALLS"
if [[ $* == *cli.prepare* ]]; then
    [[ $WRITES == no ]] || { mkdir -p "$EXP/data"; echo '{}' > "$EXP/data/train.jsonl"; }
    exit 2
fi
"""


@pytest.mark.parametrize("writes", ["yes", "no"])
def test_a_prompt_that_cannot_be_used_does_not_stop_the_recipe(tmp_path, writes):
    """As in recipes/vctk/run.sh: prepare exits with 2, but the manifests are there."""
    python, calls, exp = tmp_path / "python", tmp_path / "calls", tmp_path / "exp"
    python.write_text(STUB)
    python.chmod(0o755)
    (exp / "sounds" / "usr").mkdir(parents=True)
    options = [str(exp), "--conf", "tiny.yaml", "--stop-stage", "2"]
    done = subprocess.run(
        ["bash", str(RECIPE), *options],
        env={
            **os.environ,
            **{"PYTHON": str(python), "CALLS": str(calls), "EXP": str(exp), "WRITES": writes},
        },
        capture_output=True,
        text=True,
    )
    trained = "speechvq.cli.train" in calls.read_text()
    assert (done.returncode == 0) == trained == (writes == "yes"), done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--stage", "1"], "stages 2 to 7 of recipes/vctk follow"),
        (["--stage=01"], "stages 2 to 7 of recipes/vctk follow"),
        (["--exp-dir", "other"], "the folder is the first argument"),
        (["--exp-dir=other"], "the folder is the first argument"),
        (["--db-root", "other"], "the data are Asterisk's prompts"),
        (["--foo"], "unknown option '--foo'"),
    ],
    ids=str,
)
def test_options_are_looked_at_before_anything_is_downloaded(tmp_path, options, says):
    """And none lets stages of another corpus write over this one."""
    calls = tmp_path / "calls"
    python = tmp_path / "python"
    python.write_text(STUB)
    python.chmod(0o755)
    for folder in ([], [str(tmp_path / "exp")]):
        done = subprocess.run(
            ["bash", str(RECIPE), *folder, *options],
            env={**os.environ, "PYTHON": str(python), "CALLS": str(calls)},
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert says in line
    assert not calls.exists() and sorted(p.name for p in tmp_path.iterdir()) == ["python"]


def test_help_anywhere():
    for options in (["--help"], ["exp", "--stage", "3", "-h"]):
        done = subprocess.run(["bash", str(RECIPE), *options], capture_output=True, text=True)
        assert done.returncode == 0 and done.stdout.startswith("usage: ")
