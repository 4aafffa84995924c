"""speechvq-analyze prior: bits per code of a prior, and its unconditional generation."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq.cli.analyzing import as_json, manifest, out_folder, progress, write_results
from speechvq.cli.errors import Parser
from speechvq.cli.numbers import seed, whole_number

if TYPE_CHECKING:
    from speechvq.evaluation.prior import PriorEvaluation

NOTES = """\
1. Bits per code of held-out speech: under the uniform prior, under n-grams of the training codes
(interpolated Kneser-Ney), and under the prior. With the decoder's bits this is a bound on the bits
per second of speech. Bits of a product code are sums over its codebooks, and its n-grams are of
each codebook apart.

2. Unconditional generation: frequencies of phones and phone bigrams, and durations of segments and
pauses, as Jensen-Shannon divergences from held-out speech. Codes drawn from the prior are compared
with as many codes drawn from the bigram, and with as much training speech. Codes are mapped to
their most likely phones in the training data, product codes by the first codebook alone; without
phone labels this part is left out.

Writes scores.json, and the figure generation as PNG and as SVG.
"""


def parser() -> Parser:
    """The options of speechvq-analyze prior."""
    parser = Parser(
        "analyze prior",
        "What does a prior know of the codes, and is what it generates like speech?",
        NOTES,
    )
    add = parser.add_argument
    add("--model", metavar="DIR", help="model folder (default: the last one trained)")
    add("--prior", metavar="DIR", help="prior folder (default: prior in the model folder)")
    add("--train", metavar="FILE", help="training manifest of the prior (default: the model's)")
    add("--score-on", metavar="FILE", help="manifest to score on (default: the model's test data)")
    add("--codes", metavar="DIR",
        help="folder of the training codes, train.txt (default: codes in the prior)")  # fmt: skip
    add("--out", metavar="DIR", help="folder to write to (default: generation beside the model)")
    add("--times", type=whole_number, default=10, metavar="N",
        help="draw N times as many codes as the held-out speech has (default: 10)")  # fmt: skip
    add("--json", action="store_true", help="print the scores as JSON")
    add("--seed", type=seed, default=0,
        help="seed of the random draws (default: %(default)s)")  # fmt: skip
    return parser


def run(options: argparse.Namespace) -> int:
    """Score the prior, write scores and picture, and print the scores."""
    from speechvq import model_folder
    from speechvq.evaluation.prior import evaluate_prior, read_codes_of_speech
    from speechvq.prior_folder import CODES, find_prior, load_prior

    folder = model_folder.find_model(options.model)
    config = model_folder.read_config(folder)
    train_on = manifest(options.train, config, "train", "--train")
    score_on = manifest(options.score_on, config, "test", "--score-on")
    model = model_folder.load_model(folder)
    prior_folder = find_prior(options.prior or folder)
    prior = load_prior(prior_folder, model_folder.codebook_of(model))
    kept = Path(options.codes or prior_folder / CODES, "train.txt")
    train = read_codes_of_speech(model, train_on, kept, progress)
    held_out = read_codes_of_speech(model, score_on, progress=progress)
    result = evaluate_prior(model, prior, train, held_out, options.times, options.seed, progress)
    out = out_folder(options.out, folder, "generation")
    scores = {"model": str(folder), **result.to_dict()}
    written = _write(out, result, scores)
    if options.json:
        print(as_json(scores))
    else:
        _print(folder, result)
        print(f"\n{written}")
    return 0


def _write(out: Path, result: PriorEvaluation, scores: dict[str, Any]) -> str:
    from speechvq.evaluation.prior import BIGRAM, DRAWN, HELD_OUT
    from speechvq.report.generation_picture import generation_figure

    figures = {}
    if (found := result.phone_counts) is not None:
        shown = {name: found.counts[name] for name in (HELD_OUT, DRAWN, BIGRAM)}
        title = "Held-out speech and unconditional generation, as the phones of the codes"
        figures["generation"] = generation_figure(found.phones, shown, result.frame_rate, title)
    return write_results(out, scores, figures=figures)


def _print(folder: Path, result: PriorEvaluation) -> None:
    from speechvq.analysis.generation import DISTRIBUTIONS, OF_PRODUCT_CODES
    from speechvq.evaluation.prior import HELD_OUT

    rate, decoder = result.frame_rate, result.decoder_bits_per_second
    print(f"model      {folder}")
    print(f"scored on  {result.score_on} ({result.codes[HELD_OUT]:,} codes)\n")
    print(f"{'prior':18}{'bits per code':>32}{'bits/s of codes':>18}{'bits/s in all':>16}")
    for name, bits in result.bits_per_code.items():
        interval = "" if math.isnan(bits.low) else f"({bits.low:.3f} to {bits.high:.3f})"
        print(
            f"{name:18}{bits.value:>9.3f} {interval:>22}{bits.value * rate:>18.1f}"
            f"{bits.value * rate + decoder:>16,.0f}"
        )
    print(f"\nthe decoder's bits are {decoder:,.0f} per second, included in the last column")
    if result.codebooks > 1:
        print(OF_PRODUCT_CODES)
    if result.divergences:
        print("\nJensen-Shannon divergence from held-out speech, in bits")
        print(f"{'':30}{'codes':>9}" + "".join(f"{name:>24}" for name in DISTRIBUTIONS))
        for name, found in result.divergences.items():
            cells = [f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})" for e in found.values()]
            print(f"{name:30}{result.codes[name]:>9,}" + "".join(f"{c:>24}" for c in cells))
