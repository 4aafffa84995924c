"""speechvq-analyze conversion: speaker similarity, WER, PER, DNSMOS and pitch of conversions."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from speechvq.cli.analyzing import beside, manifest, progress
from speechvq.cli.errors import Parser
from speechvq.cli.speaking import (
    add_model_options,
    add_sampling_options,
    progress_bar,
    sampling_options,
)

if TYPE_CHECKING:
    from speechvq.evaluation.conversion import ConversionEvaluation
    from speechvq.sampling import SamplingOptions

NOTES = """\
Utterances of the test data are synthesised by their own speaker (reconstruction) and by another
speaker (conversion). Judges that were not trained here compare them with the recordings:
  speaker  similarity to target and source, speaker-identification accuracy (Resemblyzer)
  WER      word error rate (whisper tiny.en)
  PER      phone error rate, without a language model of words (pocketsphinx)
  DNSMOS   predicted opinion score of quality, 1 to 5 (speechmos)
  pitch    median, range and voiced share (pyworld)
Install the judges with: pip install "speechvq[judges]". Missing ones are left out. Intervals are
95 % bootstrap intervals over utterances. WER and PER are for English only.

Writes scores.json, with the transcripts of each trial.
"""


def parser() -> Parser:
    """The options of speechvq-analyze conversion."""
    parser = Parser("analyze conversion", "How well does a model convert voices?", NOTES)
    add_model_options(parser)
    add = parser.add_argument
    add("--manifest", metavar="FILE", help="utterances to convert (default: the test data)")
    add("--trials", type=int, default=24, metavar="N",
        help="conversions, balanced over sources and targets (default: 24)")  # fmt: skip
    add("--speaker", nargs="+", metavar="NAME", help="targets (default: all of the manifest's)")
    add("--recogniser", metavar="DIR",
        help="model folder of faster-whisper for the WER (default: tiny.en)")  # fmt: skip
    add("--out", metavar="DIR", help="folder to write to (default: conversion beside the model)")
    add("--wavs", action="store_true", help="write the judged speech to DIR/wavs")
    add("--json", action="store_true", help="print the scores as JSON")
    add_sampling_options(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Convert, judge, write the scores and print them."""
    if options.trials < 1:
        raise ValueError(f"--trials must be 1 or more, got {options.trials}")
    started = time.monotonic()
    from speechvq import model_folder
    from speechvq.analysis.judges import judge_makers
    from speechvq.evaluation.conversion import (
        available_judges,
        choose_trials,
        evaluate_conversion,
        seconds_to_draw,
    )

    sampling = sampling_options(options)
    folder = model_folder.find_model(options.model)
    path = manifest(options.manifest, model_folder.read_config(folder), "test", "--manifest")
    model = model_folder.load_model(folder, options.device)
    trials = choose_trials(path, model, options.speaker, options.trials, options.seed)
    judges = available_judges(judge_makers(options.recogniser))
    with progress_bar(seconds_to_draw(model, trials), model.sample_rate) as drawn:
        result = evaluate_conversion(
            model,
            trials,
            judges,
            sampling,
            options.device,
            progress,
            drawn,
        )
    scores = {
        "model": str(folder),
        "sampling": dataclasses.asdict(sampling),
        "seconds": round(time.monotonic() - started, 1),
        **result.to_dict(),
    }
    out = Path(options.out) if options.out else beside(folder, "conversion")
    _write(out, result, scores, options.wavs)
    if options.json:
        print(json.dumps(scores, indent=1))
    else:
        _print(folder, result, sampling)
        print(f"\nwritten    {out}/: scores.json" + (", wavs" if options.wavs else ""))
    return 0


def _write(out: Path, result: ConversionEvaluation, scores: dict, wavs: bool) -> None:
    from speechvq import audio
    from speechvq.analysis.judges.level import SAMPLE_RATE

    audio.write_bytes(out / "scores.json", (json.dumps(scores, indent=1) + "\n").encode())
    for name, waveform in result.synthesised.named(result.trials).items() if wavs else ():
        audio.write(out / "wavs" / f"{name.replace('/', '_')}.wav", waveform, SAMPLE_RATE)


def _print(folder: Path, result: ConversionEvaluation, sampling: SamplingOptions) -> None:
    from speechvq.analysis.judges.table import formatted, score_table

    trials = result.trials.trials
    sources = {trial.utterance.speaker for trial in trials}
    targets = {trial.target for trial in trials}
    bits = formatted(result.bits_per_sample, ".3f")
    print(f"model      {folder}")
    print(
        f"judged     {len(trials)} conversions of {len(result.trials.utterances)} utterances of "
        f"{result.trials.manifest}: {len(sources)} sources, {len(targets)} targets; "
        + ", ".join(f"{k} {v}" for k, v in dataclasses.asdict(sampling).items() if v is not None)
    )
    print(f"bits       {bits} per sample of the recordings, given their codes")
    for judge in result.judges:
        if judge.title not in result.judged:
            continue
        judged = result.judged[judge.title]
        print(f"\n{judge.title}, by {judge.name}\n{score_table(judge.formats, judged.scores)}")
        rows = {
            f"{target}, {kind}": numbers
            for target, kinds in judged.by_target.items()
            for kind, numbers in kinds.items()
        }
        if rows:
            print(f"\n{score_table(judge.formats, rows)}")
