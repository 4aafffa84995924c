"""Trainings of every stage, to be run in one process or in several that share each batch."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from speechvq.cli.train import main
from speechvq.config import (
    CepstraStage,
    DataConfig,
    DecoderStage,
    LabelsStage,
    LikelihoodStage,
    LoopConfig,
    MelPredictorStage,
    MelStage,
    ModelConfig,
    PerturbationConfig,
    PriorConfig,
    PriorStage,
    StageConfig,
    TrainingConfig,
    WaveNetConfig,
)
from speechvq.data.segments import Batch
from speechvq.distributed import Processes, processes
from speechvq.training.prior import train_prior
from speechvq.training.train import train
from speechvq.training.trainer import Trainer

ROWS = "rows.json"
"""What `watched` saw, beside the metrics of a training."""
TRAINING = TrainingConfig(
    precision="float32",
    log_every=1,
    valid_every=4,
    checkpoint_every=3,
    valid_utterances=2,
    samples=0,
    workers=0,
    tensorboard=False,
)
PRIOR = PriorConfig(condition_channels=4, wavenet=WaveNetConfig(2, 2, 2, 8, 8, 16, dropout=0.3))

Case = tuple[ModelConfig, Sequence[StageConfig]]


def cases(tiny: ModelConfig, streaming: ModelConfig, labels: str) -> dict[str, Case]:
    """Every objective, both ways to learn a codebook, product codes, and all that is random."""
    few: dict[str, Any] = {"batch_size": 6, "learning_rate": 3e-3, "warmup_steps": 2, "steps": 5}
    changed = PerturbationConfig(speed=0.1, equaliser=3.0, gain=6.0, noise=0.5)
    mel = MelStage(segment_length=1600, perturbation=changed, **few)
    predictor = MelPredictorStage(segment_length=1600, codebook="keep", **few)
    decoder = DecoderStage(segment_length=400, input_noise=2.0, **few)
    likelihood = LikelihoodStage(segment_length=512, input_noise=2.0, **few)
    wavenet = replace(tiny.decoder.wavenet, dropout=0.2)  # type: ignore[union-attr]
    tiny = replace(tiny, decoder=replace(tiny.decoder, wavenet=wavenet))
    # So high that codes restart at many steps
    moving = replace(tiny.quantizer, decay=0.9, restart_below=0.5)
    by_loss = replace(moving, update="loss")
    both = replace(streaming.quantizer, decay=0.9, restart_below=0.5)
    return {
        "ema": (
            replace(tiny, quantizer=moving),
            (
                CepstraStage(segment_length=512, **few),
                replace(mel, codebook="whitened"),
                likelihood,
            ),
        ),
        "loss": (
            replace(tiny, quantizer=by_loss),
            (
                LabelsStage(labels=labels, segment_length=2048, **few),
                replace(predictor, perturbation=changed),
                likelihood,
                decoder,
            ),
        ),
        "product": (replace(streaming, quantizer=both), (mel, predictor, decoder)),
    }


def train_all(
    trained: Mapping[str, Case], data: DataConfig, folder: str, seed: int, model: str
) -> None:
    """Train all cases into a folder, and a prior of product codes on `model`."""
    torch.set_num_threads(1)
    manifests = {"train": data.train, "valid": data.valid}
    with processes("cpu") as group:
        for name, (config, stages) in trained.items():
            with watched(group, Path(folder, name)):
                train(config, data, stages, replace(TRAINING, seed=seed), Path(folder, name))
        out, stage = Path(folder, "prior"), PriorStage(steps=5, batch_size=6, segment_length=64)
        loop = {name: getattr(TRAINING, name) for name in LoopConfig.__dataclass_fields__}
        with watched(group, out):
            train_prior(model, PRIOR, stage, LoopConfig(**loop), manifests, out)


@contextmanager
def watched(group: Processes, folder: Path) -> Iterator[None]:
    """Write checksums of the rows of each step; all processes must have the same weights.

    Raises
    ------
    AssertionError
        After a step, when the weights or buffers of two processes differ in a bit.
    """
    step = Trainer._step
    rows: list[list[int]] = []

    def seen(self: Trainer, *arguments: Any) -> None:
        batch = arguments[3]
        if isinstance(batch, Batch):  # codes are of weights that differ by rounding
            batch = batch._replace(codes=None)
        own = zip(*(x.numpy() for x in batch if x is not None), strict=True)
        checksums = [zlib.crc32(b"".join(x.tobytes() for x in row)) for row in own]
        rows.append([row for part in group.gather_objects(checksums) for row in part])
        step(self, *arguments)
        digest = hashlib.sha256()
        for module in self.modules.values():
            for tensor in module.state_dict().values():
                digest.update(tensor.numpy().tobytes())
        of_all = group.gather_objects(digest.hexdigest())
        assert len(set(of_all)) == 1, f"{self.state}: {of_all}"

    with patch.object(Trainer, "_step", seen), ours(group):
        yield
    if group.first:
        (folder / ROWS).write_text(json.dumps(rows))


@contextmanager
def ours(group: Processes) -> Iterator[None]:
    """Let trainings run in a group that is there."""
    with ExitStack() as stack:
        for module in ("train", "prior"):
            name = f"speechvq.training.{module}.processes"
            stack.enter_context(patch(name, lambda device: nullcontext(group)))
        yield


def command(argv: list[str], killed: int = -1, after: int = 0) -> int:
    """Run speechvq-train; the process of rank `killed` is killed after so many steps."""
    torch.set_num_threads(1)
    step = Trainer._step

    def last(self: Trainer, *arguments: Any) -> None:
        if self.processes.rank == killed and self.state.global_step == after:
            os.kill(os.getpid(), signal.SIGKILL)
        step(self, *arguments)

    with patch.object(Trainer, "_step", last):
        return main(argv)
