"""A training in a folder: resume or start, train, load the best weights, publish.

The frame that all trainings share; what is trained comes as a `Plan`.
"""

import errno
import fnmatch
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from speechvq import audio
from speechvq.config import LoopConfig
from speechvq.data.manifest import Utterance
from speechvq.distributed import Processes, rank
from speechvq.json_reader import parse_json
from speechvq.model_folder import CARD, CONFIG, SPEAKERS, WEIGHTS, check_free
from speechvq.training import metrics
from speechvq.training.checkpoint import BEST, CODES, FOLDER, LAST, State, load_weights, read_header
from speechvq.training.stage import Stage
from speechvq.training.trainer import Trainer

logger = logging.getLogger(__name__)

_FREE = (
    *("data.train", "data.valid", "data.test"),  # paths; the content is compared
    *("stages.*.labels", "training.init_from"),
    *("training.log_every", "training.valid_every", "training.checkpoint_every"),
    *("training.keep_every", "training.keep_last"),
    *("training.workers", "training.samples", "training.tensorboard"),
)
"""Settings that a resume may change, since no step depends on them."""


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
    settings: dict[str, Any],
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
        All settings as plain values; a resume must have the same, but for paths, intervals and
        more steps of a stage. The key `fingerprint` has those of the files that are read, by
        setting (`fingerprint`, `code_shards.file_fingerprint`).
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
        A signal ended the training; the last checkpoint is written.
    OSError
        A file cannot be written, as the disk is full; the last checkpoint is whole.
    """
    settings = parse_json(json.dumps(settings))  # tuples become lists, as in a checkpoint
    resume = resumes(out, settings, resume, overwrite)
    if len(set(processes.gather_objects(resume))) > 1:
        raise ValueError(
            f"{out}: not every process finds the checkpoint that is to be resumed; several nodes "
            "need a folder on a disk that they share"
        )
    torch.manual_seed(config.seed)
    plan = build(resume)
    last = plan.stages[-1].name

    def publish(state: State) -> None:
        if state.stage == last:  # an unfinished model must not be taken for a finished one
            plan.publish(state)

    trainer = Trainer(
        *(plan.stages, plan.prepare, plan.modules, config, settings, out, processes, publish),
        plan.corpus,
        progress,
    )
    _begin(out, resume, processes)
    with _telling_how_to_go_on():
        state = trainer.run(resume)
        if (out / BEST).exists():
            load_weights(out / BEST, plan.modules)
        if processes.first:
            publish(state)  # again, with the time of the whole training
        processes.wait()
    return state


@contextmanager
def _telling_how_to_go_on() -> Iterator[None]:
    """Say what to do when a file cannot be written; what is there is whole."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not of the system
            raise
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        remedy = "free some space" if full else "mend that"
        reason = f"{error.strerror}; {remedy}, and the same command with --resume goes on"
        raise OSError(error.errno, reason, error.filename) from error


def resumes(out: Path, settings: dict[str, Any], resume: bool, overwrite: bool) -> bool:
    """Whether there is a training to resume; refuse to lose a training without `overwrite`.

    Raises
    ------
    ValueError
        The folder holds a training already, or one with other settings.
    FileExistsError
        It holds none, and somebody else's files where those of a training go.
    """
    parts = WEIGHTS, metrics.FILE, FOLDER, metrics.TENSORBOARD
    holds = any((out / name).exists() for name in parts)
    if not holds:
        check_free(out)
    if resume and (out / LAST).exists():
        try:
            state, saved = read_header(out / LAST)
        except ValueError as error:
            raise ValueError(f"{error}, which cannot be resumed; {_way_out(out)}") from error
        _check_same(saved, settings, state)
        return True
    if resume and not (out / WEIGHTS).exists():
        logger.info("%s holds no checkpoint yet; starting from the beginning", out)
    elif resume and not overwrite:
        raise ValueError(
            f"{out}: holds a model, but no {LAST} to resume from; --overwrite starts again, and "
            "another --out leaves it alone"
        )
    elif not overwrite and holds:
        raise ValueError(
            f"{out}: holds a training already; --resume continues it, --overwrite deletes it, "
            "and another --out leaves it alone"
        )
    return False


def _begin(out: Path, resume: bool, processes: Processes) -> None:
    """Delete what a killed process was writing, and a training that is not resumed."""
    processes.wait()  # until every process has accepted the settings
    if processes.first:
        audio.remove_leftovers(out, *(out / name for name in (FOLDER, CODES, metrics.SOUNDS)))
        if not resume:
            clear(out)
    processes.wait()


def clear(out: Path) -> None:
    """Delete the files of a training, and nothing else that is in the folder."""
    for name in (LAST, WEIGHTS, CONFIG, SPEAKERS, CARD, metrics.FILE):
        (out / name).unlink(missing_ok=True)
    for name in (FOLDER, metrics.TENSORBOARD, metrics.SOUNDS):
        shutil.rmtree(out / name, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)


def fingerprint(utterances: Iterable[Utterance]) -> str:
    """Twelve hexadecimal digits that change when a training set does."""
    found, between = hashlib.sha256(), ""
    for u in utterances:
        line = f"{between}{u.id} {u.speaker} {u.start:.6f} {u.duration:.6f}"
        found.update(line.encode())
        between = "\n"
    return found.hexdigest()[:12]


def device_name(device: torch.device) -> str:
    """Name of a GPU, or the largest number of threads of the CPU, for a model card."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return "CPU, 1 thread" if threads == 1 else f"CPU, at most {threads} threads"


def _way_out(out: Path) -> str:
    """What to do where the last checkpoint is lost."""
    if not (out / WEIGHTS).exists():
        return "--overwrite starts again"
    return (
        f"{out} still holds the best model so far, which can be used, or copied for a training "
        "that begins with it by --training.init_from; --overwrite deletes it and starts again"
    )


def _check_same(saved: dict[str, Any], now: dict[str, Any], state: State) -> None:
    """Refuse settings, by name, that differ from those of the checkpoint and change its numbers."""
    names = list(_by_name(saved.get("stages")))
    over = names[: names.index(state.stage)] if state.stage in names else []
    for name, one, other in _differences(saved, now):
        if any(fnmatch.fnmatchcase(name, free) for free in _FREE):
            continue
        section, _, rest = name.partition(".")
        stage, _, key = rest.rpartition(".")
        if (section, key) == ("stages", "steps") and stage not in over and other > one:
            if rank() == 0:
                logger.info(
                    "%s: %d instead of %d; from here on the learning rate is that of %d steps, so "
                    "the result is not that of %d steps from the beginning",
                    *(name, other, one, other, other),
                )
        elif section == "fingerprint" and rest:
            what = "manifest" if rest.startswith("data.") else "file"
            raise ValueError(
                f"{rest}: the {what} has changed since this training started; restore it, or "
                "start another training with another --out"
            )
        else:
            raise ValueError(
                f"{name}: this training was started with {one!r}, not {other!r}; resume it as it "
                "was, or start another training with another --out"
            )


def _differences(
    saved: dict[str, Any], now: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """The path of each setting that differs, with both values."""
    for key in sorted(saved.keys() | now.keys()):
        name = f"{prefix}{key}"
        one, other = saved.get(key), now.get(key)
        stages, now_stages = _by_name(one), _by_name(other)
        if stages and now_stages:
            yield from _differences(stages, now_stages, f"{name}.")
            if list(stages) != list(now_stages):
                yield name, list(stages), list(now_stages)
        elif isinstance(one, dict) and isinstance(other, dict):
            yield from _differences(one, other, f"{name}.")
        elif one != other:
            yield name, one, other


def _by_name(value: Any) -> dict[str, dict[str, Any]]:
    """Stages by name, or by objective where they have none; empty if `value` is no such list."""
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        return {}
    stages = {entry.get("name") or entry.get("objective", ""): entry for entry in value}
    return stages if len(stages) == len(value) and "" not in stages else {}
