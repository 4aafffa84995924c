"""Sections of the page from what ``speechvq-analyze`` has written beside a model.

Every folder with a ``scores.json`` gives a section of the same kind: its numbers as tables, what
they mean, and its figures. Lists in a file of scores, such as trials, are not shown.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechvq.analysis.stored import all_stored
from speechvq.json_reader import parse_json
from speechvq.report.questions import QUESTIONS, Question

logger = logging.getLogger(__name__)

SCORES = "scores.json"
UNSHOWN = {"seed", "seconds", "sampling", "frames_map", "frames_score"}
LONGEST = 12
"""Rows of the longest table that is shown unfolded."""


@dataclass(frozen=True)
class Table:
    """Rows of text under headings; the first column names the rows."""

    title: str
    headings: list[str]
    rows: list[list[str]]

    @property
    def long(self) -> bool:
        """Whether the table is folded."""
        return len(self.rows) > LONGEST


@dataclass(frozen=True)
class Figure:
    """A PNG file of an analysis."""

    caption: str
    path: Path


@dataclass(frozen=True)
class Analysis:
    """What the page shows of a folder: meanings are names of numbers with a sentence."""

    name: str
    question: Question
    scores: dict[str, Any]
    tables: list[Table]
    meanings: list[tuple[str, str]]
    notes: list[str]
    figures: list[Figure]


def find_analyses(results: Path) -> dict[str, Analysis]:
    """Read every folder of scores below `results`, by its name, in the order of `QUESTIONS`.

    One that cannot be read is logged and left out.
    """
    names = {path.parent.name for path in results.glob(f"*/{SCORES}")}
    known = [name for name in QUESTIONS if name in names]
    found = {}
    for name in [*known, *sorted(names - {*known})]:
        try:
            found[name] = _analysis(results / name)
        except (ValueError, OSError) as error:
            logger.error("%s; left out", error)
    return found


def _analysis(folder: Path) -> Analysis:
    path = folder / SCORES
    try:
        scores = parse_json(path.read_bytes(), dict)
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}); run speechvq-analyze again") from error
    question = QUESTIONS.get(folder.name, Question(spoken(folder.name)))
    tables = list(tables_of(scores))
    shown = {cell for table in tables for cell in (*table.headings, *(r[0] for r in table.rows))}
    meanings = [
        (spoken(name), text) for name, text in question.meanings.items() if spoken(name) in shown
    ]
    notes = []
    if scores.get("codebooks", 1) != 1 and question.of_product_codes:
        notes.append(question.of_product_codes)
    if scores.get("codebook_well_used") is False:
        notes.append("The codebook is poorly used: its perplexity is under K/4.")
    figures = [
        Figure(question.captions.get(picture.stem, spoken(picture.stem)), picture)
        for picture in sorted(folder.glob("*.png"))
    ]
    return Analysis(folder.name, question, scores, tables, meanings, notes, figures)


def tables_of(scores: Mapping[str, Any]) -> Iterator[Table]:
    """Make tables of scores: numbers, and numbers by the names of rows.

    A number may have an interval: ``{"value": …, "low": …, "high": …}``, an entry ``NAME_interval``
    beside it, or, the first of a row, the entries ``low`` and ``high`` of the row.
    """
    single = {name: text for name, text in _cells(scores).items() if name not in UNSHOWN}
    if single:
        yield Table("", [], [[spoken(name), text] for name, text in single.items()])
    for title, part in scores.items():
        if title in UNSHOWN:
            continue
        rows = [(name, cells) for name, cells in _rows(part) if cells]
        if not rows:
            continue
        if rows[0][0] == "":
            yield Table(
                spoken(title), [], [[spoken(n), text] for n, text in rows.pop(0)[1].items()]
            )
        names = dict.fromkeys(name for _, cells in rows for name in cells)
        columns = [name for name in names if name not in UNSHOWN and name not in single]
        if columns:
            body = [[name, *(cells.get(column, "–") for column in columns)] for name, cells in rows]
            heading = "" if title == "scores" else spoken(title)
            yield Table(heading, ["", *map(spoken, columns)], body)


def number(value: float) -> str:
    """A number with three significant digits, at most four after the point."""
    if not math.isfinite(value):
        return "–"
    if float(value).is_integer():
        return f"{value:,.0f}".replace("-", "−")
    decimals = 2 - math.floor(math.log10(abs(value)))
    return f"{value:,.{min(max(decimals, 0), 4)}f}".replace("-", "−")


def spoken(name: str) -> str:
    """The name of a number or file for people."""
    text = name.replace("_", " ").replace("-", " ") if " " not in name else name
    return "PNMI" if text == "pnmi" else text


def _rows(part: object, name: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """The cells of a mapping, and of those within it, by their names."""
    if not isinstance(part, Mapping) or "value" in part:
        return
    yield name, _cells(part)
    for inner, rest in part.items():
        yield from _rows(rest, f"{name}, {inner}" if name else inner)


def _cells(part: Mapping[str, Any]) -> dict[str, str]:
    """The numbers of a mapping as text, with their intervals."""
    cells = {}
    for name, found in all_stored(part):
        cells[name] = number(found.value)
        interval = found.low, found.high
        if all(map(math.isfinite, interval)) and interval != (found.value, found.value):
            cells[name] += " ({} to {})".format(*map(number, interval))
    return cells
