"""Finding files in folders: one walk for audio, texts and labels."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from speechvq.audio.errors import missing
from speechvq.audio.writing import WRITTEN

logger = logging.getLogger(__name__)

SUFFIXES_OF_FFMPEG = (".m4a", ".m4b", ".aac", ".wma", ".amr", ".3gp", ".ape", ".wv", ".g722")
"""Suffixes of files that need PyAV."""
SUFFIXES = (
    *(".wav", ".flac", ".ogg", ".mp3", ".opus", ".oga", ".aiff", ".aif", ".aifc", ".au", ".snd"),
    *(".caf", ".w64", ".rf64", ".sph", ".mp2"),
    *SUFFIXES_OF_FFMPEG,
)
"""Suffixes of the files that `find` finds in folders."""

DRAWN = "synthetic speech, drawn by speechvq"
"""Comment in the files that commands write."""

Report = Callable[[str], None]
"""Takes one line about a file or folder that is left out."""


def find(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], report: Report | None = None
) -> list[Path]:
    """Find audio files: files as given, and files with one of `SUFFIXES` below folders.

    The files of a folder are sorted. A file that is found twice is listed once. Hidden files are
    ignored. What cannot be used is reported and left out, as long as anything is found.

    Parameters
    ----------
    paths
        Files and folders.
    report
        Takes a line about each path that is left out; logs it as an error by default.

    Raises
    ------
    FileNotFoundError
        Nothing is found: a path does not exist, or a folder holds no audio.
    """
    paths = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    report = logger.error if report is None else report
    found: dict[str, Path] = {}  # by their absolute paths
    lines: list[str] = []
    for path in paths:
        if not os.fspath(path):
            lines.append("'': an empty path, where a file or folder was expected")
            continue
        path = Path(path)
        if not is_text(path):
            lines.append(bad_name(path))
        elif path.is_dir():
            inside = sorted(walk(path, SUFFIXES, lines.append))
            if not inside:
                names = ", ".join(SUFFIXES[:4])
                lines.append(f"{path}: no {names} file in this folder")
            for each in inside:
                found.setdefault(os.path.abspath(each), each)
        elif path.exists():
            found.setdefault(os.path.abspath(path), path)
        else:
            lines.append(str(missing(path)))
    if lines and not found:
        raise FileNotFoundError(lines[0])
    for line in lines:
        report(line)
    return list(found.values())


def is_drawn(path: Path) -> bool:
    """Return whether a file is speech that a command has drawn, by its comment."""
    try:
        if not os.path.isfile(path):  # a pipe, which would be waited for
            return False
        with soundfile.SoundFile(os.fsencode(path)) as file:
            return file.comment == DRAWN
    except (soundfile.LibsndfileError, OSError):
        return False


def recorded(paths: list[Path]) -> list[Path]:
    """Leave out, with a line, earlier outputs of commands; not if there is nothing else."""
    drawn = [path for path in paths if path.suffix.lower() in WRITTEN and is_drawn(path)]
    if not drawn or len(drawn) == len(paths):
        return paths
    logger.info(
        "left out %d earlier output%s of speechvq, such as %s; to use them, give them alone",
        len(drawn), "s" * (len(drawn) > 1), drawn[0],
    )  # fmt: skip
    outputs = set(drawn)
    return [path for path in paths if path not in outputs]


def walk(
    folder: Path, suffixes: tuple[str, ...] = SUFFIXES, report: Report = lambda line: None
) -> Iterator[Path]:
    """Yield the files below a folder whose names end with one of `suffixes`, in any case.

    Links are followed, but not into a circle; a folder is entered at most once by a link.
    Hidden files and folders are ignored. A folder that cannot be entered and a name that is no
    text are reported, in one line each, and left out.
    """
    linked: set[tuple[int, int]] = set()  # folders entered by a link, or below one
    waiting = [_Step(folder)]
    while waiting:
        step = waiting.pop()
        try:
            status = step.folder.stat()
            with os.scandir(step.folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            report(f"{step.folder}: {error.strerror}")
            continue
        here = (status.st_dev, status.st_ino)
        if here in step.above or (step.by_link and here in linked):
            continue
        if step.by_link:
            linked.add(here)
        for entry in entries:
            inside = _is_folder(entry)
            if entry.name.startswith(".") or not (inside or entry.name.lower().endswith(suffixes)):
                continue
            path = step.folder / entry.name
            if not is_text(entry.name):
                report(bad_name(path))
            elif inside:
                by_link = step.by_link or entry.is_symlink()
                waiting.append(_Step(path, step.above | {here}, by_link))
            else:
                yield path


@dataclass(frozen=True)
class _Step:
    """A folder to enter; `above` are the folders (device, inode) that lead to it."""

    folder: Path
    above: frozenset[tuple[int, int]] = frozenset()
    by_link: bool = False


def is_text(path: str | os.PathLike[str]) -> bool:
    """Return whether a path is text, and not bytes of some other encoding."""
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def bad_name(path: str | os.PathLike[str]) -> str:
    """Describe a path that is not text."""
    try:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # of JSON, whose strings may be no text at all
        shown = os.fspath(path).encode("utf-8", "backslashreplace").decode()
    return f"{shown}: a name that is not UTF-8; rename it"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
