"""speechvq-analyze abx: how well codes and latents tell phones, by ZeroSpeech's ABX."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq.cli.analyzing import as_json, manifest, out_folder, progress, write_results
from speechvq.cli.errors import Parser
from speechvq.cli.numbers import above_zero, seed, whole_number

if TYPE_CHECKING:
    from speechvq.analysis.abx import AbxScore
    from speechvq.evaluation.abx import AbxEvaluation

NOTES = """\
A and X are tokens of one phone, B of another: the error is the share of triples whose X is nearer
to B than to A, as in the ZeroSpeech challenges. A token is a triphone, and A, B and X have the same
phones before and after; A and B are of one speaker, X of the same (within) or another one (across).
Nothing is trained. Chance is 50 %, intervals come from resampling contexts.

Compared are the codes (codebooks that differ), the quantized z_q, the latents z_e and, as a
baseline, MFCCs at the same frame rate (angles), along the path of dynamic time warping.

Writes scores.json, pairs.csv, and the figures abx and pairs, each as PNG and as SVG. --export
writes the tokens as ZeroSpeech's .item file, and the frames as arrays that fastabx reads.
"""


def parser() -> Parser:
    """The options of speechvq-analyze abx."""
    parser = Parser("analyze abx", "Are tokens of one phone nearer than those of two?", NOTES)
    add = parser.add_argument
    add("--model", metavar="DIR", help="model folder (default: the last one trained)")
    add("--score-on", metavar="FILE", help="manifest with phones (default: the model's test data)")
    add("--out", metavar="DIR", help="folder to write to (default: abx beside the model)")
    add("--export", metavar="DIR", help="write the .item file and the frames to this folder, too")
    add(
        "--context",
        choices=("within", "any"),
        default="within",
        help="within: triphones in the same context; any: phones alone, wherever they stand "
        "(default: within)",
    )
    add(
        "--max-group",
        type=whole_number,
        default=10,
        metavar="N",
        help="keep at most N tokens of each phone of a speaker in each context (default: 10)",
    )
    add(
        "--max-speakers",
        type=whole_number,
        default=5,
        metavar="N",
        help="across speakers, at most N speakers of X for each A and B (default: 5)",
    )
    add("--max-minutes", type=above_zero, default=60, metavar="M",
        help="draw at most M minutes of speech from the manifest (default: 60)")  # fmt: skip
    add("--json", action="store_true", help="print the scores as JSON")
    add(
        "--seed",
        type=seed,
        default=0,
        help="seed of --max-minutes, --max-group, --max-speakers and intervals (default: 0)",
    )
    add("--device", default="cpu", help="cpu, cuda, cuda:1, … (default: cpu)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Compare tokens, write tables, figures and what was asked for, and print the scores."""
    from speechvq import model_folder
    from speechvq.evaluation.abx import AbxTask, evaluate_abx, export_abx
    from speechvq.evaluation.phonemes import labelled_utterances

    folder = model_folder.find_model(options.model)
    path = manifest(options.score_on, model_folder.read_config(folder), "test", "--score-on")
    utterances = labelled_utterances(path, options.max_minutes, options.seed)
    task = AbxTask(
        options.context == "within", options.max_group, options.max_speakers, options.seed
    )
    model = model_folder.load_model(folder, options.device)
    result = evaluate_abx(model, path, utterances, task, progress)
    out = out_folder(options.out, folder, "abx")
    scores = {"model": str(folder), **result.to_dict()}
    written = _write(out, result, scores)
    if options.json:
        print(as_json(scores))
    else:
        _print(folder, result)
        print(f"\n{written}")
    if options.export:
        exported = export_abx(result, Path(options.export))
        if not options.json:
            print(f"exported   {options.export}/: {', '.join(exported)}")
    return 0


def _write(out: Path, result: AbxEvaluation, scores: dict[str, Any]) -> str:
    from speechvq.analysis.abx import ACROSS, WITHIN
    from speechvq.evaluation.abx import CODES
    from speechvq.report.abx_figures import pairs_figure, scores_figure

    rows = [["representation", "speakers", "phone", "other", "error"]]
    rows += [
        [name, mode, phone, other, f"{error:.4f}"]
        for name, modes in result.pairs.items()
        for mode, pairs in modes.items()
        for (phone, other), error in pairs.items()
    ]
    rate = f"{float(result.frame_rate):g} codes/s"
    figures = {"abx": scores_figure(result.scores, f"{_kind(result)}: ABX error, {rate}")}
    mode = ACROSS if result.pairs[CODES][ACROSS] else WITHIN
    pairs = result.pairs[CODES][mode]
    figures["pairs"] = pairs_figure(pairs, f"ABX error of pairs of phones: codes, {mode} speakers")
    return write_results(out, scores, {"pairs": rows}, figures)


def _kind(result: AbxEvaluation) -> str:
    return "triphones in context" if result.task.triphones else "phones in any context"


def _print(folder: Path, result: AbxEvaluation) -> None:
    from speechvq.analysis.table import aligned
    from speechvq.evaluation.abx import CODES, DISTANCES

    task = result.task
    print(f"model      {folder}")
    print(f"scored on  {result.manifest}")
    lost = f"; {result.left_out:,} more have no frame" if result.left_out else ""
    print(
        f"tokens     {len(result.tokens):,} of {result.found:,} {_kind(result)}, at "
        f"{float(result.frame_rate):g} frames/s{lost}"
    )
    drawn = [f"at most {task.max_group} tokens of a phone, speaker and context"]
    drawn += [f"{task.max_speakers} speakers of X", f"seed {task.seed}"]
    print(f"drawn      {', '.join(drawn)}")
    for mode, score in result.scores[CODES].items():
        print(
            f"{mode:10} {score.triples:,} triples in {score.cells:,} cells; "
            f"contexts {score.contexts:,}, pairs of phones {score.pairs:,}, "
            f"speakers {score.speakers}"
        )
    cells = [["ABX error, %", *result.scores[CODES], "distance of frames"]]
    for name, modes in result.scores.items():
        cells.append([name, *map(_cell, modes.values()), DISTANCES[name]])
    print(f"\n{aligned(cells)}")


def _cell(score: AbxScore) -> str:
    """The error, with its interval where contexts could be resampled."""
    if math.isnan(score.error):
        return "-"
    interval = (
        "" if math.isnan(score.low) else f" ({100 * score.low:.1f} to {100 * score.high:.1f})"
    )
    return f"{100 * score.error:.1f}{interval}"
