"""speechvq-analyze conversion: speaker similarity, WER, PER, DNSMOS and pitch of conversions."""

from __future__ import annotations

import argparse
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq.cli.analyzing import as_json, manifest, out_folder, progress, write_results
from speechvq.cli.errors import Parser
from speechvq.cli.numbers import whole_number
from speechvq.cli.speaking import (
    add_model_options,
    add_sampling_options,
    progress_bar,
    sampling_options,
)

if TYPE_CHECKING:
    from speechvq.evaluation.conversion import ConversionEvaluation

NOTES = """\
Utterances of the test data, or of any people, are synthesised by another speaker (conversion)
and, where the model knows their speaker, by their own (reconstruction). Judges that were not
trained here compare them with the recordings:
  speaker  similarity to target and source; accuracy of naming the target, among all targets and
           the source (Resemblyzer)
  WER      word error rate (whisper tiny.en)
  PER      phone error rate, without a language model of words (pocketsphinx)
  DNSMOS   predicted opinion score of quality, 1 to 5 (speechmos)
  pitch    median, range, voiced share; voiced share minus the source's, and correlation with the
           source's log pitch (pyworld)
Install the judges with: pip install "speechvq[judges]". Missing ones are left out. Intervals are
95 % bootstrap intervals over utterances of these people; other people may differ by more. WER and
PER are for English only; where the manifest has no text, or no phones, the reference is what the
recogniser hears of the recording.

Writes scores.json, with scores and transcripts of each trial.

People whom the model does not know, in groups:
  speechvq-analyze conversion --manifest clean=clean.jsonl mp3=mp3.jsonl \
      --targets targets.jsonl --speaker p225 p226 --trials all
"""


def parser() -> Parser:
    """The options of speechvq-analyze conversion."""
    parser = Parser("analyze conversion", "How well does a model convert voices?", NOTES)
    add_model_options(parser)
    add = parser.add_argument
    add("--manifest", nargs="+", metavar="[GROUP=]FILE",
        help="utterances to convert, of any speakers (default: the test data); scores are also "
        "given for each GROUP")  # fmt: skip
    add("--trials", type=_trials, default=24, metavar="N",
        help="conversions of each manifest, balanced over sources and targets; all: each utterance "
        "once (default: 24)")  # fmt: skip
    add("--speaker", nargs="+", metavar="NAME",
        help="targets (default: all speakers of the model with recordings)")  # fmt: skip
    add("--targets", metavar="FILE",
        help="manifest with recordings of the targets (default: those in --manifest)")  # fmt: skip
    add("--recogniser", metavar="DIR",
        help="model folder of faster-whisper for the WER (default: tiny.en)")  # fmt: skip
    add("--out", metavar="DIR", help="folder to write to (default: conversion beside the model)")
    add("--griffin-lim", action="store_true",
        help="speech of the mel predictor alone, with phases by Griffin-Lim: for a model whose "
        "decoder has not learned yet")  # fmt: skip
    add("--wavs", action="store_true", help="write the judged speech to DIR/wavs")
    add("--json", action="store_true", help="print the scores as JSON")
    add_sampling_options(parser)
    return parser


def _trials(text: str) -> int | None:
    return None if text == "all" else whole_number(text)


def _groups(given: list[str]) -> dict[str | None, str]:
    """Manifests by their group; one without a name stands alone."""
    if len(given) == 1 and ("=" not in given[0] or Path(given[0]).is_file()):
        return {None: given[0]}
    groups: dict[str | None, str] = {}
    for text in given:
        group, _, path = text.partition("=")
        if not (group and path) or group in groups:
            raise ValueError(
                f"--manifest {text}: expected GROUP=FILE, with another GROUP for each of several"
            )
        groups[group] = path
    return groups


def run(options: argparse.Namespace) -> int:
    """Convert, judge, write the scores and print them."""
    started = time.monotonic()
    drawing = sampling_options(options)
    from speechvq import model_folder
    from speechvq.analysis.judges import judge_makers
    from speechvq.evaluation.conversion import (
        available_judges,
        evaluate_conversion,
        seconds_to_draw,
    )
    from speechvq.evaluation.trials import choose_trials
    from speechvq.sampling.griffin_lim import griffin_lim_batch

    folder = model_folder.find_model(options.model)
    if options.manifest:
        manifests = _groups(options.manifest)
    else:
        config = model_folder.read_config(folder)
        manifests = {None: manifest(None, config, "test", "--manifest")}
    model = model_folder.load_model(folder, options.device)
    trials = choose_trials(
        manifests, model, options.speaker, options.trials, options.seed, options.targets
    )
    judges = available_judges(judge_makers(options.recogniser))
    with progress_bar(seconds_to_draw(model, trials), model.sample_rate) as drawn:
        result = evaluate_conversion(
            model,
            trials,
            judges,
            drawing,
            progress,
            drawn,
            griffin_lim_batch if options.griffin_lim else None,
        )
    scores = {
        "model": str(folder),
        "sampling": {"griffin_lim": True, "seed": drawing.seed}
        if options.griffin_lim
        else dataclasses.asdict(drawing.of(model)),
        "seconds": round(time.monotonic() - started, 1),
        **result.to_dict(),
    }
    out = out_folder(options.out, folder, "conversion")
    written = write_results(out, scores)
    if options.wavs:
        _write_sounds(out / "wavs", result)
    if options.json:
        print(as_json(scores))
    else:
        _print(folder, result, scores["sampling"])
        print(f"\n{written}" + (", wavs" if options.wavs else ""))
    return 0


def _write_sounds(folder: Path, result: ConversionEvaluation) -> None:
    from speechvq import audio
    from speechvq.analysis.judges.level import SAMPLE_RATE

    for name, waveform in result.synthesised.named(result.trials).items():
        audio.write(folder / f"{name.replace('/', '_')}.wav", waveform, SAMPLE_RATE)


def _print(folder: Path, result: ConversionEvaluation, sampling: dict[str, Any]) -> None:
    from speechvq.analysis.judges.table import formatted, score_table

    print(f"model      {folder}")
    for group, path in result.trials.manifests.items():
        trials = [trial for trial in result.trials.trials if trial.group == group]
        utterances = {trial.utterance.id: trial.utterance for trial in trials}.values()
        sources = {utterance.speaker for utterance in utterances}
        targets = {trial.target for trial in trials}
        print(
            f"judged     {len(trials)} conversions of {len(utterances)} utterances of {path}: "
            f"{len(sources)} sources, {len(targets)} targets; with text "
            f"{sum(u.text is not None for u in utterances)}, with phones "
            f"{sum(u.phones is not None for u in utterances)}"
        )
    print("sampling   " + ", ".join(f"{k} {v}" for k, v in sampling.items() if v is not None))
    if result.bits_per_sample:
        bits = formatted(result.bits_per_sample, ".3f")
        print(f"bits       {bits} per sample of the recordings, given their codes")
    for judge in result.judges:
        judged = result.judged[judge.title]
        print(f"\n{judge.title}, by {judge.name}\n{score_table(judge.formats, judged.scores)}")
        for parts in (judged.by_group, judged.by_target):
            rows = {
                f"{part}, {kind}": numbers
                for part, kinds in parts.items()
                for kind, numbers in kinds.items()
            }
            if rows:
                print(f"\n{score_table(judge.formats, rows)}")
