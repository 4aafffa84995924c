"""Runs a training command in processes that it kills, and resumes it until it is done.

python killing.py SEED KILLS REFERENCE ROUNDS ARGUMENTS…: runs speechvq-train with the arguments and
--out REFERENCE to its end; then with --resume and --out ROUNDS/0, ROUNDS/1, … until it has been
killed so often. Half of the kills come at a random time, half at a random call that writes: in the
middle of it, or before a file gets its name. Prints how many there were of each, as JSON.

A process is forked, so that torch is imported once, and killed by SIGKILL.
"""

import io
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What a training imports only when it is used is imported here, once
import sklearn.cluster  # noqa: F401
import torch
import torch._dynamo

import speechvq.training.prior
import speechvq.training.train  # noqa: F401
from speechvq.audio import writing
from speechvq.cli.train import main
from speechvq.training import metrics
from speechvq.training.checkpoint import LAST, read_header

calls, last = 0, 0
"""Calls that write, so far, and the one at which the process dies; 0 for none."""


def due() -> bool:
    """Count a call that writes; whether it is the last one."""
    global calls
    calls += 1
    return calls == last


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Bytes(io.FileIO):
    """A file of which half is written before the process dies."""

    def write(self, content: Any) -> int:
        if due():
            super().write(content[: len(content) // 2])
            die()
        return super().write(content)


def before(call: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*arguments: Any) -> Any:
        if due():
            die()
        return call(*arguments)

    return counted


def text(path: Path, mode: str, encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BufferedRandom(Bytes(path, mode + "+")), encoding)


os.replace, os.fsync = before(os.replace), before(os.fsync)
writing.open = Bytes  # type: ignore[attr-defined]
metrics.open = text  # type: ignore[attr-defined]


def started(arguments: list[str], at_call: int = 0) -> int:
    """The id of a process that trains; it dies at a call that writes."""
    global last
    process = os.fork()
    if not process:
        last = at_call
        code = 1
        try:
            code = main(arguments)
            Path(arguments[-1], "calls").write_text(str(calls))
        finally:
            os._exit(code)
    return process


def killed(process: int, after: float | None = None) -> bool:
    """Wait for a process, which is killed after some seconds; False if it has ended before."""
    if after is not None:
        time.sleep(after)
        os.kill(process, signal.SIGKILL)
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, f"exit code {os.WEXITSTATUS(status)}"
    return False


def run(seed: str, kills: str, reference: str, rounds: str, *arguments: str) -> None:
    began = time.monotonic()
    assert not killed(started([*arguments, "--out", reference]))
    whole = time.monotonic() - began, int(Path(reference, "calls").read_text())
    rng, count, number, done = random.Random(seed), {"time": 0, "call": 0}, 0, 0
    lives = max(2.0, int(kills) / 2)  # of a training, on average: kills are all over it
    while True:
        out = Path(rounds, str(number))
        again = [*arguments, "--resume", "--out", str(out)]
        share = 2 / lives * rng.random()
        if sum(count.values()) == int(kills):
            assert not killed(started(again))
            break
        if sum(count.values()) % 2:
            kind, gone = "time", killed(started(again), share * whole[0])
        else:
            kind, gone = "call", killed(started(again, 1 + int(share * whole[1])))
        if not gone:
            number, done = number + 1, 0
            continue
        count[kind] += 1
        if (out / LAST).exists():
            state = read_header(out / LAST)[0]
            assert state.global_step >= done, "a resume has begun again"
            done = state.global_step
        else:
            assert not done, "the last checkpoint is gone"
    print(json.dumps({**count, "trainings": number + 1}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    run(*sys.argv[1:])
