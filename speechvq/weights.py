"""Files of weights: safetensors whose header holds format, configuration and speakers as JSON.

The header is a mapping of text to text: ``format`` as it is, and every other value as JSON. It can
be read without torch.
"""

from __future__ import annotations

import json
import os
import struct
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from speechvq.audio import write_bytes
from speechvq.codes import check_speaker
from speechvq.config.training import MOST_LEVEL
from speechvq.json_reader import parse_json
from speechvq.settings import plain

if typing.TYPE_CHECKING:
    from torch import Tensor, nn

OTHER_VERSION = "it was saved by another version; train again or install that version"
COPY_AGAIN = "copy it again, or take one of checkpoints/"


def make_header(
    kind: str, config: dict[str, Any], speakers: Sequence[str], **more: dict[str, Any]
) -> dict[str, str]:
    """The header of a file of weights: its format, configuration, speakers and more, as JSON."""
    values = {"config": config, "speakers": list(speakers), **more}
    return {"format": kind, **{key: as_json(plain(value)) for key, value in values.items()}}


def read_header(path: Path) -> dict[str, str]:
    """The header of a safetensors file, without importing torch.

    Raises
    ------
    ValueError
        The file is truncated or of another kind.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            entries = parse_json(file.read(min(length, size)), dict)
        header = entries.pop("__metadata__", {})
        ends = [entry["data_offsets"][1] for entry in entries.values()]
        whole = size == 8 + length + max(ends, default=0)
    except (struct.error, ValueError, TypeError, KeyError, IndexError) as error:
        raise ValueError(f"{path}: truncated or not a safetensors file; {COPY_AGAIN}") from error
    if not whole or not isinstance(header, dict):
        raise ValueError(f"{path}: truncated or not a safetensors file; {COPY_AGAIN}")
    return header


def read_weights(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The tensors of a safetensors file, and its header."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path}: truncated or not a safetensors file ({error}); {COPY_AGAIN}"
        ) from error


def write_weights(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a safetensors file, which appears whole or not at all."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_bytes(path, save(tensors, metadata=header))


M = typing.TypeVar("M", bound="nn.Module")
SLACK = 1 << 26
"""Bytes that a model may take in building beyond twice what its file holds."""


def filled(build: Callable[[], M], path: Path) -> M:
    """Build a model with the weights of a file.

    A configuration may ask for any size; no more is taken than the file accounts for.

    Raises
    ------
    ValueError
        The file is damaged, or does not fit the model: the first tensor is named.
    """
    tensors, _ = read_weights(path)
    held = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    model = built(build, 2 * held + SLACK, f"{path}: holds {held:,} bytes of weights")
    fill(model, tensors, path)
    return model


def built(build: Callable[[], M], limit: int, holds: str) -> M:
    """Build a model whose tensors take at most so many bytes.

    Raises
    ------
    ValueError
        They take more; raised before the tensor that is too much is filled. The message begins with
        `holds`.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    sizes: dict[int, int] = {}

    class Counted(TorchFunctionMode):
        def __torch_function__(
            self,
            operation: Callable[..., object],
            types: object,
            args: tuple[object, ...] = (),
            kwargs: dict[str, object] | None = None,
        ) -> object:
            made = operation(*args, **(kwargs or {}))
            if isinstance(made, torch.Tensor):
                storage = made.untyped_storage()
                sizes[storage.data_ptr()] = storage.nbytes()
                if sum(sizes.values()) > limit:
                    raise ValueError(f"{holds}, and its configuration asks for more")
            return made

    try:
        with Counted():
            return build()
    except RuntimeError as error:  # more than can be counted, or than any machine has
        reason = str(error).splitlines()[0]
        raise ValueError(f"{holds}, and its configuration cannot be built ({reason})") from error


def memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def fill(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Load weights into a model, or name the first that does not fit."""
    state = model.state_dict()
    if missing := sorted(state.keys() - tensors.keys()):
        raise ValueError(
            f"{path}: no {missing[0]!r} in it ({len(missing)} missing); {OTHER_VERSION}"
        )
    if unknown := sorted(tensors.keys() - state.keys()):
        raise ValueError(
            f"{path}: unknown {unknown[0]!r} in it ({len(unknown)} unknown); {OTHER_VERSION}"
        )
    for name, tensor in tensors.items():
        if tensor.shape != state[name].shape:
            raise ValueError(
                f"{path}: {name!r} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(state[name].shape)}; {OTHER_VERSION}"
            )
    model.load_state_dict(tensors)


def speakers_of(path: Path, header: dict[str, str]) -> list[str]:
    """The speakers in the header of a file of weights."""
    names = parsed(path, header, "speakers", list)
    if not names or not all(isinstance(n, str) for n in names) or len(set(names)) < len(names):
        raise ValueError(
            f"{path}: its header is damaged (speakers: expected different names); {COPY_AGAIN}"
        )
    try:
        return [check_speaker(name) for name in names]
    except ValueError as error:
        raise ValueError(f"{path}: its header is damaged ({error}); {COPY_AGAIN}") from error


def check_training(path: Path, config: dict[str, Any]) -> None:
    """Raise ValueError if the manifests or stages of a header's configuration are none."""
    data, stages = config.get("data") or {}, config.get("stages") or []
    parts = ("train", "valid", "test")
    if not isinstance(data, dict) or not all(isinstance(data.get(p), str | None) for p in parts):
        raise ValueError(f"{path}: its header is damaged (data: no manifests); {COPY_AGAIN}")
    level = data.get("level")
    if not isinstance(level, float | int | None) or not abs(level or 0) < MOST_LEVEL:  # NaN too
        raise ValueError(f"{path}: its header is damaged (data: level is no number); {COPY_AGAIN}")
    if not isinstance(stages, list) or not all(map(_is_stage, stages)):
        raise ValueError(f"{path}: its header is damaged (stages: no stages); {COPY_AGAIN}")


def _is_stage(value: object) -> bool:
    """Whether it has steps and a name."""
    return (
        isinstance(value, dict)
        and isinstance(value.get("steps"), int)
        and isinstance(value.get("name") or value.get("objective"), str)
    )


def as_json(value: object) -> str:
    """JSON text of plain values."""
    return json.dumps(value, ensure_ascii=False)


def parsed(path: Path, header: dict[str, str], key: str, kind: type) -> typing.Any:
    """The JSON value of a key of a header; ValueError if it is missing or of another kind."""
    try:
        return parse_json(header[key], kind)
    except (KeyError, ValueError, TypeError) as error:
        what = f"no {key!r}" if isinstance(error, KeyError) else f"{key}: {error}"
        raise ValueError(f"{path}: its header is damaged ({what}); {COPY_AGAIN}") from error
