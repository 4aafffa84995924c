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
