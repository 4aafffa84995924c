"""Shared parts of the commands that sample: options, output files, drawing, progress bar."""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechvq import audio
from speechvq.cli import numbers
from speechvq.cli.errors import Parser, one_line
from speechvq.progress import track

if TYPE_CHECKING:
    import numpy as np

    from speechvq.model import Model
    from speechvq.sampling import SamplingOptions
    from speechvq.sampling.pauses import SourceLevel

logger = logging.getLogger(__name__)

WHICH_MODEL = """\
The model is the folder given with --model; else the one that SPEECHVQ_MODEL names; else the newest
below exp/ of the working folder; else the one inside the package. stderr names it. In place of a
folder, hf://OWNER/NAME or hf://OWNER/NAME@REVISION is fetched from the Hugging Face Hub."""


def add_model_options(parser: Parser) -> None:
    """--model and --device."""
    parser.add_argument("--model", metavar="DIR", help="model folder (default: see below)")
    parser.add_argument(
        "--device", default="cpu", help="cpu, cuda, cuda:1, … (default: %(default)s)"
    )


def add_sampling_options(parser: Parser) -> None:
    """The options of `sampling_options`: distribution, seed, precision and post-filter."""
    add_distribution_options(parser, "levels")
    add_waveform_options(parser)


def add_distribution_options(parser: Parser, elements: str) -> None:
    """Options of the distribution of `elements`, and the seed."""
    add = parser.add_argument
    add(
        "--temperature",
        type=numbers.temperature,
        default=1.0,
        metavar="X",
        help="divisor of the logits: below 1 sharper, above 1 flatter than the model's own "
        "distribution (default: 1)",
    )
    add("--top-k", type=numbers.whole_number, metavar="N",
        help=f"draw from the N likeliest {elements} only")  # fmt: skip
    add("--top-p", type=numbers.top_p, metavar="X",
        help=f"draw from the fewest {elements} with this share of the probability "
        "(default: the model's own, which is 1 for codes)")  # fmt: skip
    add("--seed", type=numbers.seed, default=0, metavar="N",
        help="seed of the random numbers (default: %(default)s)")  # fmt: skip


def add_waveform_options(parser: Parser) -> None:
    """Options of the waveform: precision and post-filter."""
    add = parser.add_argument
    add("--precision", choices=("float32", "bfloat16"), default="float32",
        help="of the weights: float32 (the default) is exact, bfloat16 faster")  # fmt: skip
    add("--no-post-filter", dest="post_filter", action="store_false",
        help="do not apply the post-filters")  # fmt: skip
    add("--guidance", type=numbers.guidance, metavar="X",
        help="how far the mel post-filter goes in the direction of the speaker: above 0 more of "
        "the voice, and fewer words (default: the model's own)")  # fmt: skip


def sampling_options(options: argparse.Namespace) -> SamplingOptions:
    """The values of `add_sampling_options`."""
    from speechvq.sampling import SamplingOptions

    return SamplingOptions(
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        seed=options.seed,
        precision=options.precision,
        post_filter=options.post_filter,
        guidance=options.guidance,
    )


def check_outputs(outputs: Path | Sequence[Path], sources: Sequence[Path]) -> set[Path]:
    """Return the outputs that can be written; the others are logged, an error if all are.

    `outputs` is one path that a user named, or has one path, named by us, for each of `sources`.
    Outputs that clash, and that are sources, are a ValueError.
    """
    pairs: list[tuple[Path, Path | None]]
    if isinstance(outputs, Path):
        pairs = [(outputs, None)]
    else:
        pairs = list(zip(outputs, sources, strict=True))
    check_not_sources([output for output, _ in pairs], sources)
    made_from: dict[Path, Path | None] = {}
    asked = []
    for output, source in pairs:
        key = Path(os.path.realpath(output))  # `resolve` fails on a link to itself
        if key in made_from:
            raise ValueError(
                f"{made_from[key]} and {source} would both be written to {output}; "
                "do one at a time, each with its own --out"
            )
        made_from[key] = source
        asked.append(output)
    return writable(asked, named_by_us=not isinstance(outputs, Path))


def check_not_sources(outputs: Iterable[Path], sources: Iterable[Path]) -> None:
    """Raise ValueError for an output that is a source."""
    there = [output for output in outputs if os.path.exists(output)]
    inputs = {os.path.realpath(source) for source in sources} if there else set()
    for output in there:
        if os.path.realpath(output) in inputs:
            raise ValueError(
                f"{output}: the output would overwrite this source; pass another --out"
            )


def named(names: Sequence[tuple[str, str]], folder: str) -> list[Path]:
    """Return paths in a folder, named by the id of an utterance and an ending.

    An id may hold slashes: its file stays within the folder. ValueError for two of one path.
    """
    made_from: dict[Path, str] = {}
    for id, ending in names:
        path = Path(folder, re.sub(r"[/\0]", "-", id) + ending)
        if path in made_from:
            raise ValueError(f"{made_from[path]!r} and {id!r} would both be written to {path}")
        made_from[path] = id
    return list(made_from)


def writable(
    outputs: Iterable[Path],
    named_by_us: bool = True,
    ours: Callable[[Path], bool] = audio.is_drawn,
) -> set[Path]:
    """Return the outputs that can be written; the others are logged; OSError if there is none.

    Under a name that a user has not given, nothing but an earlier output, `ours`, is overwritten.
    """
    found, faults = set(), []
    for output in outputs:
        try:
            check_writable(output)
            if named_by_us:
                check_ours(output, ours)
            found.add(output)
        except OSError as error:
            faults.append(error)
    if faults and not found:
        raise faults[0]
    for line in dict.fromkeys(map(one_line, faults)):
        logger.error("%s; left out", line)
    return found


def check_ours(output: Path, ours: Callable[[Path], bool] = audio.is_drawn) -> None:
    """Raise FileExistsError if a file that is not an earlier output, `ours`, is there."""
    if output.exists() and not ours(output):
        raise FileExistsError(
            f"{output}: is there, and speechvq did not write it; move it, or pass --out"
        )


def check_writable(output: Path) -> None:
    """Raise OSError if the output or its folder cannot be written."""
    if not audio.is_text(output):
        raise OSError(audio.bad_name(output))
    if output.is_dir():
        raise IsADirectoryError(f"{output}: a folder stands where the output would be written")
    folder = output.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: a file, where a folder for the output was expected")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder}: this folder cannot be written to; pass another --out")
    if len(output.name.encode()) > LONGEST_NAME:
        raise OSError(f"{output.name[:40]}…: a name of more than {LONGEST_NAME} bytes; pass --out")


LONGEST_NAME = 255
"""Bytes of the name of a file."""


def is_audio_file(out: Path) -> bool:
    """Whether `--out` names a file to write, and not a folder; ValueError for a wrong suffix."""
    suffix = out.suffix.lower()
    if out.is_dir() or not any(letter.isalpha() for letter in suffix):
        return False
    if suffix not in audio.WRITTEN:
        raise ValueError(
            f"--out {out}: cannot write {suffix}; use .wav or .flac, or make the folder first"
        )
    return True


def check_speakers(model: Model, speakers: Sequence[str]) -> None:
    """Raise ValueError, with the list and the nearest name, for an unknown speaker."""
    for speaker in speakers:
        model.speaker_index(speaker)


OPEN_FILES = 96
"""Outputs that are open at a time: enough to share among threads, few enough for any system."""


@dataclass(frozen=True)
class Drawing:
    """An utterance to draw, and the file that it is written to."""

    output: Path
    codes: np.ndarray
    """(N,)."""
    speaker: str
    seed: int
    samples: int | None = None
    """Samples to keep; all by default."""
    level: SourceLevel | None = None
    """Of a conversion."""


def draw(
    model: Model,
    drawings: Iterable[Drawing],
    options: SamplingOptions,
    *,
    seconds: float,
    show: bool,
) -> Iterator[Output]:
    """Draw utterances and write them, `OPEN_FILES` at a time.

    Parameters
    ----------
    model : Model
        In eval mode.
    drawings : iterable of Drawing
        May be a generator that encodes recordings as they are needed.
    options : SamplingOptions
        The seed is that of each drawing instead.
    seconds : float
        Seconds of audio in all, for the progress bar.
    show : bool
        Print each file on stdout once it is whole.

    Yields
    ------
    Output
        The closed output files, in the order of the drawings.
    """
    from speechvq import sampling

    drawings = iter(drawings)
    with progress_bar(seconds, model.sample_rate) as progress:
        while batch := list(itertools.islice(drawings, OPEN_FILES)):
            paths = [drawing.output for drawing in batch]
            lengths = [
                len(drawing.codes) * model.hop_length if drawing.samples is None
                else drawing.samples
                for drawing in batch
            ]  # fmt: skip
            with outputs(paths, model.sample_rate, show) as opened:
                sampling.sample_into(
                    opened,
                    model,
                    [drawing.codes for drawing in batch],
                    [drawing.speaker for drawing in batch],
                    options,
                    seeds=[drawing.seed for drawing in batch],
                    lengths=lengths,
                    levels=[drawing.level for drawing in batch],
                    progress=progress,
                )
            yield from opened


@contextlib.contextmanager
def outputs(paths: Sequence[Path], sample_rate: int, show: bool) -> Iterator[list[Output]]:
    """Open output files; files that have not been closed by the end leave no trace."""
    with contextlib.ExitStack() as stack:
        opened = []
        for path in paths:
            output = Output(path, sample_rate, show)
            stack.callback(output.discard)
            opened.append(output)
        yield opened


class Output(audio.Writer):
    """An output file that is announced on stdout once it is whole.

    Attributes
    ----------
    seconds : float
        Duration of the audio written so far.
    peak : float
        Largest magnitude of the samples written so far.
    """

    def __init__(self, path: Path, sample_rate: int, show: bool):
        super().__init__(path, sample_rate, audio.DRAWN)
        self._show, self._sample_rate = show, sample_rate
        self._samples, self.peak = 0, 0.0

    @property
    def seconds(self) -> float:
        """Duration of the audio written so far."""
        return self._samples / self._sample_rate

    def write(self, waveform: np.ndarray) -> None:
        """Append samples (T,)."""
        super().write(waveform)
        self._samples += len(waveform)
        self.peak = max(self.peak, float(abs(waveform).max(initial=0.0)))

    def close(self) -> None:
        """Put the file in its place and announce it."""
        super().close()
        if self._show:
            announce(self.path)


@contextlib.contextmanager
def progress_bar(seconds: float, sample_rate: int) -> Iterator[Callable[[int], None]]:
    """The progress over seconds of audio on stderr; yields its update."""
    layout = "{l_bar}{bar}| {n:.1f}/{total:.1f} s of audio [{elapsed}<{remaining}, {rate_fmt}]"
    bar: Any
    with track(total=round(seconds, 1), unit=" s of audio", layout=layout) as bar:

        def update(drawn: int) -> None:
            bar.update(drawn / sample_rate)

        yield update


def announce(output: Path) -> None:
    """Print the name of a written file on stdout, above the progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(str(output), file=sys.stdout)
    sys.stdout.flush()
