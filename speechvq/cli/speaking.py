"""What the commands that speak share: their options, their output files, and their progress bar."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from speechvq import audio
from speechvq.cli.errors import Parser

if TYPE_CHECKING:
    import numpy as np

    from speechvq.models.vqvae import VQVAE

WHICH_MODEL = """\
The model is the folder given with --model; else the one that SPEECHVQ_MODEL names; else the newest
below exp/ of the working folder; else the one inside the package. stderr says which it was."""


def let_threads_sleep() -> None:
    """Let threads that wait for each other sleep; to be called before torch is imported.

    They spin otherwise. Where another program is busy on the cores, what multiplies small matrices
    then takes up to twice as long; on idle ones sleep costs nothing here. (A training would lose
    a fifth, so it may spin.)
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def add_model_options(parser: Parser) -> None:
    """--model and --device."""
    parser.add_argument("--model", metavar="DIR", help="model folder (default: see below)")
    parser.add_argument(
        "--device", default="cpu", help="cpu, cuda, cuda:1, … (default: %(default)s)"
    )


def add_sampling_options(parser: Parser) -> None:
    """What `sampling` gives: the distribution that is drawn from, the seed and the waveform's."""
    add_choice_options(parser, "levels")
    add_waveform_options(parser)


def add_choice_options(parser: Parser, elements: str) -> None:
    """The distribution that `elements` are drawn from, and the seed."""
    add = parser.add_argument
    add(
        "--temperature",
        type=_temperature,
        default=1.0,
        metavar="X",
        help="below 1 calmer, above 1 wilder than the model's own distribution (default: 1)",
    )
    add("--top-k", type=whole_number, metavar="N",
        help=f"draw from the N likeliest {elements} only")  # fmt: skip
    add("--top-p", type=_top_p, metavar="X",
        help=f"draw from the fewest {elements} with this share of the probability")  # fmt: skip
    add("--seed", type=_seed, default=0, metavar="N",
        help="of the random numbers (default: %(default)s)")  # fmt: skip


def add_waveform_options(parser: Parser) -> None:
    """How the waveform is drawn."""
    add = parser.add_argument
    add("--precision", choices=("float32", "bfloat16"), default="float32",
        help="of the weights: float32 (the default) is exact, bfloat16 faster")  # fmt: skip
    add("--no-envelope", dest="envelope", action="store_false",
        help="do not filter what is drawn to the envelope that the model expects")  # fmt: skip


def sampling(options: argparse.Namespace) -> dict:
    """The options of `add_sampling_options` as arguments of `sampling.convert_blocks`."""
    names = ("temperature", "top_k", "top_p", "seed", "precision", "envelope")
    return {name: getattr(options, name) for name in names}


def sampling_of_several(options: argparse.Namespace) -> dict:
    """The same for `sampling.sample_into` and `sampling.sample_batch`."""
    arguments = sampling(options)
    return arguments | {"seeds": arguments.pop("seed")}


def check_outputs(outputs: Path | Sequence[Path], sources: Sequence[Path]) -> None:
    """Refuse, before any work, outputs that clash, that are sources, or that cannot be written.

    `outputs` is one path, or goes in pairs with `sources`.
    """
    single = isinstance(outputs, Path)
    pairs = [(outputs, None)] if single else zip(outputs, sources, strict=True)
    inputs = {source.resolve() for source in sources}
    made_from: dict[Path, Path | None] = {}
    for output, source in pairs:
        key = output.resolve()
        if key in inputs:
            raise ValueError(
                f"{output}: the output would overwrite this source; pass another --out"
            )
        if key in made_from:
            raise ValueError(
                f"{made_from[key]} and {source} would both be written to {output}; "
                "do one at a time, each with its own --out"
            )
        made_from[key] = source
        check_writable(output)


def check_writable(output: Path) -> None:
    """OSError when the output or its folder cannot be written."""
    if output.is_dir():
        raise IsADirectoryError(f"{output}: a folder stands where the output would be written")
    folder = output.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: a file, where a folder for the output was expected")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder}: this folder cannot be written to; pass another --out")


def is_audio_file(out: Path) -> bool:
    """Whether `--out` names a file to write, and not a folder; ValueError for a wrong suffix."""
    suffix = out.suffix.lower()
    if out.is_dir() or suffix not in audio.SUFFIXES:
        return False
    if suffix not in audio.WRITTEN:
        raise ValueError(f"--out {out}: cannot write {suffix}; use .wav or .flac")
    return True


def check_speakers(model: VQVAE, speakers: Sequence[str]) -> None:
    """ValueError, with the list and the nearest name, for a speaker the model does not know."""
    for speaker in speakers:
        model.speaker_index(speaker)


AT_ONCE = 96
"""Outputs that are open at a time: enough to share among threads, few enough for any system."""


@contextlib.contextmanager
def outputs(paths: Sequence[Path], sample_rate: int, show: bool) -> Iterator[list[Output]]:
    """Open output files; what has not been closed by the end leaves no trace."""
    with contextlib.ExitStack() as stack:
        opened = []
        for path in paths:
            output = Output(path, sample_rate, show)
            stack.callback(output.discard)
            opened.append(output)
        yield opened


class Output(audio.Writer):
    """An output file that is announced on stdout once it is whole."""

    def __init__(self, path: Path, sample_rate: int, show: bool):
        super().__init__(path, sample_rate)
        self._show = show
        self.gain = 1.0

    def write(self, waveform: np.ndarray) -> None:
        """Append a piece (T,), louder or softer by the gain."""
        super().write(self.gain * waveform)

    def close(self) -> None:
        """Put the file in its place and say so."""
        super().close()
        if self._show:
            announce(self.path)


@contextlib.contextmanager
def progress_bar(seconds: float, sample_rate: int) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, where that is a terminal, over seconds of audio; yields what moves it."""
    from tqdm import tqdm

    layout = "{l_bar}{bar}| {n:.1f}/{total:.1f} s of audio [{elapsed}<{remaining}, {rate_fmt}]"
    with tqdm(total=seconds, unit=" s", disable=None, bar_format=layout, leave=False) as bar:
        yield lambda drawn: bar.update(drawn / sample_rate)


def announce(output: Path) -> None:
    """Print a file that was written on stdout, above the progress bar where there is one."""
    from tqdm import tqdm

    tqdm.write(str(output), file=sys.stdout)
    sys.stdout.flush()


def _temperature(text: str) -> float:
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(
            f"must be above 0, got {text}; 1 is the model's own distribution (0 would be argmax, "
            "which is not sampling)"
        )
    return value


def whole_number(text: str) -> int:
    """An option of 1 or more."""
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, got {text!r}")
    return int(text)


def _top_p(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, got {text}")
    return value


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, got {text!r}")
    return int(text)
