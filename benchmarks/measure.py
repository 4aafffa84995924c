"""Measuring rates of tasks that take turns, and tables of the results."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Hashable

import numpy as np

from speechvq.data.manifest import Utterance

Task = Callable[[int], int]
"""Does a number of units of work and returns the amount of work."""


def rates(tasks: dict[Hashable, Task], options, units: int | None = None) -> dict[Hashable, list]:
    """Measure the work per second of each task in every turn; the tasks take turns.

    Without `units`, each task gets as many units as take about `options.seconds`.
    """
    units_of = {}
    for name, task in tasks.items():
        task(1)
        began = time.perf_counter()
        task(1)
        seconds = time.perf_counter() - began
        units_of[name] = units or max(1, round(options.seconds / seconds))
    found: dict[Hashable, list[float]] = {name: [] for name in tasks}
    for _ in range(options.repeats):
        for name, task in tasks.items():
            began = time.perf_counter()
            work = task(units_of[name])
            found[name].append(work / (time.perf_counter() - began))
    return found


def speed(turns: list[float], sample_rate: int) -> dict[str, float]:
    """Columns of a table for samples per second, in several turns; `sample_rate` in Hz."""
    median = round(statistics.median(turns))
    return {
        "samples_per_second": median,
        "lowest_to_highest": [round(min(turns)), round(max(turns))],
        "times_real_time": median / sample_rate,
    }


def repeating(operation: Callable[[], object], work: int) -> Task:
    """Task that repeats an operation of a known amount of work."""

    def repeat(times: int) -> int:
        for _ in range(times):
            operation()
        return times * work

    return repeat


def balanced(utterances: list[Utterance], count: int) -> list[Utterance]:
    """Choose `count` utterances: the first of each speaker, then the second of each, and so on."""
    turn: Counter[str] = Counter()
    turns = []
    for utterance in utterances:
        turns.append(turn[utterance.speaker])
        turn[utterance.speaker] += 1
    return [utterances[i] for i in np.argsort(turns, kind="stable")[:count]]


def table(rows: list[dict]) -> str:
    """Format rows with the same keys as a Markdown table."""

    def cell(value) -> str:
        if isinstance(value, list):
            return " to ".join(map(cell, value))
        if isinstance(value, float):
            return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        return f"{value:,}" if isinstance(value, int) else str(value)

    lines = [[key.replace("_", " ") for key in rows[0]], ["---"] * len(rows[0])]
    lines += [[cell(value) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
