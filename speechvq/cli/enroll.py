"""speechvq-enroll: a new speaker for a model, from recordings."""

from __future__ import annotations

import json
import os
from pathlib import Path

from speechvq import audio
from speechvq.cli import numbers, speaking
from speechvq.cli.errors import OK, Parser, command

EXAMPLES = f"""\
examples:
  speechvq-enroll --name me --wavs recordings/
  speechvq-enroll --name me --wavs recordings/ --out exp/me/vqvae
  speechvq-convert --src a.wav --speaker me

About a minute of one person's speech serves well, recorded as the model's speakers were. Only what
is the new voice's own is learned: codes stay valid, and the other speakers sound exactly as before.
A part of the recordings is held out; the bits per sample on it say how well the decoder
expects them, before in the voice of the nearest speaker and after in the new one. Fewer is better.

{speaking.WHICH_MODEL}
A recording that cannot be used is reported, and the others are used. The model folder stays
exactly as it is until the new speaker is ready.
"""


def parser() -> Parser:
    """The options of speechvq-enroll."""
    parser = Parser("enroll", "Add a speaker to a model, from recordings.", EXAMPLES)
    add = parser.add_argument
    add("--name", required=True, metavar="NAME", help="of the new speaker")
    add("--wavs", required=True, nargs="+", metavar="PATH",
        help="the speaker's recordings: folders and audio files")  # fmt: skip
    add("--out", metavar="DIR",
        help="write a copy of the model with the speaker (default: add to the model)")  # fmt: skip
    add("--replace", action="store_true", help="replace a speaker who has this name")
    add("--steps", type=numbers.whole_number, default=200, metavar="N",
        help="of learning (default: %(default)s)")  # fmt: skip
    add("--seed", type=numbers.seed, default=0, metavar="N",
        help="of the random numbers (default: %(default)s)")  # fmt: skip
    speaking.add_model_options(parser)
    add("--json", action="store_true", help="print the outcome as JSON")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Enroll a speaker and print what was learned."""
    options = parser().parse_args(argv)
    audio.find(options.wavs, report=lambda _: None)  # a wrong path shows before torch is loaded

    from speechvq.model_folder import find_model

    model = find_model(options.model)
    out = _output(model, options.out, options.name)

    from speechvq.training.enroll import enroll

    done = enroll(
        model,
        options.name,
        options.wavs,
        out=out,
        replace=options.replace,
        steps=options.steps,
        seed=options.seed,
        device=options.device,
        progress=True,
    )
    recordings, fit = done.recordings, done.fit
    held_out = recordings.held_out.seconds
    if options.json:
        outcome = {
            "model": str(done.folder),
            "speaker": options.name,
            "recordings": recordings.used,
            "unusable": {str(path): error for path, error in recordings.unusable.items()},
            "seconds_of_speech": round(recordings.speech, 2),
            "seconds_held_out": round(held_out, 2),
            "nearest": fit.nearest,
            "bits_per_sample_before": fit.bits_before,
            "bits_per_sample_after": fit.bits_after,
        }
        print(json.dumps(outcome, indent=1, ensure_ascii=False))
        return OK
    files = f"{recordings.used} recording{'s' * (recordings.used != 1)}"
    print(f"{recordings.speech:.0f} s of speech in {files}; on {held_out:.0f} s held out:")
    print(f"  {fit.bits_before:.3f} bits per sample as {fit.nearest}, the nearest speaker before")
    print(f"  {fit.bits_after:.3f} bits per sample as {options.name}")
    print(f"{options.name} is a speaker of {done.folder}")
    return OK


def _output(model: Path, given: str | None, name: str) -> Path | None:
    """The folder for a copy, None for the model's own; refuse what could not be written."""
    from speechvq import model_folder
    from speechvq.hub import is_fetched
    from speechvq.prior_folder import check_free_for_copy

    if given is not None and Path(given).resolve() != model.resolve():
        out = Path(given)
        if (out / model_folder.WEIGHTS).exists():
            raise ValueError(
                f"--out {out}: holds a model already; to add to that one, pass it as --model"
            )
        check_free_for_copy(out)
        if out.exists() and not out.is_dir():
            raise NotADirectoryError(f"--out {out}: a file, where a folder was expected")
        speaking.check_writable(out / model_folder.WEIGHTS)
        return out
    if model.resolve() == model_folder.PRETRAINED.resolve():
        what = "is inside the package, where the next installation would remove the new speaker"
    elif is_fetched(model):
        what = "is the Hub's cache, not yours to change"
    elif not os.access(model, os.W_OK):
        what = "cannot be written to"
    else:
        return None
    raise PermissionError(
        f"{model}: this model folder {what}; pass --out for a copy, such as --out exp/{name}/vqvae"
    )


if __name__ == "__main__":
    raise SystemExit(main())
