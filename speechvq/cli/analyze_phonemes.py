"""speechvq-analyze phonemes: how well the codes tell phones."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq.cli.analyzing import as_json, manifest, out_folder, progress, write_results
from speechvq.cli.errors import Parser
from speechvq.cli.numbers import above_zero, seed

if TYPE_CHECKING:
    from collections.abc import Callable

    from speechvq.analysis.confusion import PhoneRecall
    from speechvq.evaluation.learning_curve import CheckpointScores
    from speechvq.evaluation.phonemes import PhonemeEvaluation
    from speechvq.model import Model

logger = logging.getLogger(__name__)

NOTES = """\
Each code is mapped to its most likely phone on one part of the data; the map is scored on another
part. The phone of a code is the one at the centre of the code's frame. The baselines have the same
number of codes: k-means on the latents of an untrained encoder, on MFCCs, and on cepstra that are
speaker-normalised, without transcripts, by the speech that codes are mapped on.

Product codes, of several codebooks, are mapped by a linear classifier (logistic regression) on all
of them. Each codebook is scored alone, too, and has tables and figures of its own: codes-1.csv, …

--ssl adds baselines with more behind them: k-means on what HuBERT, WavLM or wav2vec 2.0 learned
from many hours. They need torchaudio: pip install "speechvq[ssl]".

Boundaries: changes of the code against beginnings and ends of phones, at most 20 ms apart, one to
one, beside as many boundaries at regular and at random places.

Default: the last trained model, mapped on its training data and scored on its test data.
Writes scores.json, codes.csv (the codes and their phones), recall.csv, and the figures confusion,
codes and recall, each as PNG and as SVG; with --checkpoints also the table and the figure
learning_curve.
"""


def parser() -> Parser:
    """The options of speechvq-analyze phonemes."""
    parser = Parser("analyze phonemes", "How well do the codes of a model tell phones?", NOTES)
    add = parser.add_argument
    add("--model", metavar="DIR", help="model folder (default: the last one trained)")
    add("--map-on", metavar="FILE", help="manifest to map on (default: the training data)")
    add("--score-on", metavar="FILE", help="manifest to score on (default: the test data)")
    add("--out", metavar="DIR", help="folder to write to (default: phonemes beside the model)")
    add("--max-minutes", type=above_zero, default=60, metavar="M",
        help="draw at most M minutes of speech from each manifest (default: 60)")  # fmt: skip
    add("--no-baselines", action="store_true", help="score the learned codes only")
    add("--ssl", nargs="+", default=[], metavar="NAME[:LAYER]",
        help="further baselines: k-means on a layer of a self-supervised model of torchaudio, such "
        "as HUBERT_BASE:6, WAVLM_BASE or WAV2VEC2_BASE (without a layer the one in the middle)"
        )  # fmt: skip
    add("--ssl-weights", metavar="FILE",
        help="weights of the one --ssl (default: torchaudio fetches them)")  # fmt: skip
    add("--checkpoints", action="store_true",
        help="score every checkpoint of the training, too (training.keep_every)")  # fmt: skip
    add("--json", action="store_true", help="print the scores as JSON")
    add(
        "--seed",
        type=seed,
        default=0,
        help="seed of the baselines, of --max-minutes, of random boundaries and of the frames that "
        "the map of product codes is fitted on (default: 0)",
    )
    add("--device", default="cpu", help="cpu, cuda, cuda:1, … (default: cpu)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Score the codes, write tables and pictures, and print the scores."""
    if options.no_baselines and options.ssl:
        raise ValueError("--ssl is a baseline, and --no-baselines leaves them out")
    if options.ssl_weights and len(options.ssl) != 1:
        raise ValueError(f"--ssl-weights is of one model, and --ssl names {len(options.ssl)}")
    from speechvq import model_folder
    from speechvq.evaluation.learning_curve import find_checkpoints, learning_curve
    from speechvq.evaluation.normalised import normalisation_of
    from speechvq.evaluation.phonemes import evaluate_phonemes, labelled_utterances

    folder = model_folder.find_model(options.model)
    config = model_folder.read_config(folder)
    checkpoints = find_checkpoints(folder) if options.checkpoints else []
    paths = (
        _map_manifest(options.map_on, config),
        manifest(options.score_on, config, "test", "--score-on"),
    )
    parts = [(p, labelled_utterances(p, options.max_minutes, options.seed)) for p in paths]
    if shared := {u.id for u in parts[0][1]} & {u.id for u in parts[1][1]}:
        logger.warning(
            "%d utterances are both mapped on and scored: the scores are too high", len(shared)
        )
    model = model_folder.load_model(folder, options.device)
    result = evaluate_phonemes(
        model,
        parts[0],
        parts[1],
        not options.no_baselines,
        options.seed,
        progress,
        normalisation_of(config),
        _self_supervised(options, model),
    )
    shown = progress(checkpoints, "checkpoints", "checkpoints")
    curve = learning_curve(model, shown, result.mapped, result.scored, options.seed)
    out = out_folder(options.out, folder, "phonemes")
    scores = {"model": str(folder), **result.to_dict()}
    if curve:
        scores["checkpoints"] = curve
    written = _write(out, result, curve, scores)
    if options.json:
        print(as_json(scores))
    else:
        _print(folder, result)
        if curve:
            _print_curve(curve)
        print(written)
    return 0


def _self_supervised(options: argparse.Namespace, model: Model) -> dict[str, Callable[..., Any]]:
    """Features of the self-supervised models asked for, by the name of the baseline."""
    from speechvq.analysis.self_supervised import self_supervised

    found = {}
    for choice in options.ssl:
        name, features = self_supervised(
            choice, model.sample_rate, model.hop_length, options.ssl_weights, options.device
        )
        found[f"k-means of {name}"] = lambda e, own=features: own(e.waveform, len(e.codes))
    return found


def _map_manifest(given: str | None, config: dict[str, Any]) -> str:
    """The train manifest; where it has no phones and the valid one does, that."""
    from speechvq.data.manifest import read_manifest

    train = manifest(given, config, "train", "--map-on")
    valid = (config.get("data") or {}).get("valid")
    if given or not valid or not Path(valid).is_file():
        return train

    def labelled(path: str) -> bool:
        return any(u.phones for u in read_manifest(path))

    if not labelled(train) and labelled(valid):
        logger.info("%s has no phones; mapping on %s", train, valid)
        return str(valid)
    return train


def _write(
    out: Path, result: PhonemeEvaluation, curve: list[CheckpointScores], scores: dict[str, Any]
) -> str:
    import numpy as np

    from speechvq.analysis.table import code_files, code_table
    from speechvq.evaluation.phonemes import LEARNED
    from speechvq.report.phone_pictures import codes_figure, confusion_figure
    from speechvq.report.phonemes_figures import learning_curve_figure, recall_figure

    G, K = result.codebooks, result.codebook_size
    map_labels = np.concatenate(result.mapped.labels)
    score_labels = np.concatenate(result.scored.labels)
    codes = f"{result.frame_rate:g} codes/s, {_codebooks(result)}"
    title = (
        f"Confusion of phones\n{codes}, {len(score_labels):,} scored frames: "
        f"accuracy {result.scores[LEARNED].accuracy:.1%}"
    )
    figures = {
        "confusion": confusion_figure(score_labels, result.predicted, title),
        "recall": recall_figure(result.recalls, f"Recall of each phone\n{codes}"),
    }
    tables = {"recall": _recall_table(result.recalls)}
    if curve:
        tables["learning_curve"] = _curve_table(curve)
        title = f"Phones of the codes over the training\n{codes}"
        figures["learning_curve"] = learning_curve_figure(
            [c.global_step for c in curve],
            [c.stage for c in curve],
            [c.started for c in curve],
            [c.scores for c in curve],
            title,
        )
    by_codebook = np.concatenate(result.mapped.codes).reshape(-1, G).T
    for (name, which), own in zip(code_files(G).items(), by_codebook, strict=True):
        title = f"Phones of each code{which}: {codes}"
        tables[name] = code_table(own, map_labels, K)
        figures[name] = codes_figure(own, map_labels, K, title)
    return write_results(out, scores, tables, figures)


def _recall_table(recalls: list[PhoneRecall]) -> list[list[Any]]:
    from speechvq.analysis.phone_classes import class_of

    rows: list[list[Any]]
    rows = [["phone", "class", "frames", "recall", "low", "high", "mistaken_for", "mistaken"]]
    for found in recalls:
        recall = found.recall
        rows.append(
            [found.phone, class_of(found.phone), found.frames, recall.value, recall.low]
            + [recall.high, found.mistaken_for, found.mistaken]
        )
    return rows


def _curve_table(curve: list[CheckpointScores]) -> list[list[Any]]:
    rows: list[list[Any]] = [
        ["checkpoint", "stage", "step", "global_step", "codebook_started", "accuracy", "low"]
        + ["high", "class_accuracy", "perplexity"]
    ]
    for found in curve:
        scores = found.scores
        rows.append(
            [found.file, found.stage, found.step, found.global_step, found.started]
            + [scores.accuracy, *(scores.accuracy_interval or ("", ""))]
            + [scores.class_accuracy, found.perplexity]
        )
    return rows


def _codebooks(result: PhonemeEvaluation) -> str:
    several = f"{result.codebooks} codebooks, " if result.codebooks > 1 else ""
    return f"{several}K = {result.codebook_size}"


def _print(folder: Path, result: PhonemeEvaluation) -> None:
    from speechvq.analysis.phonemes import PRODUCT_NOTE
    from speechvq.analysis.table import boundary_table, gain_table, score_table
    from speechvq.evaluation.phonemes import LEARNED, WELL_USED

    G, K = result.codebooks, result.codebook_size
    print(f"model      {folder}")
    print(
        f"codes      {_codebooks(result)}, {result.frame_rate:g} codes/s, "
        f"{result.bitrate:.0f} bits/s; {result.scores[LEARNED].phone_classes} phone classes"
    )
    print(f"mapped on  {result.mapped.description}")
    print(f"scored on  {result.scored.description}\n")
    print(score_table(result.scores))
    if G > 1:
        print(f"\n{PRODUCT_NOTE}")
    if result.accuracy_gains:
        print(f"\n{gain_table(result.accuracy_gains)}")
    print(f"\n{boundary_table(result.boundaries)}")
    perplexity = f"{'perplexity' if G == 1 else 'the lowest perplexity'} {result.perplexity:.1f}"
    if result.codebook_well_used:
        print(f"\ncodebook well used: {perplexity} is over K/{WELL_USED}")
    else:
        print(
            f"\ncodebook poorly used: {perplexity} is under K/{WELL_USED} = "
            f"{K / WELL_USED:g}; the scores are those of a smaller codebook"
        )


def _print_curve(curve: list[CheckpointScores]) -> None:
    from speechvq.analysis.table import aligned, known

    rows = [["checkpoint", "stage", "steps", "accuracy", "class accuracy", "perplexity"]]
    for found in curve:
        rows.append(
            [
                found.file.removesuffix(".safetensors"),
                found.stage,
                f"{found.global_step:,}",
                f"{found.scores.accuracy:.3f}",
                known("{:.3f}", found.scores.class_accuracy),
                f"{found.perplexity:.1f}" + ("" if found.started else "*"),
            ]
        )
    print(f"\n{aligned(rows)}")
    if not all(found.started for found in curve):
        print("* before its codebook starts: k-means centres of its latents stand for it")
