"""What the questions of speechvq-analyze share: the data they are asked on, where they write."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path


def manifest(given: str | None, config: dict, split: str, option: str) -> str:
    """The manifest that was given, else the one of the model's own split, as its config says.

    Raises
    ------
    ValueError, FileNotFoundError
        The model names none, or it has gone; the message names the option to pass.
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
    """``name`` beside the model, or in the working folder for a model inside the package."""
    from speechvq.model_folder import PRETRAINED

    inside = folder.resolve() == PRETRAINED.resolve()
    return Path(name) if inside else folder.parent / name


def progress(things: Iterable, what: str, unit: str = "utt"):
    """The same things, with a bar on stderr."""
    from tqdm import tqdm

    return tqdm(things, desc=what, unit=unit, file=sys.stderr, leave=False, dynamic_ncols=True)
