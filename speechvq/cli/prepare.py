"""speechvq-prepare: a corpus to manifests."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from speechvq.cli import numbers
from speechvq.cli.errors import Parser, command

EXAMPLES = """\
examples:
  speechvq-prepare recipes/vctk/standin
  speechvq-prepare /data/VCTK-Corpus-0.92 --trim --speakers p225,p226
  speechvq-prepare recordings --corpus folder --phones aligned --out exp/mine/data

The corpus is VCTK (0.80 or 0.92), LibriSpeech, LibriTTS, TIMIT, CMU ARCTIC, ESD, speechocean762,
or any folder of SPEAKER/UTTERANCE.wav, with UTTERANCE.txt and phone labels beside the audio where
they are known; or a folder of WebDataset shards (tar), or of shards.txt, a list of their paths and
URLs, which are read as they are, not unpacked. What cannot be used is skipped, with one line for
each kind of fault; the exit code is 2 if anything could not be read, entered, decoded or named.
train.jsonl, valid.jsonl and test.jsonl list one utterance a line; speakers.json has the facts about
each speaker that the corpus states. No sentence and no recording is in two splits, as far as texts
and audio show. For another kind of corpus, call speechvq.data.prepare.prepare with a reader of your
own.
"""


def parser() -> Parser:
    """Return the parser of speechvq-prepare."""
    from speechvq.data.corpora import READERS

    parser = Parser("prepare", "Turn a speech corpus into manifests.", EXAMPLES)
    add = parser.add_argument
    add("root", metavar="ROOT", help="root folder of the corpus")
    add("--corpus", choices=tuple(READERS), help="kind of corpus (default: by its layout)")
    add("--out", metavar="DIR", help="folder for the manifests (default: exp/KIND/data)")
    add("--mic", type=int, choices=(1, 2), default=1, help="microphone of VCTK 0.92 (default: 1)")
    add("--phones", metavar="DIR",
        help="phone labels: a folder of SPEAKER/UTTERANCE.TextGrid (.lab, .phn), or a .ctm or .mlf "
        "file (default: phones in ROOT, and beside the audio)")  # fmt: skip
    add("--tier", metavar="NAME",
        help="tier of TextGrids with the phones (default: phones or a usual name)")  # fmt: skip
    add("--trim", action="store_true", help="cut the silence at both ends (decodes all audio)")
    add("--check", action="store_true", help="decode all audio, to find damaged and silent files")
    add("--valid", type=float, default=0.05,
        help="fraction of the audio for validation (default: 0.05)")  # fmt: skip
    add("--test", type=float, default=0.1,
        help="fraction of the audio for testing (default: 0.1)")  # fmt: skip
    add("--seed", type=numbers.seed, default=0, help="seed of the split (default: 0)")
    add("--speakers", metavar="NAMES", help="only these speakers: p225,p226")
    add("--only", metavar="FILE", help="only these utterances: a list of ids, one a line")
    add("--json", action="store_true", help="print the summary as JSON")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Write the manifests of a corpus and print a summary."""
    options = parser().parse_args(argv)

    from speechvq.data.corpora import READERS, detect
    from speechvq.data.prepare import prepare
    from speechvq.data.split import check_fractions

    check_fractions(options.valid, options.test)
    kind = options.corpus or detect(options.root)
    reader_options = {"vctk": {"mic": options.mic}}.get(kind, {})
    prepared = prepare(
        options.root,
        READERS[kind](**reader_options),
        options.out,
        phones=options.phones,
        tier=options.tier,
        speakers=options.speakers and [name.strip() for name in options.speakers.split(",")],
        only=options.only and _listed(options.only),
        check=options.check,
        trim_silence=options.trim,
        valid=options.valid,
        test=options.test,
        seed=options.seed,
        progress=True,
    )
    rows = [asdict(row) for row in prepared.splits]
    if options.json:
        summary = {"corpus": prepared.kind, "out": str(prepared.out), "splits": rows}
        print(json.dumps(summary, indent=1))
    else:
        print(_table(rows))
        print(f"{prepared.kind} corpus; manifests in {prepared.out}")
    return 0


def _listed(path: str) -> list[str]:
    """The ids of a list; lines that begin with # are comments."""
    from speechvq.text import read_text

    lines = [line.strip() for line in read_text(path).splitlines()]
    ids = [line for line in lines if line and not line.startswith("#")]
    if not ids:
        raise ValueError(f"{path}: no utterance in it; expected an id a line")
    return ids


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [[key.replace("_", " ") for key in rows[0]]]
    lines += [[str(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        line[0].ljust(widths[0])
        + "".join(
            f"  {cell.rjust(width)}" for cell, width in zip(line[1:], widths[1:], strict=True)
        )
        for line in lines
    )


if __name__ == "__main__":
    raise SystemExit(main())
