"""Training checkpoints: one safetensors file with the weights, the optimiser's state, and JSON.

Nothing is pickled. The JSON lies in the file's own header, so that a checkpoint is replaced whole
or not at all.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from speechvq import audio

FOLDER = "checkpoints"
LAST = f"{FOLDER}/last.safetensors"
BEST = f"{FOLDER}/best.safetensors"


@dataclass
class State:
    """How far a training has come; with the weights and the optimiser, all that a resume needs.

    Every step seeds the random numbers from (seed, phase, step), so that none need to be kept.
    """

    phase: str
    step: int = 0
    """Steps done in this phase."""
    global_step: int = 0
    """Steps done in all phases."""
    validated: int = 0
    """Step of the last validation in this phase."""
    best: float | None = None
    """Lowest validation score of this phase."""
    best_global_step: int = 0
    seconds: float = 0.0
    """Time spent so far, over all runs."""
    metrics_size: int = 0
    """Bytes of metrics.jsonl at this moment."""
    meter: dict = field(default_factory=dict)
    """What was summed up and not logged yet."""
    validation: dict[str, float] = field(default_factory=dict)
    """Scores of the best validation of this phase."""


def save_checkpoint(
    path: Path,
    modules: Mapping[str, nn.Module],
    state: State,
    settings: dict,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Write a checkpoint, replacing the file whole.

    Parameters
    ----------
    path : Path
        The file.
    modules : mapping of str to Module
        What they share is written once.
    state : State
        How far the training has come.
    settings : dict
        The configuration, which a resume compares with its own.
    optimizer : Optimizer, optional
        None leaves its state out.
    """
    tensors = {name: tensor.detach().contiguous() for name, tensor in _tensors(modules).items()}
    if optimizer is not None:
        for index, values in optimizer.state_dict()["state"].items():
            tensors.update({f"optimizer.{index}.{key}": value for key, value in values.items()})
    header = {"state": json.dumps(asdict(state)), "settings": json.dumps(settings)}
    audio.write_bytes(path, save(tensors, header))


def read_header(path: Path) -> tuple[State, dict]:
    """State and settings of a checkpoint, without its tensors.

    Raises
    ------
    FileNotFoundError
    ValueError
        The file is damaged.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > path.stat().st_size:
                raise ValueError("truncated")
            metadata = json.loads(file.read(length))["__metadata__"]
        return State(**json.loads(metadata["state"])), json.loads(metadata["settings"])
    except (KeyError, TypeError, ValueError, struct.error) as error:
        raise ValueError(
            f"{path}: a damaged checkpoint ({error}); start again with --overwrite"
        ) from error


def load_weights(path: Path, modules: Mapping[str, nn.Module]) -> None:
    """Put a checkpoint's weights into modules.

    Raises
    ------
    ValueError
        The file is damaged, or of other modules.
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
    """Put a checkpoint's optimiser state into an optimiser over the same parameters."""
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
        raise ValueError(
            f"{path}: a damaged checkpoint ({error}); start again with --overwrite"
        ) from error


def _tensors(modules: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Every parameter and buffer of the modules once, under the first name that it has."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for prefix, module in modules.items():
        for name, tensor in module.state_dict(keep_vars=True).items():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                tensors[f"weights.{prefix}.{name}"] = tensor
    return tensors
