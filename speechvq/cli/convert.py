"""speechvq-convert: recordings said again in another voice."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechvq import audio
from speechvq.cli import speaking
from speechvq.cli.errors import ERROR, OK, Parser, command, one_line

if TYPE_CHECKING:
    import numpy as np

    from speechvq.models.vqvae import VQVAE

logger = logging.getLogger(__name__)

EXAMPLES = f"""\
examples:
  speechvq-convert --src a.wav --speaker p225              writes a-p225.wav beside a.wav
  speechvq-convert --src a.wav --speaker p225 --out b.flac
  speechvq-convert --src a.wav talks/ --speaker p225 p226 --out converted
  speechvq-convert --src a.wav --speaker p225 --stream | ffplay -i -
  speechvq-convert --list-speakers

{speaking.WHICH_MODEL}
Draws exactly the model's distribution, sample by sample; there is no argmax, which is not sampling.
The files written are printed on stdout; a source that cannot be used is reported, the others are
converted all the same, and the exit code is 2.
"""


LOUDEST = -20.0
"""Level of speech, dB, above which nothing is said: its peaks would be clipped."""

LEVEL_SECONDS = 60
"""Of a source, in which its level is measured."""


@dataclass(frozen=True)
class Job:
    """One source to be said by one speaker."""

    source: Path
    speaker: str
    output: Path


def parser() -> Parser:
    """The options of speechvq-convert."""
    parser = Parser("convert", "Say recordings again in another voice.", EXAMPLES)
    add = parser.add_argument
    add("--src", nargs="+", metavar="PATH", help="audio files, and folders of them")
    add("--speaker", nargs="+", metavar="NAME", help="voices to say them in, such as p225")
    add("--out", metavar="PATH",
        help="a .wav or .flac file for one source and speaker, or a folder "
        "(default: SOURCE-SPEAKER.wav beside each source)")  # fmt: skip
    add("--stream", nargs="?", choices=("wav", "pcm"), const="wav",
        help="write to stdout while it is said: WAV, or bare 16-bit samples")  # fmt: skip
    add("--list-speakers", action="store_true", help="print the model's speakers and stop")
    speaking.add_model_options(parser)
    speaking.add_sampling_options(parser)
    add("--json", action="store_true", help="print the outcome as JSON")
    return parser


@command
def main(argv: list[str] | None = None) -> int:
    """Convert every source to every speaker."""
    options = parser().parse_args(argv)
    speaking.let_threads_sleep()
    if options.list_speakers:
        return _list_speakers(options.model, options.json)
    if not options.src or not options.speaker:
        raise ValueError(f"{'--speaker' if options.src else '--src'} is missing: see --help")

    sources = audio.find(options.src)
    if options.stream:
        _check_stream(options, sources)
    jobs = _jobs(sources, list(dict.fromkeys(options.speaker)), options.out and Path(options.out))
    if not options.stream:
        speaking.check_outputs([job.output for job in jobs], [job.source for job in jobs])

    from speechvq.model_folder import find_model, load_model, read_config

    folder = find_model(options.model)
    model = load_model(folder, options.device)
    speaking.check_speakers(model, options.speaker)
    level = read_config(folder).get("speech_level")

    if options.stream:
        return _stream(model, level, jobs[0], options.stream, speaking.sampling(options))

    written, failed = _convert(
        model, level, jobs, speaking.sampling_of_several(options), show=not options.json
    )
    if options.json:
        outcome = {"model": str(folder), "written": written, "failed": failed}
        print(json.dumps(outcome, indent=1, ensure_ascii=False))
    return ERROR if failed else OK


def _jobs(sources: list[Path], speakers: list[str], out: Path | None) -> list[Job]:
    if out is not None and speaking.is_audio_file(out):
        if len(sources) * len(speakers) > 1:
            raise ValueError(
                f"--out {out}: one file for {len(sources)} sources and {len(speakers)} speakers; "
                "name a folder"
            )
        return [Job(sources[0], speakers[0], out)]
    return [
        Job(source, speaker, (out or source.parent) / f"{source.stem}-{speaker}.wav")
        for source in sources
        for speaker in speakers
    ]


def _convert(
    model: VQVAE, level: float | None, jobs: list[Job], sampling: dict, show: bool
) -> tuple[list[dict], list[dict]]:
    """Do the jobs, many at a time; what was written, and what failed."""
    from speechvq.sampling import sample_into

    written, failed = [], []
    with speaking.progress_bar(_seconds(jobs), model.sample_rate) as progress:
        for first in range(0, len(jobs), speaking.AT_ONCE):
            heard, unusable = _hear(model, level, jobs[first : first + speaking.AT_ONCE])
            failed += unusable
            paths = [job.output for job, _ in heard]
            with speaking.outputs(paths, model.sample_rate, show) as outputs:
                for output, (_, source) in zip(outputs, heard, strict=True):
                    output.gain = source.gain_after
                sample_into(
                    outputs,
                    model,
                    [source.codes for _, source in heard],
                    [job.speaker for job, _ in heard],
                    lengths=[source.samples for _, source in heard],
                    progress=progress,
                    **sampling,
                )
            for job, source in heard:
                seconds = round(source.samples / model.sample_rate, 3)
                written.append(_described(job) | {"seconds": seconds})
    return written, failed


@dataclass(frozen=True)
class Heard:
    """What there is to say."""

    codes: np.ndarray
    """(N,)."""
    samples: int
    gain_after: float
    """By which what is said is as loud as the source."""


def _hear(
    model: VQVAE, level: float | None, jobs: list[Job]
) -> tuple[list[tuple[Job, Heard]], list[dict]]:
    """Jobs with what is in their sources; and those that cannot be used."""
    import numpy as np

    from speechvq.sampling import encode_blocks

    heard, unusable = [], []
    known: dict[Path, Heard] = {}  # a source is heard once for all its speakers
    for job in jobs:
        try:
            if job.source not in known:
                blocks, after = _levelled(job.source, model.sample_rate, level)
                counter = _Counter(blocks)
                codes = np.concatenate(list(encode_blocks(model, counter)))
                known[job.source] = Heard(codes, counter.samples, after)
        except (audio.AudioError, OSError) as error:
            message = one_line(error)
            logger.error("%s", message)
            unusable.append(_described(job) | {"error": message})
        else:
            heard.append((job, known[job.source]))
    return heard, unusable


def _listen(source: Path, sample_rate: int) -> Iterator[np.ndarray]:
    """A source, block by block; AudioError when it cannot be used."""
    blocks = audio.blocks(source, sample_rate)
    return audio.checked(blocks, sample_rate, source)


def _levelled(
    source: Path, sample_rate: int, level: float | None
) -> tuple[Iterator[np.ndarray], float]:
    """A source, block by block, as loud as what the model learned from; and the gain back.

    The codes hear how loud a recording is, so that another's level would be taken for other sounds.
    """
    blocks = _listen(source, sample_rate)
    if level is None:
        return blocks, 1.0
    first, samples = [], 0
    for block in blocks:
        first.append(block)
        samples += len(block)
        if samples >= LEVEL_SECONDS * sample_rate:
            break
    its = audio.speech_level(first, sample_rate)
    if not math.isfinite(its):
        its = level
    gain = 10 ** ((level - its) / 20)
    louder = (gain * block for block in itertools.chain(first, blocks))
    return louder, 10 ** ((min(its, LOUDEST) - level) / 20)


class _Counter:
    """Passes blocks on and counts their samples."""

    def __init__(self, blocks: Iterable[np.ndarray]):
        self.blocks, self.samples = blocks, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.blocks:
            self.samples += len(block)
            yield block


def _seconds(jobs: list[Job]) -> float:
    total = 0.0
    for job in jobs:
        with contextlib.suppress(audio.AudioError, OSError):  # reported when its turn comes
            total += audio.info(job.source)[0]
    return total


def _described(job: Job) -> dict:
    return {"source": str(job.source), "speaker": job.speaker, "output": str(job.output)}


def _check_stream(options: argparse.Namespace, sources: list[Path]) -> None:
    if len(sources) != 1 or len(options.speaker) != 1:
        raise ValueError(
            f"--stream: {len(sources)} sources and {len(options.speaker)} speakers; "
            "one of each can be heard at a time"
        )
    for name in ("out", "json"):
        if getattr(options, name):
            raise ValueError(f"--stream and --{name}: the audio goes to stdout; leave one of them")
    if sys.stdout.isatty():
        raise ValueError("--stream: stdout is a terminal; pipe it into a player or a file")


def _stream(model: VQVAE, level: float | None, job: Job, form: str, sampling: dict) -> int:
    """Say one job to stdout."""
    from speechvq.sampling import convert_blocks

    out = sys.stdout.buffer
    blocks, after = _levelled(job.source, model.sample_rate, level)
    header = audio.stream_header(model.sample_rate) if form == "wav" else b""
    # The first chunk before the header: where nothing can be said, nothing is written
    for chunk in convert_blocks(model, blocks, job.speaker, **sampling):
        out.write(header + audio.to_pcm(after * chunk).tobytes())
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
