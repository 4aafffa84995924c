"""Training speed by number of threads, on a quiet machine and beside one busy core.

    python benchmarks/training.py --contention [--json]

A step is that of training.py: forward, loss, backward and Adam of the WaveNet decoder,
in bfloat16. It is taken in three processes: as speechvq-train does by default, on one thread, and
on all threads that spin while they wait, OpenMP's own way. The processes take turns, and the table
has medians. For the second column the script starts a program that never sleeps. On a machine that
others use, too, the first column is not what it says: the script tells how busy they were.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

from speechvq.cli.training import let_threads_spin

let_threads_spin()  # before torch is imported, as speechvq-train does
# ruff: noqa: E402
# isort: split
import torch
from measure import table
from training import decoder_step

from speechvq.distributed import Processes
from speechvq.training.checkpoint import State
from speechvq.training.threads import ThreadChooser, candidates

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
WAYS = {
    "by default": {},
    "one": {"OMP_NUM_THREADS": "1"},
    f"{CORES} that spin": {"OMP_NUM_THREADS": str(CORES), "GOMP_SPINCOUNT": "300000"},
}
"""Environments of the processes; 300,000 is what libgomp takes where nothing is said."""
LOADS = ("quiet", "beside one busy core")


def work() -> None:
    """Be one of the processes: for each line "SECONDS" on stdin print samples/s, and threads.

    "begin" begins a training anew.
    """
    step, samples = decoder_step()
    chooser, state = ThreadChooser(candidates(Processes(torch.device("cpu")))), State("decoder")
    chooser.begin(state)
    for line in sys.stdin:
        if line.strip() == "begin":
            state = State("decoder")
            chooser.begin(state)
            continue
        began, first = time.perf_counter(), state.step
        while state.step == first or time.perf_counter() - began < float(line):
            with chooser.step(state):
                step()
            state.step += 1
        seconds = time.perf_counter() - began
        print(samples * (state.step - first) / seconds, state.threads, flush=True)


@contextmanager
def worker(environment: dict[str, str]):
    """A process that works; yields how to ask it."""
    ours = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, str(Path(__file__).resolve())]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ours | environment
    )

    def ask(line: str) -> list[str]:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
        return [] if line == "begin" else process.stdout.readline().split()

    try:
        yield ask
    finally:
        process.stdin.close()
        process.wait()


@contextmanager
def load(busy: bool):
    """Keep one core busy, or none."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        yield
    finally:
        if process:
            process.kill()
            process.wait()


def measure(turns: int, seconds: float) -> dict[str, dict[str, list[list[float]]]]:
    """[samples/s, threads] of each way in every turn, by load."""
    found = {name: {way: [] for way in WAYS} for name in LOADS}
    with ExitStack() as stack:
        asks = {way: stack.enter_context(worker(WAYS[way])) for way in WAYS}
        for ask in asks.values():
            ask("0")  # returns when the first steps are done
        for name in LOADS:
            with load(name != "quiet"):
                for ask in asks.values():
                    ask("begin")
                for _ in range(turns):
                    for way, ask in asks.items():
                        found[name][way].append([float(x) for x in ask(str(seconds))])
    return found


def others_busy(seconds: float = 2.0) -> float:
    """Cores that programs keep busy now; 0 where /proc/stat is missing."""

    def counted() -> list[int]:
        return [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]

    if not Path("/proc/stat").exists():
        return 0.0
    before = counted()
    time.sleep(seconds)
    spent = [b - a for a, b in zip(before, counted(), strict=True)]
    return (1 - (spent[3] + spent[4]) / sum(spent)) * os.cpu_count()


def rows(found: dict[str, dict[str, list[list[float]]]]) -> list[dict]:
    """Rows of the table: medians, what they are of one thread's, and the threads chosen."""
    medians = {
        (name, way): [statistics.median(column) for column in zip(*turns, strict=True)]
        for name, ways in found.items()
        for way, turns in ways.items()
    }
    return [
        {"threads": way}
        | {f"{name}, samples/s": round(medians[name, way][0]) for name in LOADS}
        | {f"{name}, times": medians[name, way][0] / medians[name, "one"][0] for name in LOADS}
        | {f"{name}, threads": round(medians[name, way][1]) for name in LOADS}
        for way in WAYS
    ]


def main(turns: int, seconds: float, as_json: bool) -> int:
    """Measure and print the table."""
    busy = others_busy()
    found = measure(turns, seconds)
    busy = [busy, others_busy()]
    if as_json:
        print(json.dumps({"busy_cores": busy, "rows": rows(found)}, indent=1))
        return 0
    print(
        f"{CORES} cores, torch {torch.__version__}, medians of {turns} turns; before and after, "
        f"other programs kept {busy[0]:.1f} and {busy[1]:.1f} cores busy\n"
    )
    print(table(rows(found)))
    return 0


if __name__ == "__main__":
    work()
