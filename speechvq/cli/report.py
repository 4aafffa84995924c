"""speechvq-report: recordings, scores and training curves of a model on one page."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from speechvq import audio
from speechvq.cli.errors import OK, Parser, command

logger = logging.getLogger(__name__)

EXAMPLES = """\
examples:
  speechvq-report
  speechvq-report --model exp/mine/vqvae --out mine.html

The page is one HTML file: small sounds and all pictures are embedded, larger sounds are linked.
Parts that do not exist yet, such as conversions, are left out, and the page says so.
The model is the folder given with --model; else the one that SPEECHVQ_MODEL names; else the newest
below exp/ of the working folder; else the one inside the package. stderr says which it was.
"""


def parser() -> Parser:
    """The options of speechvq-report."""
    parser = Parser(
        "report",
        "Write one page of audio, scores and training curves.",
        EXAMPLES,
    )
    add = parser.add_argument
    add("--model", metavar="DIR", help="model folder (default: see below)")
    add("--wavs", metavar="DIR", help="folder of recordings (default: wavs beside the model)")
    add(
        "--phonemes",
        metavar="DIR",
        help="output of speechvq-analyze phonemes (default: phonemes beside the model)",
    )
    add(
        "--babble",
        metavar="DIR",
        help="samples and output of speechvq-analyze prior (default: babble beside the model)",
    )
    add("--out", metavar="FILE", help="page to write (default: report.html beside the model)")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Read the files beside a model and write the page."""
    options = parser().parse_args(argv)

    from speechvq.model_folder import CARD, build_config, find_model, read_config
    from speechvq.report import sections as report
    from speechvq.report.page import page

    model = find_model(options.model)
    beside = Path(os.path.abspath(model)).parent
    wavs = _folder(options.wavs, "--wavs", beside / "wavs")
    phonemes = _folder(options.phonemes, "--phonemes", beside / "phonemes")
    babble = _folder(options.babble, "--babble", beside / "babble")
    out = Path(options.out) if options.out else beside / "report.html"
    if out.is_dir():
        raise IsADirectoryError(f"--out {out}: a folder; name a file such as {out}/report.html")

    whole = read_config(model)
    config = build_config(whole["model"])
    records = report.read_records(model / "metrics.jsonl")
    card = model / CARD
    card_text = card.read_text("utf-8") if card.is_file() else ""
    sections = [
        report.speech_section(wavs, report.read_texts(whole), out),
        report.phoneme_section(phonemes),
        report.generation_section(babble, out),
        report.training_section(records, config.quantizer.codebook_size),
        report.model_section(config, whole, records, card_text),
    ]
    subtitle = (
        f"{config.frame_rate:g} codes per second, of {config.quantizer.description}, "
        f"from {config.sample_rate} Hz speech."
    )
    text = page(f"speechvq: {_shown(model)}", subtitle, sections)
    audio.write_bytes(out, text.encode())
    for section in sections:
        for line in section.missing:
            logger.warning("not on the page: %s", line)
    print(out)
    return OK


def _folder(given: str | None, option: str, default: Path) -> Path:
    if given is not None and Path(given).exists() and not Path(given).is_dir():
        raise NotADirectoryError(f"{option} {given}: a file, where a folder was expected")
    return default if given is None else Path(given)


def _shown(path: Path) -> str:
    """A path, relative if it is below the working folder."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


if __name__ == "__main__":
    raise SystemExit(main())
