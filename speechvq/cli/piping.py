"""Sources that come through a pipe: `--src -`, /dev/stdin and named pipes."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from speechvq import audio
from speechvq.cli import speaking
from speechvq.cli.errors import show_as


def add_pcm_option(parser: argparse.ArgumentParser) -> None:
    """--pcm, the sample rate of raw samples."""
    parser.add_argument(
        "--pcm",
        type=speaking.whole_number,
        metavar="RATE",
        help="sample rate of raw 16-bit samples, one channel, that come through --src - "
        "(default: an audio file comes)",
    )


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
    pipes = [path for path in paths if path == "-" or _is_pipe(Path(path))]
    if pcm_rate is not None and not pipes:
        raise ValueError("--pcm: the samples come through a pipe; give --src - as well")
    with contextlib.ExitStack() as stack:
        piped = []
        for path in dict.fromkeys(pipes):
            if path != "-":
                stream = stack.enter_context(open(path, "rb"))
            elif sys.stdin is None or sys.stdin.isatty():
                raise ValueError("--src -: audio is expected on stdin; pipe it in")
            else:
                stream = sys.stdin.buffer
            spooled = stack.enter_context(audio.spooled(stream, pcm_rate))
            show_as(spooled, "stdin" if path == "-" else path)
            piped.append(spooled)
        files = [path for path in paths if path not in pipes]
        yield [*piped, *(audio.find(files) if files else [])], set(piped)


def _is_pipe(path: Path) -> bool:
    return path.is_fifo() or path.is_char_device()
