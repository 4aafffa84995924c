"""speechvq-analyze collapse: does a decoder use what a bottleneck lets through?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from speechvq.cli.analyzing import progress, write_results
from speechvq.cli.errors import Parser
from speechvq.cli.speaking import whole_number

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
    add("--max-minutes", type=float, default=60, metavar="M",
        help="draw at most M minutes of speech from each manifest (default: 60)")  # fmt: skip
    add("--json", action="store_true", help="print the scores as JSON")
    add("--seed", type=int, default=0, help="of all trainings (default: 0)")
    add("--device", default="cpu", help="cpu, cuda, cuda:1, … (default: cpu)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Train, measure, write the results and print them."""
    if options.max_minutes <= 0:
        raise ValueError(f"--max-minutes must be above 0, got {options.max_minutes:g}")
    from speechvq.analysis.table import table_rows
    from speechvq.data.manifest import read_known, read_usable
    from speechvq.data.subsets import within_minutes
    from speechvq.evaluation.collapse import evaluate_collapse
    from speechvq.report.collapse_figures import collapse_figure

    paths = options.train, options.score_on
    train = within_minutes(read_usable(paths[0]), paths[0], options.max_minutes, options.seed)
    known = read_known(paths[1], sorted({u.speaker for u in train}), "the training data")
    scored = within_minutes(known, paths[1], options.max_minutes, options.seed)
