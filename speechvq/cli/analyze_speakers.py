"""speechvq-analyze speakers: what is left of the speaker in codes and latents."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq.cli.analyzing import as_json, manifest, out_folder, progress, write_results
from speechvq.cli.errors import Parser
from speechvq.cli.numbers import above_zero, seed

if TYPE_CHECKING:
    from speechvq.analysis.bootstrap import Estimate
    from speechvq.analysis.speakers import Shuffled
    from speechvq.evaluation.speakers import SpeakerEvaluation

NOTES = """\
Two probes, logistic regression and nearest neighbours, are trained to tell the speakers of the
manifest from one vector an utterance, and scored on other recordings by cross-validation: the
histogram of its codes, its mean latent, and as an upper end its mean MFCC. Speakers should be in no
training; the output says how many of their names the model knows.

Where utterances have phones: mutual information of code and speaker given the phone, in bits per
frame, beside that of shuffled speakers.

Default: the last trained model, on its test data.
Writes scores.json, probes.csv, information.csv, and the figure speakers as PNG and as SVG.
"""


def parser() -> Parser:
    """The options of speechvq-analyze speakers."""
    parser = Parser("analyze speakers", "What is left of the speaker in the codes?", NOTES)
    add = parser.add_argument
    add("--model", metavar="DIR", help="model folder (default: the last one trained)")
    add("--manifest", metavar="FILE",
        help="speech of two speakers or more (default: the test data)")  # fmt: skip
    add("--out", metavar="DIR", help="folder to write to (default: speakers beside the model)")
    add("--max-minutes", type=above_zero, default=60, metavar="M",
        help="draw at most M minutes of speech (default: 60)")  # fmt: skip
    add("--json", action="store_true", help="print the scores as JSON")
    add("--seed", type=seed, default=0,
        help="seed of the folds, the shuffles and of --max-minutes (default: 0)")  # fmt: skip
    add("--device", default="cpu", help="cpu, cuda, cuda:1, … (default: cpu)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Probe codes and latents, write tables and the figure, and print the scores."""
    from speechvq import model_folder
    from speechvq.data.manifest import read_usable
    from speechvq.data.subsets import within_minutes
    from speechvq.evaluation.speakers import evaluate_speakers, several_recordings
    from speechvq.report.speakers_figures import speakers_figure

    folder = model_folder.find_model(options.model)
    path = manifest(options.manifest, model_folder.read_config(folder), "test", "--manifest")
    drawn = within_minutes(read_usable(path), path, options.max_minutes, options.seed)
    utterances = several_recordings(drawn, path)
    model = model_folder.load_model(folder, options.device)
    shown = progress(utterances, f"encode {Path(path).name}")
    result = evaluate_speakers(model, path, shown, options.seed)
    out = out_folder(options.out, folder, "speakers")
    scores = {"model": str(folder), **result.to_dict()}
    title = f"What is left of the speaker\n{_speakers(result)}"
    figure = speakers_figure(result.probes, result.information, title)
    written = write_results(out, scores, _tables(result), {"speakers": figure})
    if options.json:
        print(as_json(scores))
    else:
        _print(folder, result)
        print(written)
    return 0


def _tables(result: SpeakerEvaluation) -> dict[str, list[list[Any]]]:
    probes: list[list[Any]]
    probes = [["given", "features", "linear", "low", "high", "neighbours", "low", "high", "chance"]]
    for name, p in result.probes.items():
        probes.append([name, p.features, *_ends(p.linear), *_ends(p.neighbours), p.chance])
    information: list[list[Any]] = [
        ["codes", "plugin", "low", "high", "frames_shuffled", "low", "high"]
        + ["utterances_shuffled", "low", "high", "excess", "low", "high", "speaker_entropy"]
    ]
    for name, i in result.information.items():
        found = (i.plugin, i.frames, i.utterances, i.excess)
        information.append([name, *(x for part in found for x in _ends(part)), i.speaker_entropy])
    return {"probes": probes, "information": information}


def _ends(found: Estimate | Shuffled) -> list[float]:
    return [found.value, found.low, found.high]


def _speakers(result: SpeakerEvaluation) -> str:
    return (
        f"{len(result.speakers)} speakers, {len(result.known)} by names that the model knows; "
        f"{result.utterances} utterances"
    )


def _print(folder: Path, result: SpeakerEvaluation) -> None:
    from speechvq.analysis.speakers import NEIGHBOURS
    from speechvq.analysis.table import aligned

    print(f"model      {folder}")
    print(f"scored on  {result.manifest} ({_speakers(result)})")
    if result.known:
        print("           if they are those of its training, other speakers may leave more")
    chance = next(iter(result.probes.values())).chance
    print(f"\naccuracy of the speaker, {result.folds} folds of recordings; chance {chance:.3f}")
    rows = [["", "linear probe (95 % interval)", f"{NEIGHBOURS} nearest neighbours"]]
    rows += [
        [name, _interval(p.linear), _interval(p.neighbours)] for name, p in result.probes.items()
    ]
    print(aligned(rows))
    if not result.information:
        print(
            "\nno two speakers have phones, so there is no mutual information given the phone; "
            f"speechvq-align {result.manifest} makes them"
        )
        return
    most = next(iter(result.information.values())).speaker_entropy
    print(
        f"\nI(code; speaker | phone), bits per frame of at most {most:.2f}; "
        f"{result.labelled} utterances with phones"
    )
    rows = [["", "plug-in (95 % interval)", "frames shuffled", "utterances shuffled", "excess"]]
    rows += [
        [name, *(_interval(x) for x in (i.plugin, i.frames, i.utterances, i.excess))]
        for name, i in result.information.items()
    ]
    print(aligned(rows))


def _interval(found: Estimate | Shuffled) -> str:
    """A value and, where there is one, its interval."""
    value, low, high = (f"{x:.3f}" for x in _ends(found))
    return value if low == "nan" else f"{value} ({low} to {high})"
