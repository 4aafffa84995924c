"""speechvq-report: recordings, scores and training curves of a model on one page."""

from __future__ import annotations

import logging
from pathlib import Path

from speechvq.cli.errors import OK, Parser, command

logger = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  speechvq-report
  speechvq-report exp/mine/vqvae --out report/

The page is index.html in the folder --out. It opens from disk, and fetches nothing: pictures are
inside of it, and so are sounds up to 16 MB in all; more sounds are files in the folder.

It shows what lies beside the model, or in the folder --results:
  wavs/      sounds: ID-original.wav, ID-reconstruction.wav, ID-to-SPEAKER.wav
  codes/     files of codes, shown under the spectrograms of the sounds with the same ID
  generation/    samples of speechvq-sample
  */scores.json and figures that speechvq-analyze has written
and texts and phones of the model's test data. What there is not is named with the commands for it.
Of the model inside the package, the results are in the working folder.

Install what the page needs with: pip install "speechvq[report]"
The model is the folder given; else the one that SPEECHVQ_MODEL names; else the newest below exp/ of
the working folder; else the one inside the package. stderr says which it was.
"""


def parser() -> Parser:
    """The options of speechvq-report."""
    parser = Parser(
        "report",
        "Write a page to listen to a model and to read its scores.",
        EXAMPLES,
    )
    add = parser.add_argument
    add("folder", nargs="?", metavar="MODEL", help="model folder (default: see below)")
    add("--model", metavar="DIR", help="the same, as with the other commands")
    add("--results", metavar="DIR", help="folder with results (default: the one beside the model)")
    add("--out", metavar="DIR", help="folder to write to (default: report among the results)")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Read the files beside a model and write the page."""
    options = parser().parse_args(argv)
    if options.folder and options.model:
        raise ValueError(f"two models, {options.folder} and --model {options.model}; give one")

    from speechvq.cli import speaking
    from speechvq.cli.analyzing import beside
    from speechvq.model_folder import find_model
    from speechvq.report.content import page_of
    from speechvq.report.page import INDEX, is_page, write_page

    model = find_model(options.folder or options.model)
    results = _folder("--results", options.results, beside(model, "report").parent)
    if options.results and not results.exists():
        raise FileNotFoundError(f"--results {results}: no such folder")
    out = _folder("--out", options.out, results / "report")
    speaking.check_ours(out / INDEX, is_page)
    page = page_of(model, results)
    written = write_page(page, out)
    for what in page.missing:
        logger.warning("not on the page: %s", what)
    print(written)
    return OK


def _folder(option: str, given: str | None, default: Path) -> Path:
    folder = default if given is None else Path(given)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{option} {folder}: a file, where a folder was expected")
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
