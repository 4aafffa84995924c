"""Shared by the questions of speechvq-analyze: manifests, output folders, progress bars."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from speechvq.progress import track


def manifest(given: str | None, config: dict, split: str, option: str) -> str:
    """The given manifest, else the one of a split in the model's configuration.

    Raises
    ------
    ValueError, FileNotFoundError
        No such manifest in the configuration, or no such file; the message names the option.
    """
    if given:
        return given
    path = (config.get("data") or {}).get(split)
    if not path:
        raise ValueError(f"the model does not say where its {split} data is; pass {option} FILE")
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"{path}: no such manifest, the model's {split} data; pass {option}"
        )
    return str(path)


def beside(folder: Path, name: str) -> Path:
    """Path of ``name`` beside the model; in the working folder for the packaged model."""
    from speechvq.model_folder import PRETRAINED

    inside = folder.resolve() == PRETRAINED.resolve()
    return Path(name) if inside else folder.parent / name


def progress(items: Iterable, what: str, unit: str = "utterances"):
    """The items, with their progress on stderr."""
    return track(items, what, f" {unit}")
