"""speechvq-convert: convert recordings to other speakers' voices."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq import audio
from speechvq.cli import piping, sharding, speaking
from speechvq.cli.errors import (
    ERROR,
    OK,
    Parser,
    check_stdout,
    command,
    one_line,
    reported,
    shown,
)
from speechvq.cli.loading import load

if TYPE_CHECKING:
    import numpy as np

    from speechvq.model import Model
    from speechvq.sampling import SamplingOptions

logger = logging.getLogger(__name__)

EXAMPLES = f"""\
examples:
  speechvq-convert --src a.wav --speaker p225              writes a-p225.wav beside a.wav
  speechvq-convert --src a.wav --speaker p225 --out b.flac
  speechvq-convert --src a.wav talks/ --speaker p225 p226 --out converted
  speechvq-convert --src a.wav --speaker p225 --stream | ffplay -i -
  arecord -f S16_LE -r 16000 -d 5 | speechvq-convert --src - --speaker p225 --out b.wav
  arecord -f S16_LE -r 16000 | speechvq-convert --src - --speaker p225 --stream | aplay
  speechvq-convert --manifest test.jsonl --speaker p225 --out converted
  speechvq-convert --manifest big.jsonl --speaker p225 --out big --shard 3/8    one job of eight
  speechvq-convert --list-speakers

{speaking.WHICH_MODEL}
Samples are drawn from the model's distribution, or from its nucleus (--top-p). argmax, which is not
sampling, is not offered. A conversion has the level of its source, in pauses too; a live stream has
the level that is drawn. The files written are printed on
stdout; a source that cannot be used is reported, the others are converted, and the exit code is 2.
Earlier outputs, known by a comment in the file, are no sources beside others.

Of a manifest, OUT/SPEAKER/ID.wav is written for each utterance. What is there already is kept, so
the same command goes on after a stop. --shard takes every N-th utterance, and exits with 0 when all
that can be converted are; processes that torchrun starts take a shard each. --join checks that each
utterance is there, and writes OUT/SPEAKER/manifest.jsonl.
"""


@dataclass(frozen=True)
class Job:
    """A source to convert to a speaker's voice."""

    source: Path
    speaker: str
    output: Path
    start: float = 0.0
    """In the source, in seconds."""
    seconds: float | None = None
    """Of the source; None for all."""


def parser() -> Parser:
    """The options of speechvq-convert."""
    parser = Parser("convert", "Convert recordings to another speaker's voice.", EXAMPLES)
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--src", nargs="+", metavar="PATH", help="audio files, and folders of them; - for stdin"
    )
    what.add_argument("--manifest", metavar="FILE", help="utterances of speechvq-prepare")
    add("--speaker", nargs="+", metavar="NAME", help="target speakers, such as p225")
    add("--out", metavar="PATH",
        help="a .wav or .flac file for one source and speaker, or a folder "
        "(default: SOURCE-SPEAKER.wav beside each source)")  # fmt: skip
    sharding.add_shard_options(parser)
    piping.add_pcm_option(parser)
    add("--stream", nargs="?", choices=("wav", "pcm"), const="wav",
        help="write to stdout while it is drawn: WAV, or raw 16-bit samples")  # fmt: skip
    add("--list-speakers", action="store_true", help="print the model's speakers and stop")
    speaking.add_model_options(parser)
    speaking.add_sampling_options(parser)
    add("--json", action="store_true", help="print the outcome as JSON")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Convert every source to every speaker."""
    options = parser().parse_args(argv)
    if options.list_speakers:
        return _list_speakers(options.model, options.json)
    source = options.src or options.manifest
    if not source or not options.speaker:
        raise ValueError(f"{'--speaker' if source else '--src'} is missing: see --help")
    piping.check_pcm(options)
    sharding.check_shard(options)
    if options.manifest:
        return _run_manifest(options)
    if options.stream and len(options.src) == 1 and piping.is_pipe(options.src[0]):
        return _stream_live(options)
    with piping.sources(options.src, options.pcm) as (sources, piped):
        if piped and not options.out and not options.stream:
            raise ValueError("--src -: name the output with --out, or --stream it")
        return _run(options, audio.recorded(sources), piped)


def _run(options: argparse.Namespace, sources: list[Path], piped: set[Path]) -> int:
    """Convert the sources."""
    if options.stream:
        _check_stream(options, len(sources))
    out = options.out and Path(options.out)
    jobs = _jobs(sources, list(dict.fromkeys(options.speaker)), out, piped)
    if not options.stream:
        outputs = [job.output for job in jobs]
        given = outputs == [out]
        fine = speaking.check_outputs(out if given else outputs, [job.source for job in jobs])
        jobs = [job for job in jobs if job.output in fine]

    model, folder = _model(options)
    if options.stream:
        blocks = audio.Recording(jobs[0].source, model.sample_rate)
        sampling = speaking.sampling_options(options)
        return _stream(model, blocks, jobs[0].speaker, options.stream, sampling)
    return _convert_all(options, model, folder, jobs, _seconds(jobs))


def _run_manifest(options: argparse.Namespace) -> int:
    """Convert the utterances of a manifest, or of a shard of it, that are not converted yet."""
    from speechvq.cli import convert_manifest
    from speechvq.data.manifest import read_manifest
    from speechvq.model_folder import WEIGHTS

    if not options.out or options.stream:
        raise ValueError("--manifest: name a folder with --out; --stream is for one source")
    everything = read_manifest(options.manifest)
    if options.join:
        return convert_manifest.join(options, everything)
    utterances = options.shard.of(everything) if options.shard else everything

    def jobs() -> Iterator[Job]:
        for u in utterances:
            for speaker in dict.fromkeys(options.speaker):
                output = convert_manifest.output(options.out, speaker, u.id)
                if not audio.is_drawn(output):  # a conversion appears whole
                    yield Job(Path(u.path), speaker, output, u.start, u.duration)

    model, folder = _model(options)
    convert_manifest.check_settings(options, folder / WEIGHTS)
    return _convert_all(options, model, folder, jobs(), sum(job.seconds or 0 for job in jobs()))


def _model(options: argparse.Namespace) -> tuple[Model, Path]:
    """The model, which has the speakers that are asked for, and its folder."""
    model, folder = load(options.model, options.device)
    speaking.check_speakers(model, options.speaker)
    return model, folder


def _convert_all(
    options: argparse.Namespace, model: Model, folder: Path, jobs: Iterable[Job], seconds: float
) -> int:
    """Do the jobs, of so many seconds in all, and say what came of them."""
    sampling = speaking.sampling_options(options)
    # Torchrun ends the other shards when one exits with 2
    report = logger.warning if options.shard else logger.error
    failed: list[dict[str, Any]] = []
    written: list[dict[str, Any]] = []
    begun: dict[Path, Job] = {}
    may_replace = not options.manifest  # `check_outputs` has looked at the others
    drawings = _encode_sources(model, jobs, sampling.seed, begun, failed, report, may_replace)
    show = not options.json
    for output in speaking.draw(model, drawings, sampling, seconds=seconds, show=show):
        job = begun.pop(output.path)
        if options.json:
            written.append(_described(job) | {"seconds": round(output.seconds, 3)})
    if options.json:
        outcome = {
            "model": str(folder),
            "written": written,
            "failed": failed,
            "errors": reported(),  # what was left out before, such as files that are not there
        }
        print(json.dumps(outcome, indent=1, ensure_ascii=False))
    return ERROR if failed and not options.shard else OK


def _jobs(
    sources: list[Path], speakers: list[str], out: Path | None, piped: set[Path]
) -> list[Job]:
    if out is not None and speaking.is_audio_file(out):
        if len(sources) * len(speakers) > 1:
            raise ValueError(
                f"--out {out}: one file for {len(sources)} sources and {len(speakers)} speakers; "
                "name a folder"
            )
        return [Job(sources[0], speakers[0], out)]
    stems = {source: "stdin" if source in piped else source.stem for source in sources}
    return [
        Job(source, speaker, (out or source.parent) / f"{stems[source]}-{speaker}.wav")
        for source in sources
        for speaker in speakers
    ]


def _encode_sources(
    model: Model,
    jobs: Iterable[Job],
    seed: int,
    begun: dict[Path, Job],
    failed: list[dict[str, Any]],
    report: Callable[[str, str], None],
    may_replace: bool,
) -> Iterator[speaking.Drawing]:
    """Encode the jobs' sources; jobs whose source cannot be used are reported and go to `failed`.

    The others go to `begun`, by their output. Unless `may_replace`, a job fails whose output is
    somebody's file.
    """
    from speechvq.sampling import encode_source
    from speechvq.sampling.pauses import SourceLevel

    part, source = None, None  # jobs of one source follow each other: it is encoded once
    for job in jobs:
        try:
            speaking.check_writable(job.output)
            if not may_replace:
                speaking.check_ours(job.output)
            if (job.source, job.start, job.seconds) != part:
                speech = audio.Recording(job.source, model.sample_rate, job.start, job.seconds)
                source = encode_source(model, speech)
                part = job.source, job.start, job.seconds
        except (audio.AudioError, OSError) as error:
            message = one_line(error)
            if not failed or message != failed[-1]["error"]:  # once for all speakers
                report("%s", message)
            failed.append(_described(job) | {"error": message})
            continue
        assert source is not None
        begun[job.output] = job
        level = SourceLevel(model, source.powers, source.gain)
        yield speaking.Drawing(job.output, source.codes, job.speaker, seed, source.samples, level)


def _seconds(jobs: list[Job]) -> float:
    total = 0.0
    for job in jobs:
        with contextlib.suppress(audio.AudioError, OSError):  # reported when it is encoded
            total += audio.info(job.source)[0]
    return total


def _described(job: Job) -> dict[str, Any]:
    return {"source": shown(job.source), "speaker": job.speaker, "output": str(job.output)}


def _check_stream(options: argparse.Namespace, sources: int) -> None:
    if sources != 1 or len(options.speaker) != 1:
        raise ValueError(
            f"--stream: {sources} sources and {len(options.speaker)} speakers; "
            "one of each can be streamed at a time"
        )
    for name in ("out", "json"):
        if getattr(options, name):
            raise ValueError(f"--stream and --{name}: the audio goes to stdout; leave one of them")
    check_stdout("--out instead of --stream")
    if sys.stdout.isatty():
        raise ValueError("--stream: stdout is a terminal; pipe it into a player or a file")


def _stream_live(options: argparse.Namespace) -> int:
    """Convert what comes through a pipe while it comes."""
    _check_stream(options, 1)
    model, _ = _model(options)
    with piping.live(options.src[0], model.sample_rate, options.pcm) as blocks:
        sampling = speaking.sampling_options(options)
        return _stream(model, blocks, options.speaker[0], options.stream, sampling)


def _stream(
    model: Model,
    blocks: Iterable[np.ndarray],
    speaker: str,
    form: str,
    options: SamplingOptions,
) -> int:
    """Convert one source to stdout."""
    from speechvq.sampling import convert_blocks

    out = sys.stdout.buffer
    header = audio.stream_header(model.sample_rate) if form == "wav" else b""
    # The first chunk precedes the header, so that a source that cannot be used writes nothing
    for chunk in convert_blocks(model, blocks, speaker, options):
        out.write(header + audio.to_pcm(chunk).tobytes())
        out.flush()
        header = b""
    return OK


def _list_speakers(model: str | None, as_json: bool) -> int:
    from speechvq.model_folder import find_model, read_speakers

    speakers = read_speakers(find_model(model))
    print(json.dumps(speakers) if as_json else "\n".join(speakers))
    return OK


if __name__ == "__main__":
    raise SystemExit(main())
