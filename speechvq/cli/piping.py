"""Sources that come through a pipe: `--src -`, /dev/stdin and named pipes."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from speechvq import audio
from speechvq.cli import numbers
from speechvq.cli.errors import show_as

if TYPE_CHECKING:
    import numpy as np

STDIN = ("-", "/dev/stdin")
"""Names of stdin, which may be a file that has no name here."""


def add_pcm_option(parser: argparse.ArgumentParser) -> None:
    """--pcm, the sample rate of raw samples."""
    parser.add_argument(
        "--pcm",
        type=numbers.whole_number,
        metavar="RATE",
        help="sample rate of raw 16-bit samples, one channel, that come through --src - "
        "(default: an audio file comes)",
    )


def check_pcm(options: argparse.Namespace) -> None:
    """Raise ValueError for --pcm without a pipe that it could be of."""
    if options.pcm is not None and not any(map(is_pipe, options.src or ())):
        raise ValueError("--pcm: the samples come through a pipe; give --src - as well")


@contextlib.contextmanager
def sources(paths: list[str], pcm_rate: int | None) -> Iterator[tuple[list[Path], set[Path]]]:
    """Find sources, as `audio.find` does, and those that come through a pipe.

    Yields
    ------
    sources : list of Path
        Audio files; temporary ones of what came through pipes.
    piped : set of Path
        The temporary ones.
    """
    pipes = [path for path in paths if is_pipe(path)]
    with contextlib.ExitStack() as stack:
        piped = []
        for path in dict.fromkeys(pipes):
            stream = stack.enter_context(_opened(path))
            spooled = stack.enter_context(audio.spooled(stream, pcm_rate))
            show_as(spooled, _name(path))
            piped.append(spooled)
        files = [path for path in paths if path not in pipes]
        yield [*piped, *(audio.find(files) if files else [])], set(piped)


@contextlib.contextmanager
def live(path: str, sample_rate: int, pcm_rate: int | None) -> Iterator[Iterator[np.ndarray]]:
    """Open a pipe whose audio is read while it comes; yields its blocks, as `audio.live_blocks`."""
    with _opened(path) as stream:
        yield audio.live_blocks(stream.fileno(), sample_rate, pcm_rate, _name(path))


def is_pipe(path: str) -> bool:
    """Whether audio comes through a path, which is read once and cannot be searched."""
    return path in STDIN or Path(path).is_fifo() or Path(path).is_char_device()


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Open a pipe; stdin is left open."""
    if path != "-":
        with open(path, "rb") as stream:
            yield stream
    elif sys.stdin is None or sys.stdin.isatty():
        raise ValueError("--src -: audio is expected on stdin; pipe it in")
    else:
        yield sys.stdin.buffer


def _name(path: str) -> str:
    return "stdin" if path == "-" else path
