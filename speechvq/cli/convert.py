"""speechvq-convert: recordings said again in another voice."""

from __future__ import annotations

import contextlib
import json
import logging
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
  speechvq-convert --list-speakers

{speaking.WHICH_MODEL}
The files written are printed on stdout; a source that cannot be used is reported, the others are
converted all the same, and the exit code is 2.
"""


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
    if not options.src or not options.speaker:
        raise ValueError(f"{'--speaker' if options.src else '--src'} is missing: see --help")

    sources = audio.find(options.src)
    jobs = _jobs(sources, list(dict.fromkeys(options.speaker)), options.out and Path(options.out))
    speaking.check_outputs([job.output for job in jobs], [job.source for job in jobs])

    from speechvq.checkpoint import find_model, load_model

    folder = find_model(options.model)
    model = load_model(folder, options.device)
    speaking.check_speakers(model, options.speaker)

    written, failed = _convert(model, jobs, options.temperature, options.seed, not options.json)
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
    model: VQVAE, jobs: list[Job], temperature: float, seed: int, show: bool
) -> tuple[list[dict], list[dict]]:
    """Do the jobs, as many at a time as there are cores; what was written, and what failed."""
    from speechvq.sampling import cores, sample_batch

    written, failed = [], []
    at_once = 4 * cores()  # four rounds a batch, so that cores seldom wait for the longest
    with speaking.progress_bar(_seconds(jobs), model.sample_rate) as progress:
        for first in range(0, len(jobs), at_once):
            heard, unusable = _hear(model, jobs[first : first + at_once])
            failed += unusable
            waveforms = sample_batch(
                model,
                [codes for _, codes, _ in heard],
                [job.speaker for job, _, _ in heard],
                temperature=temperature,
                seeds=seed,
                progress=progress,
            )
            for (job, _, length), waveform in zip(heard, waveforms, strict=True):
                audio.write(job.output, waveform[:length], model.sample_rate)
                seconds = round(length / model.sample_rate, 3)
                written.append(_described(job) | {"seconds": seconds})
                if show:
                    speaking.announce(job.output)
    return written, failed


def _hear(model: VQVAE, jobs: list[Job]) -> tuple[list[tuple[Job, np.ndarray, int]], list[dict]]:
    """Jobs with the codes (N,) and the samples of their sources; and those that cannot be used."""
    from speechvq.sampling import encode

    heard, unusable = [], []
    for job in jobs:
        try:
            waveform, _ = audio.read(job.source, model.sample_rate)
            audio.check_speech(waveform, model.sample_rate, job.source)
        except (audio.AudioError, OSError) as error:
            message = one_line(error)
            logger.error("%s", message)
            unusable.append(_described(job) | {"error": message})
        else:
            heard.append((job, encode(model, waveform), len(waveform)))
    return heard, unusable


def _seconds(jobs: list[Job]) -> float:
    total = 0.0
    for job in jobs:
        with contextlib.suppress(audio.AudioError, OSError):  # reported when its turn comes
            total += audio.info(job.source)[0]
    return total


def _described(job: Job) -> dict:
    return {"source": str(job.source), "speaker": job.speaker, "output": str(job.output)}


def _list_speakers(model: str | None, as_json: bool) -> int:
    from speechvq.checkpoint import find_model, read_speakers

    speakers = read_speakers(find_model(model))
    print(json.dumps(speakers) if as_json else "\n".join(speakers))
    return OK


if __name__ == "__main__":
    raise SystemExit(main())
