"""Shared by the questions of speechvq-analyze: manifests, output folders, results, progress."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from speechvq.progress import track

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")


def manifest(given: str | None, config: dict[str, Any], split: str, option: str) -> str:
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
    """Path of ``name`` beside the model; in the working folder if that is not the user's own."""
    from speechvq.hub import is_fetched
    from speechvq.model_folder import PRETRAINED

    foreign = folder.resolve() == PRETRAINED.resolve() or is_fetched(folder)
    return Path(name) if foreign else folder.parent / name


def out_folder(given: str | None, model: Path, name: str) -> Path:
    """The folder to write to: the given one, else ``name`` beside the model (`beside`)."""
    return Path(given) if given else beside(model, name)


def write_results(
    out: Path,
    scores: Mapping[str, Any],
    tables: Mapping[str, Sequence[Sequence[Any]]] | None = None,
    figures: Mapping[str, Figure] | None = None,
) -> str:
    """Write what a question found; each file appears whole or not at all.

    Parameters
    ----------
    out
        The folder to write to.
    scores
        Written as ``scores.json``.
    tables
        Rows of cells by the name of a CSV file without its suffix; the first row has the headings.
    figures
        By the name of a file without its suffix; each is written as PNG and as SVG.

    Returns
    -------
    str
        A line for the terminal that names the files.
    """
    from speechvq.audio import write_bytes
    from speechvq.report.figures import FILES, rendered

    files = {"scores.json": f"{as_json(scores)}\n".encode()}
    for name, rows in (tables or {}).items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        files[f"{name}.csv"] = text.getvalue().encode()
    for name, figure in (figures or {}).items():
        files |= {f"{name}.{kind}": rendered(figure, kind) for kind in FILES}
    for name, content in files.items():
        write_bytes(out / name, content)
    return f"written    {out}/: {', '.join(files)}"


def as_json(scores: Mapping[str, Any]) -> str:
    """The text of a JSON file: dataclasses become mappings, and NaN and infinities null."""
    return json.dumps(_plain(scores), indent=1, allow_nan=False)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def progress(items: Iterable[T], what: str, unit: str = "utterances") -> Iterable[T]:
    """The items, with their progress on stderr."""
    return track(items, what, f" {unit}")
