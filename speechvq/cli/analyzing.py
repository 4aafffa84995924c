"""Shared by the questions of speechvq-analyze: manifests, output folders, progress bars."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path


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


def progress(items: Iterable, what: str, unit: str = "utt"):
    """The items, with a progress bar on stderr."""
    from tqdm import tqdm

    return tqdm(items, desc=what, unit=unit, file=sys.stderr, leave=False, dynamic_ncols=True)
