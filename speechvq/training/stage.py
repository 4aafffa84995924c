"""A stage of training, and its schedule of learning rates."""

import math
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from speechvq import signals
from speechvq.config import StageConfig
from speechvq.training.objective import Objective


@dataclass(frozen=True)
class Stage:
    """Consecutive steps with one objective.

    Attributes
    ----------
    name : str
        Unique among the stages; seeds the random numbers.
    config : StageConfig
        Of which the trainer reads `steps`, `learning_rate` and `warmup_steps`.
    objective : Objective
    batches : Dataset
        `batches[step]` is this process's part of the batch of a step.
    held_out : callable
        Returns this process's share of the held-out batches.
    samples_per_step : int
        Over all processes.
    steps_per_epoch : int
    codebook_size : int, optional
        K; None if there are no codes whose use is counted.
    codebooks : int
        G.
    workers : int
        Processes that load batches.
    begin : callable
        Called before the first batch of each run, a resumed one, too.
    listen : callable, optional
        Returns sounds to write after each validation: name to (waveform (T,), sample rate in Hz).
        Called in the first process alone.
    named : callable
        Names the segments of this process's batch of a step, for people.
    """

    name: str
    config: StageConfig
    objective: Objective
    batches: Dataset[Any]
    held_out: Callable[[], Iterable[Any]]
    samples_per_step: int
    steps_per_epoch: int
    codebook_size: int | None = None
    codebooks: int = 1
    workers: int = 0
    begin: Callable[[], None] = lambda: None
    listen: Callable[[], Mapping[str, tuple[np.ndarray, int]]] | None = None
    named: Callable[[int], list[str]] = lambda step: []

    def loader(self, first: int, device: torch.device) -> Generator[Any, None, None]:
        """The batches from a step on, for a device; closed, it ends the processes that load."""
        yield from DataLoader(
            self.batches,
            batch_size=None,
            sampler=range(first, self.config.steps),
            num_workers=self.workers,
            worker_init_fn=signals.leave_to_parent if self.workers else None,
            multiprocessing_context="fork" if self.workers else None,  # which copies no corpus
            pin_memory=device.type == "cuda",
            prefetch_factor=4 if self.workers else None,
        )


def learning_rate(config: StageConfig, step: int) -> float:
    """Linear rise over `warmup_steps`, then a cosine down to a twentieth at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (0.05 + 0.95 * (1 + math.cos(math.pi * min(1.0, progress))) / 2)
