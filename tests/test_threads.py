"""Threads that wait sleep, in every command and before anything reads how they wait.

A training's spin for a while: it measures on how many it is fastest.
"""

import configparser
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
OPENMP = ("torch", "sklearn", "numba")
"""Packages that read OMP_WAIT_POLICY when they are imported, or import one that does."""


def entry_points() -> list[str]:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    return [line.split("=")[1].strip() for line in lines]


WATCH = f"""
import json, os, sys
class Watch:
    found = []
    def find_spec(self, name, path=None, target=None):
        if name in {OPENMP}:
            Watch.found.append([os.environ.get(v) for v in {VARIABLES}])
sys.meta_path.insert(0, Watch())
"""


def at_first_import(program: str, wish: str | None) -> list[str | None]:
    """OMP_WAIT_POLICY and GOMP_SPINCOUNT when a program imports the first of OPENMP.

    They are those of its end if it imports none.
    """
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    end = "Watch().find_spec('torch')\nprint(json.dumps(Watch.found[0]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{WATCH}\n{program}\n{end}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment | ({"OMP_WAIT_POLICY": wish} if wish else {}),
        timeout=120,
    )
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_fixed_number_of_threads_sleeps(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    program = "from speechvq.cli.training import let_threads_spin\nlet_threads_spin()"
    assert at_first_import(program, None) == ["PASSIVE", None]


@pytest.mark.parametrize("entry", entry_points())
def test_every_command_but_a_training_lets_threads_sleep(entry, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    module, function = entry.split(":")
    program = (
        f"from {module} import {function}\ntry:\n    {function}(['--help'])\n"
        "except SystemExit:\n    pass"
    )
    spin = "300000" if module == "speechvq.cli.train" else None
    assert at_first_import(program, None) == ["PASSIVE", spin]


@pytest.mark.parametrize(
    "program",
    [
        "from speechvq.training.train import train",
        "import speechvq; speechvq.load",
        "import sys; sys.path.insert(0, 'recipes/vctk'); import units",
        "import sys; sys.path.insert(0, 'recipes/vctk'); import hmm_units",
    ],
)
def test_and_so_does_python(program):
    assert at_first_import(program, None) == ["PASSIVE", None]


@pytest.mark.parametrize("wish", ["ACTIVE", "PASSIVE"])
def test_ones_own_wish_stays(wish, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    program = "from speechvq.cli.training import let_threads_spin\nlet_threads_spin()"
    assert at_first_import(program, wish) == [wish, None]
