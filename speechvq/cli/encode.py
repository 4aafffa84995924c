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
from speechvq.cli import piping, sharding, speaking
from speechvq.cli.errors import ERROR, OK, Parser, check_stdout, command, one_line, write_utf8
from speechvq.cli.loading import load
from speechvq.codes import Codebook, check_id
from speechvq.progress import track

if TYPE_CHECKING:
    import numpy as np

    from speechvq.data.manifest import Phone, Utterance
    from speechvq.model import Model
    from speechvq.sampling.encode import EncodedSource

logger = logging.getLogger(__name__)

EXAMPLES = f"""\
examples:
  speechvq-encode --src a.wav
  speechvq-encode --src talks/ --out codes.txt
  speechvq-encode --manifest exp/vctk/data/test.jsonl --out exp/vctk/codes/test.txt
  speechvq-encode --manifest test.jsonl --format textgrid --out grids
  speechvq-encode --manifest test.jsonl --format units --merge-runs --out test.units
  speechvq-encode --manifest test.jsonl --format npz --out test.npz
  speechvq-encode --manifest big.jsonl --out big.txt --shard 3/8    one job of eight, 0/8 to 7/8
  speechvq-encode --manifest big.jsonl --out big.txt --join         when all are done

codes:     a header of lines that begin with '#' names the codebook; then one utterance a line: its
           id, a tab, and its codes, separated by blanks. speechvq-decode reads it.
textgrid:  for Praat, a file ID.TextGrid for each utterance in the folder --out: runs of codes as
           intervals, a tier for each codebook, and the phones of the manifest where it has them.
units:     for discrete-unit language models, one utterance a line: id|unit unit unit.
npz:       for NumPy: the arrays ids, lengths, codes (of all utterances) and meta.

The id of a file is its name without the suffix.

A shard is every N-th utterance of a manifest, in the file OUT.I-of-N. It grows as OUT.I-of-N.part;
the same command goes on with it after a stop. Processes that torchrun starts take a shard each. A
shard names what cannot be encoded, and exits with 0. --join checks that each utterance is there
once, of one model, and writes OUT as without shards.

{speaking.WHICH_MODEL}
A recording is scaled to the level of the model's training speech. A streaming encoder is
given it as it is, unless it is more than 20 dB softer. One that cannot be used is reported, the
others are encoded, and the exit code is 2.
"""

NAMED = 10
"""Utterances without codes that are named one by one."""
FORMATS = ("codes", "textgrid", "units", "npz")


def parser() -> Parser:
    """The options of speechvq-encode."""
    parser = Parser("encode", "Encode recordings as codes.", EXAMPLES)
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--src", nargs="+", metavar="PATH", help="audio files, and folders of them; - for stdin"
    )
    what.add_argument("--manifest", metavar="FILE", help="utterances of speechvq-prepare")
    add("--out", metavar="PATH",
        help="file to write (default: stdout); of TextGrids the folder")  # fmt: skip
    add("--format", choices=FORMATS, default="codes",
        help="what to write, see below (default: %(default)s)")  # fmt: skip
    add("--merge-runs", action="store_true",
        help="of units: equal ones that follow each other become one")  # fmt: skip
    sharding.add_shard_options(parser)
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
    phones: tuple[Phone, ...] | None = None


@command
def main(argv: list[str] | None = None) -> int:
    """Encode recordings and write their codes."""
    options = parser().parse_args(argv)
    sharding.check_shard(options)
    piping.check_pcm(options)
    _check(options)
    if options.join:
        return _join(options)
    if options.shard:
        return _run_shard(options)
    if options.manifest:
        return _run(options, _listed(options.manifest))
    with piping.sources(options.src, options.pcm) as (paths, piped):
        return _run(options, _found(paths, piped))


def _check(options: argparse.Namespace) -> None:
    """Raise ValueError for options that do not go together."""
    form = options.format
    if (options.shard or options.join) and (not options.out or form != "codes" or options.json):
        raise ValueError("shards are files of codes: name --out, without --format and --json")
    if options.merge_runs and form != "units":
        raise ValueError("--merge-runs is for --format units")
    if options.json and form in ("units", "npz"):
        raise ValueError(f"--json is not for --format {form}")
    if options.out is None and form in ("textgrid", "npz"):
        what = "FILE" if form == "npz" else "DIR"
        raise ValueError(f"--format {form} is not for stdout; pass --out {what}")


def _run(options: argparse.Namespace, recordings: list[Recording]) -> int:
    """Encode the recordings."""
    if options.format == "textgrid":
        paths = speaking.named([(r.id, ".TextGrid") for r in recordings], options.out)
        fine = speaking.writable(paths, ours=_is_textgrid_of_codes)
        grids = {r.id: path for r, path in zip(recordings, paths, strict=True) if path in fine}
        recordings = [r for r in recordings if r.id in grids]
    else:
        recordings = _named(options.format, recordings)
        _check_out(options, recordings)

    from speechvq.model_folder import codebook_of

    model, _ = load(options.model, options.device)
    codebook = codebook_of(model)
    failed: list[Recording] = []
    found = _encode(model, recordings, failed)
    first = next(found, None)
    if first is not None:
        found = itertools.chain([first], found)
        if options.format == "textgrid":
            _write_textgrids(options, codebook, found, grids)
        else:
            _write_file(options, codebook, ((r.id, encoded.codes) for r, encoded in found))
    return ERROR if failed else OK


def _run_shard(options: argparse.Namespace) -> int:
    """Encode a part of a manifest, or what is left of it."""
    from speechvq.data.code_shards import ShardWriter, file_fingerprint
    from speechvq.data.manifest import read_manifest
    from speechvq.model_folder import codebook_of

    utterances = options.shard.of(read_manifest(options.manifest))
    _check_out(options, map(_recording, utterances))
    model, _ = load(options.model, options.device)
    manifest = file_fingerprint(Path(options.manifest))
    with ShardWriter(Path(options.out), options.shard, codebook_of(model), manifest) as writer:
        if writer.whole:
            logger.info("%s: is whole already", writer.path)
            return OK
        if writer.done:
            logger.info("%s: going on after %d recordings", writer.path, writer.done)
        rest = map(_recording, itertools.islice(utterances, writer.done, None))
        progress = track(rest, "encode", " recordings", total=len(utterances), initial=writer.done)
        for recording in progress:
            try:
                check_id(recording.id)
                encoded = _encoded(model, recording)
            except (ValueError, OSError) as error:
                # A warning, since torchrun ends the other shards when one exits with 2
                logger.warning("%s; left out", one_line(error))
                writer.leave_out(recording.id, one_line(error))
                continue
            writer.write(recording.id, encoded.codes)
        writer.close()
    speaking.announce(writer.path)
    return OK


def _join(options: argparse.Namespace) -> int:
    """Join the shards of a manifest."""
    from speechvq.data.code_shards import file_fingerprint, join_shards
    from speechvq.data.manifest import read_manifest

    utterances = read_manifest(options.manifest)
    _check_out(options, map(_recording, utterances))
    left_out: list[tuple[str, str]] = []
    ids = (utterance.id for utterance in utterances)
    join_shards(Path(options.out), file_fingerprint(Path(options.manifest)), ids, left_out)
    for id, reason in left_out[:NAMED]:
        logger.error("%s: left out, %s", id, reason)
    if len(left_out) > NAMED:
        logger.error("%d more are left out", len(left_out) - NAMED)
    speaking.announce(Path(options.out))
    return ERROR if left_out else OK


def _check_out(options: argparse.Namespace, recordings: Iterable[Recording]) -> None:
    """Raise an error if the one output cannot be written."""
    if options.out is None:
        check_stdout("--out")
        return
    out = Path(options.out)
    if out.is_dir():
        raise IsADirectoryError(f"--out {out}: a folder; name a file such as {out}/codes.txt")
    listed = [Path(options.manifest)] if options.manifest else []
    speaking.check_not_sources([out], itertools.chain(listed, (r.path for r in recordings)))
    speaking.check_writable(out)


def _write_file(
    options: argparse.Namespace, codebook: Codebook, found: Iterable[tuple[str, np.ndarray]]
) -> None:
    """Write the codes of all utterances to one file, or to stdout."""
    from tqdm import tqdm

    from speechvq import codes
    from speechvq.data import interchange

    if options.format == "npz":
        audio.write_bytes(options.out, interchange.npz(codebook, found))
        return
    text: Iterator[str]
    if options.format == "units":
        merge = options.merge_runs
        text = (interchange.units_line(id, ids, codebook, merge) for id, ids in found)
    else:
        text = _json(codebook, found) if options.json else codes.lines(codebook, found)
    if options.out is None:
        write_utf8()
        for piece in text:
            tqdm.write(piece, end="")  # above the progress bar
    else:
        audio.write_bytes(options.out, (piece.encode() for piece in text))


def _write_textgrids(
    options: argparse.Namespace,
    codebook: Codebook,
    found: Iterable[tuple[Recording, EncodedSource]],
    grids: dict[str, Path],
) -> None:
    """Write a TextGrid for each recording, and print its path."""
    from speechvq.data.interchange import tiers
    from speechvq.data.textgrid import textgrid

    written = []
    for recording, encoded in found:
        seconds = encoded.samples / codebook.sample_rate
        of_codes = tiers(encoded.codes, codebook, seconds, recording.phones)
        audio.write_bytes(grids[recording.id], textgrid(of_codes, seconds).encode())
        written.append({"id": recording.id, "output": str(grids[recording.id])})
        if not options.json:
            speaking.announce(grids[recording.id])
    if options.json:
        print(json.dumps({**asdict(codebook), "written": written}, ensure_ascii=False, indent=1))


def _is_textgrid_of_codes(path: Path) -> bool:
    """Whether a file is a TextGrid with tiers of codes: an earlier output."""
    from speechvq.data.interchange import CODES
    from speechvq.data.manifest import CorpusError
    from speechvq.data.textgrid import read_textgrid

    try:
        return any(tier.name.split()[:1] == [CODES] for tier in read_textgrid(path))
    except CorpusError:
        return False


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
    return list(recordings.values())


def _listed(manifest: str) -> list[Recording]:
    from speechvq.data.manifest import read_manifest

    return list(map(_recording, read_manifest(manifest)))


def _recording(u: Utterance) -> Recording:
    return Recording(u.id, Path(u.path), u.start, u.duration, u.phones)


def _named(form: str, recordings: Iterable[Recording]) -> list[Recording]:
    """The recordings whose id may stand in a file of a format; the others are logged."""
    from speechvq.data.interchange import check_unit_id

    check = check_unit_id if form == "units" else check_id
    found = []
    for recording in recordings:
        try:
            check(recording.id)
            found.append(recording)
        except ValueError as error:
            logger.error("%s: %s", recording.path, one_line(error))
    return found


def _encode(
    model: Model, recordings: list[Recording], failed: list[Recording]
) -> Iterator[tuple[Recording, EncodedSource]]:
    """The recordings with their codes; those that cannot be used are logged and go to `failed`."""
    for recording in track(recordings, "encode", " recordings"):
        try:
            encoded = _encoded(model, recording)
        except (audio.AudioError, OSError) as error:
            logger.error("%s", one_line(error))
            failed.append(recording)
            continue
        yield recording, encoded


def _encoded(model: Model, recording: Recording) -> EncodedSource:
    from speechvq.sampling import encode_source

    part = recording.path, model.sample_rate, recording.start, recording.duration
    return encode_source(model, audio.Recording(*part))


if __name__ == "__main__":
    raise SystemExit(main())
