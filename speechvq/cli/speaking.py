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
from speechvq.codes import Codebook

if TYPE_CHECKING:
    from speechvq.models.vqvae import VQVAE

WHICH_MODEL = """\
The model is the folder given with --model; else the one that SPEECHVQ_MODEL names; else the newest
below exp/ of the working folder; else the one inside the package. stderr says which it was."""


def add_model_options(parser: Parser) -> None:
    """--model and --device."""
    parser.add_argument("--model", metavar="DIR", help="model folder (default: see below)")
    parser.add_argument(
        "--device", default="cpu", help="cpu, cuda, cuda:1, … (default: %(default)s)"
    )


def add_sampling_options(parser: Parser) -> None:
    """--temperature and --seed."""
    parser.add_argument(
        "--temperature",
        type=_temperature,
        default=1.0,
        help="below 1 calmer, above 1 wilder than the model's own distribution (default: 1)",
    )
    parser.add_argument(
        "--seed", type=_seed, default=0, help="of the random numbers (default: %(default)s)"
    )


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


def codebook_of(model: VQVAE) -> Codebook:
    """What the codes of a model refer to."""
    from speechvq.checkpoint import fingerprint

    return Codebook(
        model.config.codebook_size, model.hop_length, model.sample_rate, fingerprint(model)
    )


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


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"must be a whole number, 0 or more, got {text!r}")
    return int(text)
