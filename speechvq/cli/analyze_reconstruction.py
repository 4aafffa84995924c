"""speechvq-analyze reconstruction: how close reconstructions are to the recordings."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq.cli.analyzing import as_json, manifest, out_folder, progress, write_results
from speechvq.cli.errors import Parser
from speechvq.cli.numbers import above_zero
from speechvq.cli.speaking import (
    add_model_options,
    add_sampling_options,
    progress_bar,
    sampling_options,
)

if TYPE_CHECKING:
    from speechvq.evaluation.reconstruction import ReconstructionEvaluation

NOTES = """\
Utterances are encoded and drawn again by their own speakers, and compared with the recordings,
frame by frame: a reconstruction is not delayed.
  bits per sample     of the recording given its codes
  LSD, MCD            log-spectral distance, mel-cepstral distortion in dB, where there is speech
  STOI, ESTOI         intelligibility from 0 to 1 (pystoi)
  ViSQOL              opinion score of similarity, 1 to 5 (visqol-python)
  gross pitch errors  of more than 20 %, of the frames voiced in both (pyworld)
  voicing errors      frames voiced in one of the two alone
  F0 RMSE             of the pitch that is not grossly wrong
  DNSMOS              opinion score of quality, 1 to 5, of the recordings, too (speechmos)
Install the packages with: pip install "speechvq[judges]". What is missing is left out. Where the
model has a mel predictor, two rows have speech by Griffin-Lim: of the predicted log-mel frames, and
of the recording's own. Intervals are 95 % bootstrap intervals over utterances.

Writes scores.json, reconstruction.csv, utterances.csv, and the figures reconstruction and
spectrograms, each as PNG and as SVG.
"""


def parser() -> Parser:
    """The options of speechvq-analyze reconstruction."""
    parser = Parser(
        "analyze reconstruction", "How close are reconstructions to the recordings?", NOTES
    )
    add_model_options(parser)
    add = parser.add_argument
    add("--manifest", metavar="FILE", help="utterances to reconstruct (default: the test data)")
    add("--speaker", metavar="NAME",
        help="speaker of the model who reconstructs those utterances whose speakers the model does "
        "not know (default: they are left out)")  # fmt: skip
    add("--max-minutes", type=above_zero, default=2, metavar="M",
        help="draw at most M minutes of speech from the manifest (default: 2)")  # fmt: skip
    add("--out", metavar="DIR",
        help="folder to write to (default: reconstruction beside the model)")  # fmt: skip
    add("--wavs", action="store_true", help="write the compared speech to DIR/wavs")
    add("--json", action="store_true", help="print the scores as JSON")
    add_sampling_options(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Reconstruct, compare, write the results and print them."""
    drawing = sampling_options(options)
    from speechvq import model_folder
    from speechvq.data.subsets import within_minutes
    from speechvq.evaluation.conversion import available_judges
    from speechvq.evaluation.reconstruction import (
        JUDGES,
        evaluate_reconstruction,
        reconstructible,
    )
    from speechvq.report.reconstruction_figures import spectrograms_figure
    from speechvq.report.score_figure import scores_figure

    folder = model_folder.find_model(options.model)
    path = options.manifest or manifest(
        None, model_folder.read_config(folder), "test", "--manifest"
    )
    model = model_folder.load_model(folder, options.device)
    known = reconstructible(path, model, options.speaker)
    utterances = within_minutes(known, path, options.max_minutes, options.seed)
    judges = available_judges(JUDGES)
    with progress_bar(sum(u.duration for u in utterances), model.sample_rate) as drawn:
        result = evaluate_reconstruction(model, utterances, judges, drawing, progress, drawn)
    scores = {
        "model": str(folder),
        "manifest": path,
        "sampling": dataclasses.asdict(drawing.of(model)),
        **result.to_dict(),
    }
    longest = max(range(len(utterances)), key=lambda i: utterances[i].duration)
    title = f"{len(utterances)} utterances, {model.frame_rate:g} codes/s, {model.bitrate:g} bits/s"
    out = out_folder(options.out, folder, "reconstruction")
    written = write_results(
        out,
        scores,
        {"reconstruction": _rows(result), "utterances": _each(result)},
        {
            "reconstruction": scores_figure(_shown(result), title),
            "spectrograms": spectrograms_figure(
                {kind: waveforms[longest] for kind, waveforms in result.speech.items()},
                utterances[longest].id,
            ),
        },
    )
    if options.wavs:
        _write_sounds(out / "wavs", result)
    if options.json:
        print(as_json(scores))
        return 0
    print(f"model      {folder}")
    print(f"compared   {len(utterances)} utterances of {path}")
    print(
        "sampling   "
        + ", ".join(f"{k} {v}" for k, v in scores["sampling"].items() if v is not None)
    )
    _print(result)
    print(f"\n{written}" + (", wavs" if options.wavs else ""))
    return 0


def _shown(result: ReconstructionEvaluation) -> dict[str, tuple[str, dict[str, Any]]]:
    """By the name of each number its format, and estimates by kind of speech.

    Of DNSMOS the overall score alone; `scores.json` has the others.
    """
    return {
        ("DNSMOS" if judge.title == "DNSMOS" else name): (
            form,
            {kind: of[name] for kind, of in result.scores[judge.title].items() if name in of},
        )
        for judge in result.judges
        for name, form in judge.formats.items()
        if judge.title != "DNSMOS" or name == "overall"
    }


def _rows(result: ReconstructionEvaluation) -> list[list[Any]]:
    rows: list[list[Any]] = [["score", "speech", "value", "low", "high", "utterances"]]
    found = {"bits per sample": ("", {"reconstruction": result.bits_per_sample}), **_shown(result)}
    for name, (_, kinds) in found.items():
        rows += [[name, kind, e.value, e.low, e.high, e.utterances] for kind, e in kinds.items()]
    return rows


def _each(result: ReconstructionEvaluation) -> list[list[Any]]:
    names = list(dict.fromkeys(name for numbers in result.each for name in numbers))
    rows: list[list[Any]] = [["utterance", "speaker", *names]]
    for utterance, numbers in zip(result.utterances, result.each, strict=True):
        rows.append([utterance.id, utterance.speaker, *(numbers.get(name, "") for name in names)])
    return rows


def _write_sounds(folder: Path, result: ReconstructionEvaluation) -> None:
    from speechvq import audio
    from speechvq.analysis.judges.level import SAMPLE_RATE

    for kind, waveforms in result.speech.items():
        for utterance, waveform in zip(result.utterances, waveforms, strict=True):
            name = f"{utterance.id}-{kind}".replace("/", "_").replace(", ", "-").replace(" ", "-")
            audio.write(folder / f"{name}.wav", waveform, SAMPLE_RATE)


def _print(result: ReconstructionEvaluation) -> None:
    from speechvq.analysis.judges.table import formatted
    from speechvq.analysis.table import aligned

    bits = formatted(result.bits_per_sample, ".3f")
    print(f"bits       {bits} per sample of the recordings, given their codes\n")
    cells = [["", *result.speech]]
    for name, (form, kinds) in _shown(result).items():
        cells.append([name, *(formatted(kinds.get(kind), form) for kind in result.speech)])
    print(aligned(cells))
    print("\nby " + ", ".join(dict.fromkeys(judge.name for judge in result.judges)))
