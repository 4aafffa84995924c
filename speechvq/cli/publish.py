"""speechvq-publish: a model folder to the Hugging Face Hub."""

from __future__ import annotations

import json
import logging

from speechvq import hub
from speechvq.cli.errors import ERROR, OK, Parser, command

logger = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  speechvq-publish exp/vctk/vqvae hf://me/vctk-codes --dry-run
  speechvq-publish exp/vctk/vqvae hf://me/vctk-codes --private
  speechvq-convert --model hf://me/vctk-codes --src a.wav --speaker p225

The folder is checked first: the model and its prior load, config.yaml and speakers.json agree with
the header of the weights, and README.md says which data, which speakers, which limits and which
licence. Weights, their header for people, the cards and the prior go up; checkpoints, metrics,
sounds and curves do not.

Log in first, with: hf auth login. Needs: pip install "speechvq[hub]". Ask the speakers: whoever has
the model can speak in their voices.
"""


def parser() -> Parser:
    """The options of speechvq-publish."""
    parser = Parser("publish", "Check a model folder, and send it to the Hub.", EXAMPLES)
    add = parser.add_argument
    add("model", metavar="MODEL", help="model folder")
    add("to", metavar="hf://OWNER/NAME", help="repository; made when missing; @BRANCH may follow")
    add("--dry-run", action="store_true", help="check, and print what would be sent")
    add("--private", action="store_true", help="make a new repository private")
    add("--json", action="store_true", help="print the outcome as JSON")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Check a model folder, send it, and print what was sent."""
    options = parser().parse_args(argv)
    hub.parsed_address(options.to)

    from speechvq import publishing
    from speechvq.model_folder import find_model

    folder = find_model(options.model)
    if faults := list(publishing.faults(folder)):
        for fault in faults:
            logger.error("%s", fault)
        return ERROR
    for path in publishing.paths_named(folder):
        logger.warning("the header of the weights names a path of this machine: %s", path)
    files, others = publishing.files_of(folder), publishing.left_out(folder)
    if not options.json:
        for name, size in files.items():
            print(f"{_shown(size)}  {name}")
        print(f"{_shown(sum(files.values()))}  in all; left out: {', '.join(others) or 'nothing'}")
    commit = None
    if not options.dry_run:
        message = "Model folder of speechvq"
        commit = hub.send(options.to, folder, list(files), message, options.private)
    if options.json:
        outcome = {"to": options.to, "files": files, "left_out": others, "commit": commit}
        print(json.dumps(outcome, ensure_ascii=False, indent=1))
    else:
        print(commit or "nothing was sent (--dry-run)")
    return OK


def _shown(size: int) -> str:
    """A number of bytes, aligned."""
    return f"{size / 1e6:9.3f} MB"


if __name__ == "__main__":
    raise SystemExit(main())
