"""speechvq-analyze compare: models side by side."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq.cli.analyzing import as_json, write_results
from speechvq.cli.errors import Parser

if TYPE_CHECKING:
    from speechvq.evaluation.compare import Compared

NOTES = """\
Nothing is computed anew. Of each model folder are shown its configuration, the best validation of
its last stage (metrics.jsonl), and what the other questions of speechvq-analyze have found and
written beside the folder (*/scores.json that name this model). What there is not is a dash.

Scores compare only where they are of the same data: see the manifests in the scores.json.
Writes scores.json, compare.csv, and the figure compare as PNG and as SVG, of the scores that two
models have or more.
"""


def parser() -> Parser:
    """The options of speechvq-analyze compare."""
    parser = Parser("analyze compare", "Compare models by what has been measured.", NOTES)
    add = parser.add_argument
    add("models", nargs="+", metavar="MODEL", help="model folders")
    add("--out", metavar="DIR", default="compare", help="folder to write to (default: compare)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    how.add_argument("--json", action="store_true", help="print what was found as JSON")
    return parser


def run(options: argparse.Namespace) -> int:
    """Read, write the table and the figure, and print the table."""
    from speechvq.analysis.table import aligned
    from speechvq.evaluation.compare import FORMATS, compare_models
    from speechvq.report.score_figure import scores_figure

    models = compare_models(options.models)
    names = _names([model.folder for model in models])
    scores = {
        str(model.folder): {
            "facts": model.facts,
            "scores": model.numbers,
            "from": [str(path) for path in model.sources],
        }
        for model in models
    }
    numbers = {
        name: (form, {short: m.numbers[name] for short, m in zip(names, models, strict=True)
                      if name in m.numbers})
        for name, form in FORMATS.items()
    }  # fmt: skip
    shown = {name: entry for name, entry in numbers.items() if entry[1]}
    cells = _cells(names, models, shown)
    shared = {name: entry for name, entry in shown.items() if len(entry[1]) > 1}
    figures = {"compare": scores_figure(shared, "")} if shared else {}
    written = write_results(Path(options.out), scores, {"compare": cells}, figures)
    if options.json:
        print(as_json(scores))
    elif options.markdown:
        lines = ["| " + " | ".join(row) + " |" for row in cells]
        print("\n".join([lines[0], "|---" * len(cells[0]) + "|", *lines[1:]]))
    else:
        print(f"{aligned(cells)}\n\n{written}")
    return 0


def _names(folders: list[Path]) -> list[str]:
    """The folders without what they have in common before and after."""
    parts = [list(folder.parts) for folder in folders]
    shortest = min(map(len, parts))
    same = [len({p[i] for p in parts}) == 1 for i in range(shortest)]
    first = (same + [False]).index(False)
    same = [len({p[-1 - i] for p in parts}) == 1 for i in range(shortest)]
    last = (same + [False]).index(False)
    return [
        os.path.join(*p[first : len(p) - last]) if first < len(p) - last else str(folder)
        for p, folder in zip(parts, folders, strict=True)
    ]


def _cells(names: list[str], models: list[Compared], shown: dict[str, Any]) -> list[list[str]]:
    """Rows of facts and numbers, a column for each model."""
    from speechvq.analysis.judges.table import formatted

    cells = [["", *names]]
    cells += [[fact, *(m.facts[fact] for m in models)] for fact in models[0].facts]
    for name, (form, _) in shown.items():
        cells.append([name, *(formatted(m.numbers.get(name), form) for m in models)])
    return cells
