"""speechvq-analyze codebook: how a model uses its codes, and what they cost."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq.cli.analyzing import as_json, manifest, out_folder, progress, write_results
from speechvq.cli.errors import Parser
from speechvq.cli.numbers import above_zero, seed

if TYPE_CHECKING:
    from speechvq.analysis.bootstrap import Estimate
    from speechvq.evaluation.codebook import CodebookEvaluation

NOTES = """\
Bits per second of the codes before and after coding:
  uniform               log2 K for each frame
  entropy               H(code) for each frame
  run lengths           log2 K + log2 of the longest run, for each run of equal codes
  run lengths, entropy  H(code, length) for each run
  merged, entropy       H(code) of runs, for each run; their lengths are lost
Entropies are of the frequencies in the same speech. Product codes: each codebook alone, all
codebooks side by side, and the tuple of their codes as one symbol.

Default: the last trained model, on its test data. The manifest needs no phones; with phones, the
map of the code vectors is coloured by phone class.
Writes scores.json, codes.csv, runs.csv, bitrates.csv, and the figures use and map, each as PNG and
as SVG.
"""

TOO_LOW = 1.05
"""An entropy is named as too low if Miller's correction makes it more than so many times it."""


def parser() -> Parser:
    """The options of speechvq-analyze codebook."""
    parser = Parser("analyze codebook", "How does a model use its codebook?", NOTES)
    add = parser.add_argument
    add("--model", metavar="DIR", help="model folder (default: the last one trained)")
    add("--manifest", metavar="FILE", help="speech to measure on (default: the test data)")
    add("--out", metavar="DIR", help="folder to write to (default: codebook beside the model)")
    add("--map", choices=("tsne", "pca"), default="tsne",
        help="how the map places code vectors in a plane (default: tsne)")  # fmt: skip
    add("--max-minutes", type=above_zero, default=60, metavar="M",
        help="draw at most M minutes of speech (default: 60)")  # fmt: skip
    add("--json", action="store_true", help="print the scores as JSON")
    add("--seed", type=seed, default=0,
        help="seed of the map and of --max-minutes (default: 0)")  # fmt: skip
    add("--device", default="cpu", help="cpu, cuda, cuda:1, … (default: cpu)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Measure the use of the codebook, write tables and figures, and print the scores."""
    from speechvq import model_folder
    from speechvq.data.manifest import read_usable
    from speechvq.data.subsets import within_minutes
    from speechvq.evaluation.codebook import evaluate_codebook

    folder = model_folder.find_model(options.model)
    path = manifest(options.manifest, model_folder.read_config(folder), "test", "--manifest")
    utterances = within_minutes(read_usable(path), path, options.max_minutes, options.seed)
    model = model_folder.load_model(folder, options.device)
    shown = progress(utterances, f"encode {Path(path).name}")
    result = evaluate_codebook(model, path, shown, options.map, options.seed)
    out = out_folder(options.out, folder, "codebook")
    scores = {"model": str(folder), **result.to_dict()}
    written = write_results(out, scores, _tables(result), _figures(result))
    if options.json:
        print(as_json(scores))
    else:
        _print(folder, result)
        print(written)
    return 0


def _tables(result: CodebookEvaluation) -> dict[str, list[list[Any]]]:
    codes: list[list[Any]] = [["codebook", "code", "count", "share", "x", "y", "class"]]
    codes += [
        [g, code, count, round(count / result.frames, 6), *map(float, place), kind]
        for g, (counts, places, kinds) in enumerate(
            zip(result.counts, result.maps, result.classes, strict=True), 1
        )
        for code, (count, place, kind) in enumerate(
            zip(counts.tolist(), places, kinds, strict=True)
        )
    ]
    runs: list[list[Any]] = [["codebook", "frames", "runs"]]
    runs += [
        [name, length, count]
        for name, use in result.use.items()
        for length, count in enumerate(use.run_counts.tolist())
        if count
    ]
    rates: list[list[Any]] = [
        ["codebook", "coding", "bits_per_second", "low", "high", "corrected"]
        + ["symbols", "different_symbols"]
    ]
    rates += [
        [name, coding, r.rate.value, r.rate.low, r.rate.high, r.corrected, r.symbols, r.different]
        for name, codings in result.rates.items()
        for coding, r in codings.items()
    ]
    return {"codes": codes, "runs": runs, "bitrates": rates}


def _figures(result: CodebookEvaluation) -> dict[str, Any]:
    from speechvq.evaluation.codebook import APART
    from speechvq.report.codebook_figures import map_figure, use_figure

    names = list(result.use)[: len(result.maps)]
    G = len(names)
    counts = dict(zip(names, result.counts, strict=True))
    rates = result.rates[APART if G > 1 else names[0]]
    codes = f"{_codebooks(result)}, {result.frame_rate:g} codes/s, {result.frames:,} frames"
    several = ", each codebook coded alone" if G > 1 else ""
    how = {"tsne": "t-SNE", "pca": "PCA"}[result.how]
    return {
        "use": use_figure(
            counts,
            {name: result.use[name].run_counts for name in names},
            rates,
            result.frame_rate,
            f"Use, runs and bit rate of the codes{several}\n{codes}",
        ),
        "map": map_figure(
            result.maps,
            list(counts.values()),
            result.classes,
            names,
            f"Code vectors ({how}), the area by use"
            + (", the colour by the most frequent phone class" if result.labelled else "")
            + f"\n{codes}",
        ),
    }


def _codebooks(result: CodebookEvaluation) -> str:
    several = f"{len(result.maps)} codebooks, " if len(result.maps) > 1 else ""
    return f"{several}K = {result.codebook_size}"


def _print(folder: Path, result: CodebookEvaluation) -> None:
    from speechvq.analysis.codebook import CODINGS, ENTROPY
    from speechvq.analysis.table import aligned

    phones = f"{result.labelled} with phones" if result.labelled else "no phones"
    print(f"model       {folder}")
    print(
        f"codes       {_codebooks(result)}, {result.frame_rate:g} codes/s, "
        f"{result.bitrate:.0f} bits/s"
    )
    print(f"measured on {result.manifest} ({result.utterances} utterances, {phones}, "
          f"{result.frames:,} frames)\n")  # fmt: skip
    table = [["", "used", "dead", "perplexity (95 % interval)", "mean run, ms", "longest, ms"]]
    for name, use in result.use.items():
        alone = use.counts is not None
        table.append(
            [
                name,
                f"{use.used:,}",
                f"{result.codebook_size - use.used:,}" if alone else "-",
                _interval(use.perplexity, "{:,.1f}"),
                _interval(use.run_seconds, "{:,.0f}", 1000),
                f"{1000 * (len(use.run_counts) - 1) / result.frame_rate:,.0f}",
            ]
        )
    print(aligned(table))
    print("\nbits per second (95 % interval)")
    print(
        aligned(
            [
                ["", *CODINGS],
                *(
                    [name, *(_interval(rates[coding].rate, "{:,.0f}") for coding in CODINGS)]
                    for name, rates in result.rates.items()
                ),
            ]
        )
    )
    for name, rates in result.rates.items():
        entropy = rates[ENTROPY]
        if entropy.corrected > TOO_LOW * entropy.rate.value:
            print(
                f"\n{name}: {entropy.different:,} different symbols among {entropy.symbols:,} are "
                "too many to count; its entropies are far too low"
            )


def _interval(found: Estimate, form: str, factor: float = 1) -> str:
    """A value and, where there is one, its interval."""
    value, low, high = (form.format(factor * x) for x in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})" if low not in ("nan", high) else value
