"""speechvq-decode: synthesise speech from codes."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from speechvq.cli import speaking
from speechvq.cli.errors import OK, Parser, command, reported
from speechvq.cli.loading import load
from speechvq.codes import Codebook, decode_codes, read_codes

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
    parser = Parser("decode", "Synthesise speech from codes.", EXAMPLES)
    add = parser.add_argument
    add("--codes", required=True, metavar="FILE",
        help="output of speechvq-encode; - reads stdin")  # fmt: skip
    add("--speaker", required=True, nargs="+", metavar="NAME", help="speakers, such as p225")
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
    """Synthesise every utterance with every speaker's voice."""
    options = parser().parse_args(argv)
    where, codebook, utterances = _read(options.codes)
    speakers = list(dict.fromkeys(options.speaker))
    pairs = [(id, speaker) for id in utterances for speaker in speakers]
    paths = speaking.named([(id, f"-{speaker}.wav") for id, speaker in pairs], options.out)
    fine = speaking.writable(paths)
    jobs = [(*pair, path) for pair, path in zip(pairs, paths, strict=True) if path in fine]

    from speechvq.model_folder import codebook_of

    model, folder = load(options.model, options.device)
    speaking.check_speakers(model, speakers)
    codebook.check_same(codebook_of(model), where)

    sampling = speaking.sampling_options(options)
    drawings = [
        speaking.Drawing(output, utterances[id], speaker, sampling.seed)
        for id, speaker, output in jobs
    ]
    seconds = len(speakers) * sum(map(len, utterances.values())) / model.frame_rate
    outputs = list(speaking.draw(model, drawings, sampling, seconds=seconds, show=not options.json))
    if options.json:
        written = [
            {"id": id, "speaker": speaker, "output": str(path), "seconds": round(output.seconds, 3)}
            for (id, speaker, path), output in zip(jobs, outputs, strict=True)
        ]
        outcome = {"model": str(folder), "written": written, "errors": reported()}
        print(json.dumps(outcome, indent=1, ensure_ascii=False))
    return OK


def _read(path: str) -> tuple[str, Codebook, dict[str, np.ndarray]]:
    if path == "-":
        return "stdin", *decode_codes(sys.stdin.buffer.read(), "stdin")
    return path, *read_codes(path)


if __name__ == "__main__":
    raise SystemExit(main())
