"""A training in a folder: resume or start, train, load the best weights, publish.

The frame that all trainings share; what is trained comes as a `Plan`.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from speechvq.config import LoopConfig
from speechvq.data.manifest import Utterance
from speechvq.distributed import Processes
from speechvq.model_folder import CARD, CONFIG, SPEAKERS, WEIGHTS
from speechvq.training import metrics
from speechvq.training.checkpoint import BEST, FOLDER, LAST, State, load_weights, read_header
from speechvq.training.stage import Stage
from speechvq.training.trainer import Trainer

logger = logging.getLogger(__name__)

_FREE = ("training.workers", "training.samples", "training.tensorboard")
"""Settings that a resume may change, since no number depends on them."""


@dataclass(frozen=True)
class Plan:
    """What a training trains and what it writes.

    Attributes
    ----------
    stages : sequence of Stage
    modules : mapping of str to Module
        Modules whose weights and buffers are in the checkpoints.
    prepare : callable
        Moves a batch to the device and computes features.
    publish : callable
        Writes the model folder with the current weights; called in the first process, during the
        last stage alone, whenever a validation is the best so far, and at the end.
    corpus : object
        Given to `Objective.start`.
    """

    stages: Sequence[Stage]
    modules: Mapping[str, nn.Module]
    prepare: Callable[[Any], Any]
    publish: Callable[[State], None]
    corpus: Any = None


def run_training(
    out: Path,
    settings: Mapping[str, Any],
    config: LoopConfig,
    build: Callable[[bool], Plan],
    processes: Processes,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> State:
    """Train in a folder and leave the best weights of the last stage there.

    Nothing is deleted before `build` has returned in every process.

    Parameters
    ----------
    out
        Folder for metrics, checkpoints and what `Plan.publish` writes.
    settings
        All settings as plain values; a resume must have the same. The key `fingerprint` is that
        of the training set (`fingerprint`).
    config
        Seed and intervals.
    build
        Builds models and stages; called once, after `torch.manual_seed(config.seed)`, with
        whether the training is resumed.
    processes
        The process group.
    resume
        Continue from the folder's last checkpoint, if there is one.
    overwrite
        Delete a training that is in the folder.
    progress
        Show progress on stderr.

    Raises
    ------
    ValueError
        The folder holds a training already, or one with other settings.
    Interrupted
        The user stopped the training; the last checkpoint is written.
    """
    settings = json.loads(json.dumps(settings))  # tuples become lists, as in a checkpoint
    resume = resumes(out, settings, resume, overwrite)
    torch.manual_seed(config.seed)
    plan = build(resume)
    last = [stage.name for stage in plan.stages][-1]

    def publish(state: State) -> None:
        if state.stage == last:  # an unfinished model must not be taken for a finished one
            plan.publish(state)

    trainer = Trainer(
        plan.stages,
        plan.prepare,
        plan.modules,
        config,
        settings,
        out,
        processes,
        publish,
        plan.corpus,
        progress,
    )
    processes.wait()  # delete only after every process has accepted the settings
    if processes.first and not resume:
        clear(out)
    processes.wait()
    state = trainer.run(resume)
    if (out / BEST).exists():
        load_weights(out / BEST, plan.modules)
    if processes.first:
        publish(state)  # again, with the time of the whole training
    processes.wait()
    return state


def resumes(out: Path, settings: dict, resume: bool, overwrite: bool) -> bool:
    """Whether there is a training to resume; refuse to lose a training without `overwrite`.

    Raises
    ------
    ValueError
        The folder holds a training already, or one with other settings.
    """
    if resume and (out / LAST).exists():
        _check_same(read_header(out / LAST)[1], settings)
        return True
    if resume and not (out / WEIGHTS).exists():
        logger.info("%s holds no checkpoint yet; starting from the beginning", out)
    elif resume and not overwrite:
        raise ValueError(
            f"{out}: holds a model, but no {LAST} to resume from; --overwrite starts again, and "
            "another --out leaves it alone"
        )
    elif not overwrite and any((out / name).exists() for name in (WEIGHTS, metrics.FILE, FOLDER)):
        raise ValueError(
            f"{out}: holds a training already; --resume continues it, --overwrite deletes it, "
            "and another --out leaves it alone"
        )
    return False


def clear(out: Path) -> None:
    """Delete the files of a training, and nothing else that is in the folder."""
    for name in (WEIGHTS, CONFIG, SPEAKERS, CARD, metrics.FILE):
        (out / name).unlink(missing_ok=True)
    for name in (FOLDER, metrics.TENSORBOARD, metrics.SOUNDS):
        shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)


def fingerprint(utterances: Iterable[Utterance]) -> str:
    """Twelve hexadecimal digits that change when a training set does."""
    lines = "\n".join(f"{u.id} {u.speaker} {u.start:.6f} {u.duration:.6f}" for u in utterances)
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def device_name(device: torch.device) -> str:
    """Name of a GPU, or the number of threads of the CPU, for a model card."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def _check_same(saved: dict, now: dict, prefix: str = "") -> None:
    """Refuse settings that differ from those of the checkpoint, by name."""
    for key in sorted(saved.keys() | now.keys()):
        name = f"{prefix}{key}"
        one, other = saved.get(key), now.get(key)
        if isinstance(one, dict) and isinstance(other, dict):
            _check_same(one, other, f"{name}.")
        elif (stages := _by_name(one)) and (now_stages := _by_name(other)):
            _check_same(stages, now_stages, f"{name}.")
            _check_same({name: list(stages)}, {name: list(now_stages)})  # the order
        elif one != other and name not in _FREE:
            if name == "fingerprint":
                raise ValueError(
                    "data.train: the manifest has changed since this training started; restore it, "
                    "or start another training with another --out"
                )
            raise ValueError(
                f"{name}: this training was started with {one!r}, not {other!r}; resume it as it "
                "was, or start another training with another --out"
            )


def _by_name(value: Any) -> dict[str, dict]:
    """Stages by name, or by objective where they have none; empty if `value` is no such list."""
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return {}
    stages = {entry.get("name") or entry.get("objective", ""): entry for entry in value}
    return stages if len(stages) == len(value) and "" not in stages else {}
