"""speechvq-prepare: a corpus to manifests."""

from __future__ import annotations

import json
from pathlib import Path

from speechvq.cli.errors import Parser, command

EXAMPLES = """\
examples:
  speechvq-prepare recipes/vctk/standin
  speechvq-prepare /data/VCTK-Corpus-0.92 --trim --speakers p225,p226
  speechvq-prepare recordings --corpus folder --phones aligned --out exp/mine/data

The corpus is VCTK (0.80 or 0.92), LibriSpeech, or any folder of SPEAKER/UTTERANCE.wav with
UTTERANCE.txt and phone labels beside the audio where they are known. What cannot be used is skipped
with one counted warning a kind. train.jsonl, valid.jsonl and test.jsonl list one utterance a line;
speakers.json keeps what the corpus says of its speakers. No sentence is on two sides of the split.
"""


def parser() -> Parser:
    """The options of speechvq-prepare."""
    parser = Parser("prepare", "Turn a speech corpus into manifests.", EXAMPLES)
    add = parser.add_argument
    add("root", metavar="ROOT", help="the corpus")
    add(
        "--corpus",
        choices=("vctk", "librispeech", "folder"),
        help="its kind (default: by its layout)",
    )
    add("--out", metavar="DIR", help="folder for the manifests (default: exp/KIND/data)")
    add("--mic", type=int, choices=(1, 2), default=1, help="microphone of VCTK 0.92 (default: 1)")
    add("--phones", metavar="DIR",
        help="phone labels: a folder of SPEAKER/UTTERANCE.TextGrid (.lab, .phn) or a .ctm file "
        "(default: phones in ROOT, and beside the audio)")  # fmt: skip
    add("--trim", action="store_true", help="cut the silence at both ends (reads all the audio)")
    add("--check", action="store_true", help="read all the audio, to find damaged and silent files")
    add(
        "--valid",
        type=float,
        default=0.05,
        help="share of the audio for validation (default: 0.05)",
    )
    add("--test", type=float, default=0.1, help="share of the audio for testing (default: 0.1)")
    add("--seed", type=int, default=0, help="which of the possible splits (default: 0)")
    add("--speakers", metavar="NAMES", help="only these speakers: p225,p226")
    add("--json", action="store_true", help="print the summary as JSON")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Write train, valid and test manifests of a corpus and print a summary."""
    options = parser().parse_args(argv)

    from speechvq.audio import write_bytes
    from speechvq.data.corpora import detect, read_corpus, read_speakers
    from speechvq.data.manifest import write_manifest
    from speechvq.data.split import check_fractions, group_sentences, split

    check_fractions(options.valid, options.test)  # now, and not after minutes of reading
    kind = options.corpus or detect(options.root)
    out = Path(options.out or Path("exp", kind, "data"))
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out}: a file, where the folder for the manifests was expected")
    names = options.speakers and [name.strip() for name in options.speakers.split(",")]
    utterances = read_corpus(
        kind,
        options.root,
        mic=options.mic,
        phones=options.phones,
        speakers=names,
        check=options.check,
        trim_silence=options.trim,
        progress=True,
    )
    parts = split(utterances, options.valid, options.test, options.seed)
    known = read_speakers(kind, options.root)
    speakers = {name: known.get(name, {}) for name in sorted({u.speaker for u in utterances})}

    for name, part in parts.items():
        write_manifest(out / f"{name}.jsonl", part)
    described = json.dumps(speakers, indent=1, ensure_ascii=False) + "\n"
    write_bytes(out / "speakers.json", described.encode())

    groups = group_sentences(utterances)
    sentences = {u.id: sentence for sentence, group in groups.items() for u in group}
    rows = [_row(name, part, sentences) for name, part in (parts | {"all": utterances}).items()]
    if options.json:
        print(json.dumps({"corpus": kind, "out": str(out), "splits": rows}, indent=1))
    else:
        print(_table(rows))
        print(f"{kind} corpus; manifests in {out}")
    return 0


def _row(name: str, utterances: list, sentences: dict[str, str]) -> dict:
    return {
        "split": name,
        "utterances": len(utterances),
        "sentences": len({sentences[u.id] for u in utterances}),
        "speakers": len({u.speaker for u in utterances}),
        "minutes": round(sum(u.duration for u in utterances) / 60, 2),
        "with_text": sum(u.text is not None for u in utterances),
        "with_phones": sum(u.phones is not None for u in utterances),
    }


def _table(rows: list[dict]) -> str:
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
