"""speechvq-analyze collapse: does a decoder use what a bottleneck lets through?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq.cli.analyzing import as_json, progress, write_results
from speechvq.cli.errors import Parser
from speechvq.cli.numbers import above_zero, seed, whole_number

if TYPE_CHECKING:
    from speechvq.evaluation.collapse import CollapseEvaluation

NOTES = """\
Trains one small model four times, with the same first weights and batches: with a vector quantizer,
with the Gaussian posterior of a VAE (KL weight 1: the ELBO), as a plain autoencoder, and with no
latents at all. Then it predicts other speech with the latents of each utterance, and with those of
another one: a decoder that ignores its latents does as well with these.

  with its own, another's   bits per sample of the recordings (the next utterance of the manifest)
  gain                      the difference, of the same utterances
  bits/s                    KL divergence from the prior: N(0, 1), or the frequencies of the codes
  phone accuracy            of codes, or of k-means with the same K on latents, mapped to phones on
                            the training data; where the manifests have phones

The model is a fixed one (speechvq/evaluation/collapse.py), and takes some minutes on a core.
Writes scores.json, collapse.csv, and the figure collapse as PNG and as SVG.
"""


def parser() -> Parser:
    """The options of speechvq-analyze collapse."""
    parser = Parser("analyze collapse", "Does a decoder use what a bottleneck lets through?", NOTES)
    add = parser.add_argument
    add("--train", metavar="FILE", required=True, help="manifest to train on")
    add("--score-on", metavar="FILE", required=True,
        help="manifest of other utterances of the same speakers")  # fmt: skip
    add("--steps", type=whole_number, default=2000, metavar="N",
        help="of each of the four trainings (default: 2000)")  # fmt: skip
    add("--out", metavar="DIR", default="collapse", help="folder to write to (default: collapse)")
    add("--max-minutes", type=above_zero, default=60, metavar="M",
        help="draw at most M minutes of speech from each manifest (default: 60)")  # fmt: skip
    add("--json", action="store_true", help="print the scores as JSON")
    add("--seed", type=seed, default=0, help="of all trainings (default: 0)")
    add("--device", default="cpu", help="cpu, cuda, cuda:1, … (default: cpu)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Train, measure, write the results and print them."""
    from speechvq.data.manifest import read_known, read_usable
    from speechvq.data.subsets import within_minutes
    from speechvq.evaluation.collapse import evaluate_collapse
    from speechvq.report.collapse_figures import collapse_figure

    paths = options.train, options.score_on
    train = within_minutes(read_usable(paths[0]), paths[0], options.max_minutes, options.seed)
    known = read_known(paths[1], sorted({u.speaker for u in train}), "the training data")
    scored = within_minutes(known, paths[1], options.max_minutes, options.seed)
    result = evaluate_collapse(
        train, scored, options.steps, options.seed, options.device, progress, show=True
    )
    scores = {"train": paths[0], "score_on": paths[1], **result.to_dict()}
    title = f"{options.steps} steps of training, {len(scored)} utterances scored"
    written = write_results(
        Path(options.out),
        scores,
        {"collapse": _table(result)},
        {"collapse": collapse_figure(result.bottlenecks, result.untrained, title)},
    )
    if options.json:
        print(as_json(scores))
        return 0
    print(f"trained on {paths[0]} ({len(train)} utterances), {options.steps} steps each")
    print(f"scored on  {paths[1]} ({len(scored)} utterances)\n")
    _print(result)
    print(f"\n{written}")
    return 0


def _table(result: CollapseEvaluation) -> list[list[Any]]:
    """One row a bottleneck and number: the value, and its 95 % interval."""
    rows: list[list[Any]] = [["bottleneck", "score", "value", "low", "high"]]
    for name, behind in result.bottlenecks.items():
        found = {"own": behind.own, "other": behind.other, "gain": behind.gain}
        if behind.rate:
            found["rate"] = behind.rate
        rows += [[name, score, e.value, e.low, e.high] for score, e in found.items()]
        if behind.phones:
            interval = behind.phones.accuracy_interval or ("", "")
            rows.append([name, "phone accuracy", behind.phones.accuracy, *interval])
    return rows


def _print(result: CollapseEvaluation) -> None:
    from speechvq.analysis.judges.table import formatted
    from speechvq.analysis.table import aligned, known

    cells = [["", "with its own", "another's", "gain, bits/sample", "bits/s", "phone accuracy"]]
    for name, behind in result.bottlenecks.items():
        cells.append(
            [
                name,
                f"{behind.own.value:.3f}",
                f"{behind.other.value:.3f}",
                formatted(behind.gain, ".3f"),
                known("{:.0f}", behind.rate.value if behind.rate else None),
                known("{:.3f}", behind.phones.accuracy if behind.phones else None),
            ]
        )
    print(aligned(cells))
    K, rate = result.codebook_size, result.frame_rate
    print(f"\nVQ: {rate:g} codes/s of K = {K}, at most {result.bitrate:g} bits/s", end="")
    if scores := result.bottlenecks["VQ"].phones:
        print(f"; perplexity {scores.perplexity:.1f}", end="")
    if result.untrained:
        print(
            f"\nphone accuracy of an untrained encoder: {result.untrained.accuracy:.3f}; "
            f"chance: {result.untrained.chance:.3f}",
            end="",
        )
    print()
