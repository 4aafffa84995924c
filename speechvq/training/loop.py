"""The training loop, one for every model: phases of steps, with all that surrounds a step.

A phase brings a module whose `forward(*batch)` returns a `StepOutput`, and its batches by step; the
loop knows nothing else of the model.
"""

import logging
import math
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from speechvq.config import LoopConfig, PhaseConfig
from speechvq.training.checkpoints import (
    BEST,
    LAST,
    State,
    load_optimizer,
    load_weights,
    read_header,
    save_checkpoint,
)
from speechvq.training.meter import Meter
from speechvq.training.metrics import Metrics
from speechvq.training.precision import use_bfloat16
from speechvq.training.processes import Processes

logger = logging.getLogger(__name__)


@dataclass
class StepOutput:
    """What a phase's module makes of a batch."""

    loss: Tensor
    """A scalar, to be minimised."""
    metrics: dict[str, Tensor] = field(default_factory=dict)
    """Scalars to log, beside the loss."""
    codes: Tensor | None = None
    """The codes of the batch, any shape, to count their use."""


@dataclass
class Validation:
    """Scores on held-out data."""

    metrics: dict[str, float]
    score: float | None
    """What the best checkpoint has least of; None when this moment cannot be the best."""
    sounds: dict[str, tuple] = field(default_factory=dict)
    """Name to (waveform (T,), sample rate in Hz)."""


@dataclass
class Phase:
    """A stretch of steps that train the same parameters for the same loss."""

    name: str
    module: nn.Module
    """`forward(*batch)` returns a StepOutput."""
    parameters: Sequence[nn.Parameter]
    """What the phase trains; the module's other parameters are kept as they are."""
    config: PhaseConfig
    batches: Dataset
    """`batches[step]` is a tuple of tensors."""
    samples_per_step: int
    """Over all processes."""
    steps_per_epoch: int
    codebook_size: int
    validate: Callable[[Callable[[], bool]], Validation | None]
    """Takes a function that tells whether to break off, in which case it returns None."""
    before_step: Callable[[int], None] = lambda step: None
    workers: int = 0
    """Processes that load batches."""


class Interrupted(KeyboardInterrupt):
    """The user stopped the training; its last checkpoint is written. The message says where."""


def learning_rate(config: PhaseConfig, step: int) -> float:
    """Linear rise over `warmup_steps`, then a cosine down to a twentieth at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * (0.05 + 0.95 * (1 + math.cos(math.pi * min(1.0, done))) / 2)


class Loop:
    """Runs phases one after the other and keeps what a resume needs.

    A resumed training gives the very numbers of one that never stopped: batches and random numbers
    are functions of (seed, phase, step), and all else is in the checkpoint.

    Parameters
    ----------
    phases : sequence of Phase
    modules : mapping of str to Module
        All that checkpoints hold the weights of.
    config : LoopConfig
    settings : dict
        The whole configuration, kept in the checkpoints.
    folder : Path
        Model folder, for checkpoints and metrics.
    processes : Processes
    publish : callable
        Called in the first process, with the state, whenever the weights are the best so far.
    progress : bool
        Show a bar on stderr.
    """

    def __init__(
        self,
        phases: Sequence[Phase],
        modules: Mapping[str, nn.Module],
        config: LoopConfig,
        settings: dict,
        folder: Path,
        processes: Processes,
        publish: Callable[[State], None],
        progress: bool = True,
    ):
        self.phases = phases
        self.modules = modules
        self.config = config
        self.settings = settings
        self.folder = folder
        self.processes = processes
        self.publish = publish
        self.progress = progress and processes.first
        self.bfloat16 = use_bfloat16(config.precision, processes.device)
        self.state = State(phases[0].name)
        self._metrics: Metrics | None = None
        self._interrupted = False
        self._began = 0.0  # on the clock of time.perf_counter, earlier runs counted in
        self._saved_at = 0  # global step of the last checkpoint

    def run(self, resume: bool = False) -> State:
        """Train, from the beginning or from the last checkpoint, and return the final state.

        Raises
        ------
        Interrupted
            After Ctrl-C or a request to terminate; the checkpoint is written.
        ValueError
            The loss became infinite or NaN, or the checkpoint cannot be used.
        """
        last = self.folder / LAST
        resume = resume and last.exists()
        if resume:
            self.state, _ = read_header(last)
            load_weights(last, self.modules)
            if self.processes.first:
                logger.info("resuming phase %s after step %d", self.state.phase, self.state.step)
        self._began = time.perf_counter() - self.state.seconds
        self._saved_at = self.state.global_step
        if self.processes.first:
            self._metrics = Metrics(
                self.folder,
                self.config.tensorboard,
                self.state.metrics_size,
                self.state.global_step,
            )
        names = [phase.name for phase in self.phases]
        try:
            with self._signals():
                for phase in self.phases[names.index(self.state.phase) :]:
                    if phase.name != self.state.phase:
                        resume = False
                        self.state = State(phase.name, global_step=self.state.global_step)
                    self._run(phase, resume)
        finally:
            if self._metrics is not None:
                self._metrics.close()
        self._look_at_clock()
        return self.state

    def _run(self, phase: Phase, resume: bool) -> None:
        state, steps = self.state, phase.config.steps
        self._choose_parameters(phase)
        optimizer = torch.optim.Adam(
            phase.parameters,
            lr=phase.config.learning_rate,
            fused=self.processes.device.type in ("cpu", "cuda"),
        )
        meter = Meter(self.processes, phase.codebook_size)
        if resume:
            load_optimizer(self.folder / LAST, optimizer)
            meter.restore(state.meter)
        module = phase.module
        if self.processes.world_size > 1:
            module = DistributedDataParallel(module)
        batches = iter(self._loader(phase, state.step))
        busy, timed_steps = 0.0, 0
        with self._bar(phase) as bar:
            while True:
                self._between_steps(phase, optimizer, meter)
                if state.step == steps:
                    return
                started = time.perf_counter()
                rate = learning_rate(phase.config, state.step)
                self._step(phase, module, optimizer, rate, next(batches), meter)
                timed_steps += 1
                logging_due = state.step % self.config.log_every == 0 or state.step == steps
                means = self._means(meter) if logging_due else {}
                busy += time.perf_counter() - started
                if logging_due:
                    speed = timed_steps * phase.samples_per_step / busy
                    speeds = {"learning_rate": rate, "samples_per_second": round(speed)}
                    self._write("train", {**means, **speeds})
                    bar.set_postfix_str(
                        f"loss {means['loss']:.4g}, {speed:,.0f} samples/s", refresh=False
                    )
                    meter.clear()
                    busy, timed_steps = 0.0, 0
                if state.step % phase.steps_per_epoch == 0 or state.step == steps:
                    use = meter.end_epoch()
                    if use:  # none before the quantizer starts
                        self._write("epoch", {"epoch": state.step / phase.steps_per_epoch, **use})
                bar.update()

    def _step(
        self,
        phase: Phase,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        rate: float,
        batch: Sequence[Tensor],
        meter: Meter,
    ) -> None:
        """One step, wholly determined by (seed, phase, step) and what was learned before."""
        state, device = self.state, self.processes.device
        torch.manual_seed(zlib.crc32(f"{self.config.seed}/{phase.name}/{state.step}".encode()))
        phase.module.train()
        phase.before_step(state.step)
        batch = [x.to(device, non_blocking=True) for x in batch]
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bfloat16):
            output = module(*batch)
        optimizer.zero_grad(set_to_none=True)
        output.loss.backward()
        norm = nn.utils.clip_grad_norm_(phase.parameters, self.config.gradient_clip)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        state.step += 1
        state.global_step += 1
        meter.add({"loss": output.loss, **output.metrics, "gradient_norm": norm}, output.codes)

    def _between_steps(self, phase: Phase, optimizer: torch.optim.Optimizer, meter: Meter) -> None:
        """Validate and write a checkpoint when they are due; stop when the user wants it.

        A validation that the user breaks off is made up for by the resume.
        """
        state, steps, every = self.state, phase.config.steps, self.config
        stop = self.processes.any(self._interrupted)
        end = state.step == steps
        due = state.step > 0 and (end or state.step % every.valid_every == 0)
        if due and state.validated < state.step and not stop:
            stop = not self._validate(phase)
        due = state.step > 0 and (end or state.step % every.checkpoint_every == 0)
        if stop or (due and self._saved_at != state.global_step):
            self._means(meter)  # no checkpoint of a training that went astray
            state.meter = meter.saved()
            self._save(LAST, optimizer)
            self._saved_at = state.global_step
        if stop:
            raise Interrupted(f"phase {phase.name}, step {state.step} of {steps}")

    def _validate(self, phase: Phase) -> bool:
        """Validate; False when the user broke it off."""
        state = self.state
        alone = self.processes.world_size == 1
        phase.module.eval()
        validation = phase.validate(lambda: alone and self._interrupted)
        if validation is None:
            return False
        state.validated = state.step
        self._write("valid", validation.metrics)
        if self._metrics is not None:
            for name, (waveform, sample_rate) in validation.sounds.items():
                self._metrics.sound(state.phase, name, waveform, sample_rate, state.global_step)
        if validation.score is not None and (state.best is None or validation.score < state.best):
            state.best, state.best_global_step = validation.score, state.global_step
            state.validation = validation.metrics
            self._save(BEST)
            if self.processes.first:
                self.publish(state)
        return True

    def _means(self, meter: Meter) -> dict[str, float]:
        means = meter.means()
        if not all(map(math.isfinite, means.values())):
            raise ValueError(
                f"the loss became {means['loss']} before step {self.state.step} of phase "
                f"{self.state.phase}; lower its learning_rate, or train with precision float32"
            )
        return means

    def _save(self, name: str, optimizer: torch.optim.Optimizer | None = None) -> None:
        self._look_at_clock()
        if self._metrics is not None:
            self.state.metrics_size = self._metrics.size
            save_checkpoint(self.folder / name, self.modules, self.state, self.settings, optimizer)
        self.processes.wait()

    def _write(self, kind: str, values: dict[str, float]) -> None:
        self._look_at_clock()
        if self._metrics is not None:
            state = self.state
            values = {**values, "seconds": round(state.seconds, 1)}
            self._metrics.write(kind, state.phase, state.step, state.global_step, values)

    def _look_at_clock(self) -> None:
        self.state.seconds = time.perf_counter() - self._began

    def _choose_parameters(self, phase: Phase) -> None:
        """Let gradients reach what the phase trains and nothing else."""
        trained = {id(p) for p in phase.parameters}
        for p in phase.module.parameters():
            p.requires_grad_(id(p) in trained)

    def _bar(self, phase: Phase) -> tqdm:
        return tqdm(
            total=phase.config.steps,
            initial=self.state.step,
            desc=phase.name,
            unit="step",
            disable=not self.progress,
            mininterval=0.2 if sys.stderr.isatty() else 30,  # a log file gets a line now and then
            dynamic_ncols=True,
        )

    def _loader(self, phase: Phase, first: int) -> DataLoader:
        return DataLoader(
            phase.batches,
            batch_size=None,
            sampler=range(first, phase.config.steps),
            num_workers=phase.workers,
            worker_init_fn=_quiet_worker if phase.workers else None,
            pin_memory=self.processes.device.type == "cuda",
            prefetch_factor=4 if phase.workers else None,
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let Ctrl-C and termination end the training after the running step; a second, at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number, frame):
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True
            if self.processes.first:
                logger.info("finishing the step and writing a checkpoint; again to stop at once")

        before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _quiet_worker(worker: int) -> None:
    """Leave Ctrl-C to the process that trains."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
