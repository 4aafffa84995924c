"""Training checkpoints: one safetensors file with the weights, the optimiser's state, and JSON.

Nothing is pickled. The JSON is in the header of the file, so that weights and state are always of
the same moment.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from speechvq import audio
from speechvq.json_reader import parse_json

FOLDER = "checkpoints"
LAST = f"{FOLDER}/last.safetensors"
BEST = f"{FOLDER}/best.safetensors"
CODES = f"{FOLDER}/codes"
KEPT = f"{FOLDER}/step-*.safetensors"


@dataclass
class State:
    """Progress of a training; with the weights and the optimiser, all that a resume needs.

    Every step seeds the random numbers from (seed, stage, step), so that no generator is saved.
    """

    stage: str
    step: int = 0
    """Steps done in this stage."""
    global_step: int = 0
    """Steps done in all stages."""
    validated: int = 0
    """Step of the last validation in this stage."""
    best: float | None = None
    """Lowest validation score of this stage."""
    best_global_step: int = 0
    seconds: float = 0.0
    """Training time over all runs."""
    metrics_size: int = 0
    """Bytes of metrics.jsonl at this moment."""
    meter: dict[str, Any] = field(default_factory=dict)
    """Sums that are not logged yet (`Meter.saved`)."""
    validation: dict[str, float] = field(default_factory=dict)
    """Metrics of the best validation of this stage."""
    threads: int = 0
    """Of the CPU, for the steps; 0 before there is a choice."""
    timed: list[tuple[int, float]] = field(default_factory=list)
    """Threads and seconds of the steps that are timed to choose anew (`ThreadChooser`)."""

    @property
    def kept(self) -> str:
        """The file that keeps this moment (`training.keep_every`)."""
        return KEPT.replace("*", f"{self.global_step:07d}")

    def next(self, stage: str) -> "State":
        """The state at the beginning of the next stage."""
        return State(stage, global_step=self.global_step, threads=self.threads)


def save_checkpoint(
    path: Path,
    modules: Mapping[str, nn.Module],
    state: State,
    settings: dict[str, Any],
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Write a checkpoint; an old file is replaced only when the new one is complete.

    Parameters
    ----------
    path : Path
        The file.
    modules : mapping of str to Module
        Tensors that several modules share are written once.
    state : State
        Progress of the training.
    settings : dict
        The configuration, which a resume compares with the current one.
    optimizer : Optimizer, optional
        None leaves the optimiser's state out.
    """
    tensors = {name: tensor.detach().contiguous() for name, tensor in _tensors(modules).items()}
    if optimizer is not None:
        for index, values in optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{index}.{key}": value for key, value in values.items()})
    header = {"state": json.dumps(asdict(state)), "settings": json.dumps(settings)}
    audio.write_bytes(path, save(tensors, header))


def prune(folder: Path, keep: int) -> None:
    """Delete the kept checkpoints of a model folder but for the newest ones, by global step."""
    by_step = sorted(folder.glob(KEPT), key=lambda path: (len(path.name), path.name))
    for path in by_step[:-keep]:
        path.unlink(missing_ok=True)


def read_header(path: Path) -> tuple[State, dict[str, Any]]:
    """Read state and settings of a checkpoint, without the tensors.

    Raises
    ------
    FileNotFoundError
    ValueError
        The file is damaged.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        with safe_open(path, framework="pt") as file:  # refuses a file that is cut
            metadata = file.metadata()
        state, settings = (parse_json(metadata[key], dict) for key in ("state", "settings"))
        return State(**state), settings
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: a damaged checkpoint ({error})") from error


def load_weights(path: Path, modules: Mapping[str, nn.Module]) -> None:
    """Load the weights of a checkpoint into modules.

    Raises
    ------
    ValueError
        The file is damaged, or has the weights of other modules.
    """
    saved = _load(path)
    with torch.no_grad():
        for name, tensor in _tensors(modules).items():
            if name not in saved or saved[name].shape != tensor.shape:
                raise ValueError(
                    f"{path}: does not fit this model at {name}; was the code changed?"
                )
            tensor.copy_(saved[name])


def load_optimizer(path: Path, optimizer: torch.optim.Optimizer) -> None:
    """Load the optimiser state of a checkpoint into an optimiser of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _load(path).items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: a damaged checkpoint ({error})") from error


def _tensors(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Each parameter and buffer of the modules once, under its first name."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for prefix, module in modules.items():
        for name, tensor in module.state_dict(keep_vars=True).items():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                tensors[f"weights.{prefix}.{name}"] = tensor
    return tensors
