"""The trainer: runs a list of stages, with exact resume, validation and checkpoints.

A stage brings an `Objective` and batches by step. The trainer knows nothing of models.
"""

import logging
import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from speechvq import signals
from speechvq.config import LoopConfig
from speechvq.distributed import Processes
from speechvq.progress import track
from speechvq.training.checkpoint import (
    BEST,
    LAST,
    State,
    load_optimizer,
    load_weights,
    prune,
    read_header,
    save_checkpoint,
)
from speechvq.training.faults import NORM, fault
from speechvq.training.gradients import (
    average_gradients,
    check_gradients,
    share_of_batch,
    share_state,
)
from speechvq.training.meter import Meter
from speechvq.training.metrics import Metrics
from speechvq.training.precision import use_bfloat16
from speechvq.training.stage import Stage, learning_rate
from speechvq.training.threads import ThreadChooser, candidates
from speechvq.training.validate import validate

logger = logging.getLogger(__name__)


class Interrupted(signals.Ended):
    """A signal ended the training; the last checkpoint is written. The message says where."""


class Trainer:
    """Runs stages one after the other and keeps what a resume needs.

    A resumed training gives exactly the numbers of a training without a stop: batches and random
    numbers are functions of (seed, stage, step), and all else is in the checkpoint.

    Parameters
    ----------
    stages : sequence of Stage
        Those without steps are left out.
    prepare : callable
        Moves a batch to the device and computes features; called without gradients, in float32.
    modules : mapping of str to Module
        Modules whose weights and buffers are in the checkpoints.
    config : LoopConfig
    settings : dict
        The whole configuration, which is kept in the checkpoints.
    folder : Path
        Model folder, for checkpoints and metrics.
    processes : Processes
    publish : callable
        Called in the first process, with the state, whenever a validation is the best so far.
    corpus : object
        Given to `Objective.start`.
    progress : bool
        Show progress on stderr.

    Raises
    ------
    ValueError
        No stage has steps, or two stages have the same name.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        prepare: Callable[[Any], Any],
        modules: Mapping[str, nn.Module],
        config: LoopConfig,
        settings: dict[str, Any],
        folder: Path,
        processes: Processes,
        publish: Callable[[State], None],
        corpus: Any = None,
        progress: bool = True,
    ):
        self.stages = [stage for stage in stages if stage.config.steps]
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"stages: expected different names, at least one, got {names}")
        self.prepare = prepare
        self.modules = modules
        self.config = config
        self.settings = settings
        self.folder = folder
        self.processes = processes
        self.publish = publish
        self.corpus = corpus
        self.progress = progress and processes.first
        self.bfloat16 = use_bfloat16(config.precision, processes.device)
        self.state = State(names[0])
        self._threads = ThreadChooser(candidates(processes))
        self._metrics: Metrics | None = None
        self._signal = 0  # that has asked to end the training
        self._began = 0.0  # on the clock of time.perf_counter, earlier runs included
        self._saved_at = 0  # global step of the last checkpoint

    def run(self, resume: bool = False) -> State:
        """Train, from the beginning or from the last checkpoint, and return the final state.

        Raises
        ------
        Interrupted
            After Ctrl-C or a request to terminate; the checkpoint is written.
        ValueError
            The loss became infinite or NaN, a trained parameter got no gradient, or the
            checkpoint cannot be used.
        """
        last = self.folder / LAST
        if resume := resume and last.exists():
            self.state, _ = read_header(last)
            if self.state.best is not None:
                self._check_best()
            load_weights(last, self.modules)
            if self.processes.first:
                logger.info("resuming stage %s after step %d", self.state.stage, self.state.step)
        self._began = time.perf_counter() - self.state.seconds
        self._saved_at = self.state.global_step
        if self.processes.first:
            self._metrics = Metrics(
                self.folder,
                self.config.tensorboard,
                self.state.metrics_size,
                self.state.global_step,
            )
        first = [stage.name for stage in self.stages].index(self.state.stage)
        try:
            with signals.handled(self._stop, *signals.ALL):
                for stage in self.stages[first:]:
                    if stage.name != self.state.stage:
                        resume = False
                        self.state = self.state.next(stage.name)
                    self._run(stage, resume)
        finally:
            self._threads.end()
            if self._metrics is not None:
                self._metrics.close()
        self._read_clock()
        return self.state

    def _check_best(self) -> None:
        """Forget the best checkpoint if it cannot be read; the next validation writes another."""
        try:
            load_weights(self.folder / BEST, self.modules)
        except (ValueError, OSError) as error:
            self.state.best, self.state.validated = None, 0
            if self.processes.first:
                logger.warning("%s; going on from %s until the next validation", error, LAST)
        self.processes.wait()  # a first validation must not replace what others still read

    def _run(self, stage: Stage, resume: bool) -> None:
        state, steps, objective = self.state, stage.config.steps, stage.objective
        self._threads.begin(state)
        if not resume:
            self._start(stage)
        optimizer = self._optimizer(stage)
        meter = Meter(self.processes, stage.codebook_size, stage.codebooks)
        if resume:
            load_optimizer(self.folder / LAST, optimizer)
            meter.restore(state.meter)
        else:
            self._checkpoint(stage, optimizer, meter)
        stage.begin()
        parallel: nn.Module | None = None  # made after the first step, which checks gradients
        busy, timed_steps = 0.0, 0
        shown: Any = {"shown": self.progress, "total": steps, "initial": state.step}
        bar: Any
        loader = stage.loader(state.step, self.processes.device)
        with closing(loader) as batches, track(None, stage.name, " steps", **shown) as bar:
            while True:
                self._between_steps(stage, optimizer, meter)
                if state.step == steps:
                    return
                started = time.perf_counter()
                if state.step > 0 and parallel is None:
                    alone = self.processes.world_size == 1
                    parallel = objective if alone else DistributedDataParallel(objective)
                with self._threads.step(state):
                    self._step(stage, parallel or objective, optimizer, next(batches), meter)
                timed_steps += 1
                logging_due = state.step % self.config.log_every == 0 or state.step == steps
                means = self._means(stage, meter) if logging_due else {}
                busy += time.perf_counter() - started
                if logging_due:
                    speed = timed_steps * stage.samples_per_step / busy
                    means["learning_rate"] = optimizer.param_groups[0]["lr"]
                    self._write("train", {**means, "samples_per_second": round(speed)})
                    text = f"loss {means['loss']:.4g}, {speed:,.0f} samples/s"
                    bar.set_postfix_str(text, refresh=False)
                    meter.clear()
                    busy, timed_steps = 0.0, 0
                epoch_ends = state.step % stage.steps_per_epoch == 0 or state.step == steps
                if epoch_ends and (use := meter.end_epoch()):  # none without codes
                    self._write("epoch", {"epoch": state.step / stage.steps_per_epoch, **use})
                bar.update()

    def _start(self, stage: Stage) -> None:
        """Let the objective prepare the stage, with the same result in every process."""
        torch.manual_seed(self._seed(stage, "start"))
        with torch.no_grad():
            stage.objective.start(self.corpus)
        if self.processes.world_size > 1:
            share_state(stage.objective)

    def _optimizer(self, stage: Stage) -> torch.optim.Optimizer:
        """Adam over the trained parameters; all others of the objective get no gradient."""
        parameters = stage.objective.trained()
        if not parameters:
            raise ValueError(
                f"stage {stage.name}: {type(stage.objective).__name__}.trained() is empty; "
                "expected at least one parameter; or leave the stage out"
            )
        trained = {id(p) for p in parameters}
        for p in stage.objective.parameters():
            p.requires_grad_(id(p) in trained)
        return torch.optim.Adam(
            parameters,
            lr=stage.config.learning_rate,
            fused=self.processes.device.type in ("cpu", "cuda"),
        )

    def _step(
        self,
        stage: Stage,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        batch: Any,
        meter: Meter,
    ) -> None:
        """One step, a function of (seed, stage, step) and of the weights before.

        The first step of a stage runs without DistributedDataParallel, which would wait for ever
        for a parameter without a gradient.
        """
        state, device, objective = self.state, self.processes.device, stage.objective
        torch.manual_seed(self._seed(stage, state.step))
        objective.train()
        with torch.no_grad():
            batch = self.prepare(batch)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            losses = module(batch)
        optimizer.zero_grad(set_to_none=True)
        share = share_of_batch(losses.weight, self.processes)
        (share * losses.total).backward()
        parameters = optimizer.param_groups[0]["params"]
        if state.step == 0:
            check_gradients(stage.name, objective, parameters, self.processes)
            average_gradients(parameters, self.processes)
        norm = nn.utils.clip_grad_norm_(parameters, self.config.gradient_clip)
        optimizer.param_groups[0]["lr"] = learning_rate(stage.config, state.step)
        optimizer.step()
        state.step += 1
        state.global_step += 1
        terms = {name: share * x for name, x in {"loss": losses.total, **losses.terms}.items()}
        meter.add({**terms, NORM: norm}, losses.codes)
        if state.step == stage.config.steps:
            with torch.no_grad():
                objective.finish()

    def _seed(self, stage: Stage, step: int | str) -> int:
        return zlib.crc32(f"{self.config.seed}/{stage.name}/{step}".encode())

    def _between_steps(self, stage: Stage, optimizer: torch.optim.Optimizer, meter: Meter) -> None:
        """Validate and write checkpoints when they are due; stop when the user wants it.

        A resume repeats a validation that the user interrupted.
        """
        state, steps, every = self.state, stage.config.steps, self.config
        stop = self.processes.any(self._signal > 0)
        end = state.step == steps
        due = state.step > 0 and (end or state.step % every.valid_every == 0)
        if due and state.validated < state.step and not stop:
            self._means(stage, meter)  # refuses to score weights that are NaN
            stop = not self._validate(stage)
        due = state.step > 0 and (end or state.step % every.checkpoint_every == 0)
        if stop or (due and self._saved_at != state.global_step):
            self._checkpoint(stage, optimizer, meter)
        if state.step > 0 and every.keep_every and state.global_step % every.keep_every == 0:
            self._save(state.kept)
            if self.processes.first and every.keep_last:
                prune(self.folder, every.keep_last)
        if stop:
            number = self._signal or signals.TERMINATE  # of another process
            raise Interrupted(number, f"stage {stage.name}, step {state.step} of {steps}")

    def _validate(self, stage: Stage) -> bool:
        """Validate; False when the user interrupted it."""
        state = self.state
        alone = self.processes.world_size == 1
        torch.manual_seed(self._seed(stage, "valid"))
        with torch.autocast(self.processes.device.type, torch.bfloat16, enabled=self.bfloat16):
            validation = validate(
                stage.objective,
                stage.held_out(),
                self.prepare,
                self.processes,
                stage.codebook_size,
                stage.codebooks,
                stop=lambda: alone and self._signal > 0,
            )
        if validation is None:
            return False
        if not math.isfinite(validation.score):
            raise ValueError(
                f"the loss of the held-out utterances became {validation.score} at step "
                f"{state.step} of stage {state.stage}; lower its learning_rate, or train with "
                "precision float32"
            )
        state.validated = state.step
        self._write("valid", validation.metrics)
        fault = validation.collapse() if state.step == stage.config.steps else None
        if fault and self.processes.first:
            logger.warning("stage %s: %s; docs/training.md#codebook-collapse", stage.name, fault)
        if self._metrics is not None and stage.listen is not None:
            for name, (waveform, sample_rate) in stage.listen().items():
                self._metrics.sound(state.stage, name, waveform, sample_rate, state.global_step)
        if state.best is None or validation.score < state.best:
            state.best, state.best_global_step = validation.score, state.global_step
            state.validation = validation.metrics
            self._save(BEST)
            if self.processes.first:
                self.publish(state)
        return True

    def _means(self, stage: Stage, meter: Meter) -> dict[str, float]:
        means = meter.means()
        if not all(map(math.isfinite, means.values())):
            raise ValueError(fault(stage, self.state.step, meter, self.processes))
        return means

    def _checkpoint(self, stage: Stage, optimizer: torch.optim.Optimizer, meter: Meter) -> None:
        """Write the last checkpoint, unless the loss is NaN or infinite."""
        self._means(stage, meter)
        self.state.meter = meter.saved()
        self._save(LAST, optimizer)
        self._saved_at = self.state.global_step

    def _save(self, name: str, optimizer: torch.optim.Optimizer | None = None) -> None:
        self._read_clock()
        if self._metrics is not None:
            self.state.metrics_size = self._metrics.size()
            save_checkpoint(self.folder / name, self.modules, self.state, self.settings, optimizer)
        self.processes.wait()

    def _write(self, kind: str, values: dict[str, float]) -> None:
        self._read_clock()
        if self._metrics is not None:
            state = self.state
            values = {**values, "seconds": round(state.seconds, 1)}
            self._metrics.write(kind, state.stage, state.step, state.global_step, values)

    def _read_clock(self) -> None:
        self.state.seconds = time.perf_counter() - self._began

    def _stop(self, number: int, _: FrameType | None) -> None:
        """Let a signal end the training after the current step; a second one, at once."""
        if self._signal:
            raise signals.Ended(number)
        self._signal = number
        if self.processes.first:
            logger.info("finishing the step and writing a checkpoint; again to stop at once")
