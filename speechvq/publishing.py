"""What a model folder must be before it is published: whole, of one piece, and described."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from speechvq import hub
from speechvq.json_reader import parse_json
from speechvq.model_folder import (
    CARD,
    CONFIG,
    SPEAKERS,
    WEIGHTS,
    codebook_of,
    load_model,
    read_config,
)
from speechvq.prior_folder import FOLDER, load_prior
from speechvq.training.card import UNDECIDED, enrolled
from speechvq.weights import parsed, read_header
from speechvq.yaml_reader import parse_yaml

_HEADING = re.compile(r"(##+)\s+(.+)")
_SECTIONS = {"Data": r"\bdata", "Limits": r"\blimit", "Licence": r"\blicen[cs]e"}
"""Sections of a card, and what their headings hold."""


def files_of(folder: Path) -> dict[str, int]:
    """The files that are published of a model folder, and their sizes in bytes."""
    paths = {name: folder / name for name in hub.FILES}
    return {name: path.stat().st_size for name, path in paths.items() if path.is_file()}


def left_out(folder: Path) -> list[str]:
    """What else the folder holds, folders with a slash: checkpoints, metrics and so on."""
    published = {name.split("/")[0] for name in hub.FILES}
    others = sorted(path for path in folder.iterdir() if path.name not in published)
    return [f"{path.name}/" if path.is_dir() else path.name for path in others]


def faults(folder: Path) -> Iterator[str]:
    """Lines about what keeps a model folder from being published; none for one that is ready.

    The model and its prior must load, ``config.yaml`` and ``speakers.json`` must say what the
    header of the weights says, and each card must have data, limits and a licence.
    """
    try:
        model = load_model(folder)
    except (ValueError, OSError) as error:
        yield str(error)
        return
    yield from _exports(folder, {CONFIG: read_config(folder), SPEAKERS: model.speakers})
    yield from card_faults(folder / CARD, model.speakers)
    if (folder / FOLDER).exists():
        try:
            load_prior(folder / FOLDER, codebook_of(model))
            weights = folder / FOLDER / WEIGHTS
            config = parsed(weights, read_header(weights), "config", dict)
            yield from _exports(folder / FOLDER, {CONFIG: config})
        except (ValueError, OSError) as error:
            yield str(error)
        yield from card_faults(folder / FOLDER / CARD)


def _exports(folder: Path, expected: Mapping[str, Any]) -> Iterator[str]:
    """Faults of the files that repeat the header for people."""
    for name, wanted in expected.items():
        path = folder / name
        if not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
            if name == CONFIG:
                found = parse_yaml(text, str(path))
            else:
                found = [entry["name"] for entry in parse_json(text, list)]
        except (ValueError, TypeError, KeyError):
            found = None
        if found != wanted:
            yield f"{path}: differs from the header of {WEIGHTS}, which is the truth; remove it"


def card_faults(path: Path, speakers: Sequence[str] = ()) -> Iterator[str]:
    """Lines about what a model card lacks.

    Parameters
    ----------
    path
        The card, Markdown.
    speakers
        Whom it must name, or say the number of.
    """
    if not path.is_file():
        yield f"{path}: there is no model card; write data, speakers, limits and licence into it"
        return
    card = path.read_text(encoding="utf-8", errors="replace")
    for title, pattern in _SECTIONS.items():
        if not _section(card, pattern):
            yield f"{path}: no section '## {title}' with something in it"
    if UNDECIDED in (_section(card, _SECTIONS["Licence"]) or ""):
        yield f"{path}: the licence is left open; name it in the section '## Licence'"
    named = all(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", card) for name in speakers)
    added = (_section(card, r"^enrolled speakers") or "").splitlines()
    learned = [s for s in speakers if not any(line.startswith(enrolled(s)) for line in added)]
    if not named and not re.search(rf"(?<![\w.,]){len(learned)}(?![\w.,]*\d)", card):
        yield f"{path}: names neither the {len(learned)} speakers nor their number"


def _section(card: str, pattern: str) -> str | None:
    """The text below the first heading that holds the pattern; None if there is no such heading."""
    found: list[str] | None = None
    level = 0
    for line in card.splitlines():
        mark = re.match(r"(#+)\s", line)
        if found is not None and mark and len(mark[1]) <= level:
            break
        if found is not None:
            found.append(line)
        elif (heading := _HEADING.match(line)) and re.search(pattern, heading[2], re.IGNORECASE):
            found, level = [], len(heading[1])
    return None if found is None else "\n".join(found).strip()


def paths_named(folder: Path) -> list[str]:
    """Absolute paths of this machine that the header names as its data."""
    data = read_config(folder).get("data") or {}
    return [
        value for value in data.values() if isinstance(value, str) and Path(value).is_absolute()
    ]
