"""speechvq-decode: codes alone to speech."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from speechvq.cli import speaking
from speechvq.cli.errors import OK, Parser, command
from speechvq.codes import Codebook, parse_codes, read_codes

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = f"""\
examples:
  speechvq-decode --codes codes.txt --speaker p225               writes ID-p225.wav here
  speechvq-decode --codes codes.txt --speaker p225 p226 --out decoded
  speechvq-encode --src a.wav | speechvq-decode --codes - --speaker p225

Codes belong to the encoder and codebook that made them; with another model they are refused.

{speaking.WHICH_MODEL}
The files written are printed on stdout.
"""


def parser() -> Parser:
    """The options of speechvq-decode."""
    parser = Parser("decode", "Turn codes into speech.", EXAMPLES)
    add = parser.add_argument
    add("--codes", required=True, metavar="FILE",
        help="output of speechvq-encode; - reads stdin")  # fmt: skip
    add("--speaker", required=True, nargs="+", metavar="NAME", help="voices, such as p225")
    add(
        "--out",
        default=".",
        metavar="DIR",
        help="folder for the wavs (default: the working folder)",
    )
    speaking.add_model_options(parser)
    speaking.add_sampling_options(parser)
    add("--json", action="store_true", help="print the outcome as JSON")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Decode every utterance for every speaker."""
    options = parser().parse_args(argv)
    speaking.let_threads_sleep()
    where, codebook, utterances = _read(options.codes)
    speakers = list(dict.fromkeys(options.speaker))
    # An id may hold slashes; as a file it stays within the folder
    jobs = [
        (id, speaker, Path(options.out, f"{id.replace('/', '-')}-{speaker}.wav"))
        for id in utterances
        for speaker in speakers
    ]
    _check_distinct(jobs)

    from speechvq.model_folder import codebook_of, find_model, load_model

    folder = find_model(options.model)
    model = load_model(folder, options.device)
    speaking.check_speakers(model, speakers)
    codebook.check_same(codebook_of(model), where)
    from speechvq.sampling import sample_into

    seconds = len(speakers) * sum(map(len, utterances.values())) / model.frame_rate
    with speaking.progress_bar(seconds, model.sample_rate) as progress:
        for first in range(0, len(jobs), speaking.AT_ONCE):
            batch = jobs[first : first + speaking.AT_ONCE]
            paths = [path for _, _, path in batch]
            with speaking.outputs(paths, model.sample_rate, show=not options.json) as outputs:
                sample_into(
                    outputs,
                    model,
                    [utterances[id] for id, _, _ in batch],
                    [speaker for _, speaker, _ in batch],
                    progress=progress,
                    **speaking.sampling_of_several(options),
                )
    if options.json:
        written = [
            {"id": id, "speaker": speaker, "output": str(output)} for id, speaker, output in jobs
        ]
        print(json.dumps({"model": str(folder), "written": written}, indent=1, ensure_ascii=False))
    return OK


def _read(path: str) -> tuple[str, Codebook, dict[str, np.ndarray]]:
    if path == "-":
        return "stdin", *parse_codes(sys.stdin.read(), "stdin")
    return path, *read_codes(path)


def _check_distinct(jobs: list[tuple[str, str, Path]]) -> None:
    made_from: dict[Path, str] = {}
    for id, _, output in jobs:
        if output in made_from:
            raise ValueError(f"{made_from[output]!r} and {id!r} would both be written to {output}")
        made_from[output] = id
        speaking.check_writable(output)


if __name__ == "__main__":
    raise SystemExit(main())
