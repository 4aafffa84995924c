"""speechvq-encode: encode recordings as codes."""

from __future__ import annotations

import argparse
import itertools
import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechvq import audio
from speechvq.cli import piping, speaking
from speechvq.cli.errors import ERROR, OK, Parser, check_stdout, command, one_line
from speechvq.codes import Codebook, check_id
from speechvq.progress import track

if TYPE_CHECKING:
    import numpy as np

    from speechvq.model import Model

logger = logging.getLogger(__name__)

EXAMPLES = f"""\
examples:
  speechvq-encode --src a.wav
  speechvq-encode --src talks/ --out codes.txt
  speechvq-encode --manifest exp/vctk/data/test.jsonl --out exp/vctk/codes/test.txt

A header of lines that begin with '#' names the codebook; then one utterance a line: its id, a tab,
and its codes, separated by blanks. The id of a file is its name without the suffix.

{speaking.WHICH_MODEL}
A recording is scaled to the level of the model's training speech. One that cannot be used is
reported, the others are encoded, and the exit code is 2.
"""


def parser() -> Parser:
    """The options of speechvq-encode."""
    parser = Parser("encode", "Encode recordings as codes.", EXAMPLES)
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--src", nargs="+", metavar="PATH", help="audio files, and folders of them; - for stdin"
    )
    what.add_argument("--manifest", metavar="FILE", help="utterances of speechvq-prepare")
    add("--out", metavar="FILE", help="text file to write (default: stdout)")
    piping.add_pcm_option(parser)
    speaking.add_model_options(parser)
    add("--json", action="store_true", help="write JSON: the header's values, and codes by id")
    return parser


@dataclass(frozen=True)
class Recording:
    """A file to encode, or `duration` seconds of it from `start`."""

    id: str
    path: Path
    start: float = 0.0
    duration: float | None = None


@command
def main(argv: list[str] | None = None) -> int:
    """Encode recordings and write their codes."""
    options = parser().parse_args(argv)
    if options.manifest:
        return _run(options, _listed(options.manifest))
    with piping.sources(options.src, options.pcm) as (paths, piped):
        return _run(options, _found(paths, piped))


def _run(options: argparse.Namespace, recordings: list[Recording]) -> int:
    """Encode the recordings."""
    if options.out is None:
        check_stdout("--out")
    else:
        out = Path(options.out)
        if out.is_dir():
            raise IsADirectoryError(f"--out {out}: a folder; name a file such as {out}/codes.txt")
        inputs = [Path(options.manifest)] if options.manifest else [r.path for r in recordings]
        speaking.check_outputs(out, inputs)

    from tqdm import tqdm

    from speechvq import codes
    from speechvq.model_folder import codebook_of, load

    model = load(options.model, options.device)
    codebook = codebook_of(model)
    failed: list[Recording] = []
    found = _encode(model, recordings, failed)
    first = next(found, None)
    if first is not None:
        found = itertools.chain([first], found)
        text = _json(codebook, found) if options.json else codes.lines(codebook, found)
        if options.out is None:
            for piece in text:
                tqdm.write(piece, end="")  # above the progress bar
        else:
            audio.write_bytes(options.out, (piece.encode() for piece in text))
    return ERROR if failed else OK


def _json(codebook: Codebook, found: Iterable[tuple[str, np.ndarray]]) -> Iterator[str]:
    """Yield JSON piece by piece: the header's values, and codes by id."""
    yield json.dumps({**asdict(codebook), "codes": {}}, ensure_ascii=False)[: -len("}}")]
    for i, (id, ids) in enumerate(found):
        yield f"{', ' if i else ''}{json.dumps(id, ensure_ascii=False)}: {ids.tolist()}"
    yield "}}\n"


def _found(paths: list[Path], piped: set[Path]) -> list[Recording]:
    recordings: dict[str, Recording] = {}
    for path in paths:
        id = "stdin" if path in piped else path.stem
        if id in recordings:
            raise ValueError(
                f"{recordings[id].path} and {path} would both have the id {id!r}; "
                "encode them apart, or list them in a manifest with ids of their own"
            )
        recordings[id] = Recording(id, path)
    return _named(recordings.values())


def _listed(manifest: str) -> list[Recording]:
    from speechvq.data.manifest import read_manifest

    return _named(
        Recording(u.id, Path(u.path), u.start, u.duration) for u in read_manifest(manifest)
    )


def _named(recordings: Iterable[Recording]) -> list[Recording]:
    """The recordings whose id may stand in a file of codes; the others are logged."""
    found = []
    for recording in recordings:
        try:
            check_id(recording.id)
            found.append(recording)
        except ValueError as error:
            logger.error("%s: %s", recording.path, one_line(error))
    return found


def _encode(
    model: Model, recordings: list[Recording], failed: list[Recording]
) -> Iterator[tuple[str, np.ndarray]]:
    """Ids and codes of the recordings; those that cannot be used are logged and go to `failed`."""
    from speechvq.sampling import encode_source

    for recording in track(recordings, "encode", " recordings"):
        try:
            speech = audio.Recording(
                recording.path, model.sample_rate, recording.start, recording.duration
            )
            codes = encode_source(model, speech).codes
        except (audio.AudioError, OSError) as error:
            logger.error("%s", one_line(error))
            failed.append(recording)
            continue
        yield recording.id, codes


if __name__ == "__main__":
    raise SystemExit(main())
