"""What the commands that train share: options, checks of manifests, and the end of a training."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import speechvq
from speechvq import signals
from speechvq.cli.errors import OK, SIGNALLED
from speechvq.cli.settings import SettingsParser


def let_threads_spin() -> None:
    """Let waiting threads spin for a while, as GNU OpenMP does by itself, unless told otherwise.

    To be called before torch is imported. A training measures on how many threads its steps are
    fastest (training/threads.py), and on cores of its own two threads that spin are a fifth faster
    than two that sleep. A number that is fixed by OMP_NUM_THREADS is not measured.
    """
    if speechvq._WAITS_BY_DEFAULT and "OMP_NUM_THREADS" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "300000")  # goes before OMP_WAIT_POLICY


def add_common(parser: SettingsParser) -> None:
    """The options of every training."""
    add = parser.add_argument
    add("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    add("--resume", action="store_true", help="go on from the last checkpoint of --out, if any")
    add("--overwrite", action="store_true", help="delete the training that --out holds")


def check_manifests(*paths: str) -> None:
    """FileNotFoundError for a manifest that is not there."""
    for path in paths:
        if not Path(path).exists():
            raise FileNotFoundError(f"{path}: no such manifest; speechvq-prepare makes it")


def finished(train: Callable[[], Path]) -> int:
    """Run a training, and print its folder or how to go on."""
    from speechvq.distributed import rank
    from speechvq.training.trainer import Interrupted

    try:
        folder = train()
    except Interrupted as stopped:
        if rank() == 0:
            print(
                f"speechvq-train: {signals.said(stopped)} ({stopped}); the same command with "
                "--resume goes on",
                file=sys.stderr,
            )
        return SIGNALLED + stopped.number
    if rank() == 0:
        print(folder)
    return OK
