"""Errors and warnings of all commands: one line each on stderr.

A command is written as ::

    @command
    def main(argv: list[str] | None = None) -> int:
        parser = Parser("prepare", "Turn a corpus into manifests.")
        ...

Set the environment variable ``SPEECHVQ_TRACEBACK=1`` to see the traceback behind an error.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import functools
import gc
import io
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from speechvq import signals
from speechvq.cli import started

OURS = ("speechvq", "__main__")
"""Beginnings of the names of our loggers; a command run with python -m is __main__."""

OK, ERROR, SIGNALLED, BROKEN_PIPE = 0, 2, 128, 141

# Python's last garbage collection takes half a second with PyTorch imported, and frees nothing
# that the end of the process does not free
atexit.register(gc.freeze)


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line, as commands do.

    Parameters
    ----------
    name
        Name of the command without prefix: "prepare" for ``speechvq-prepare``.
    description
        Description of the command, for ``--help``.
    epilog
        Examples or notes at the end of the help, printed verbatim.
    """

    def __init__(self, name: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=f"speechvq-{name}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, as `parse_args` does by it; an empty value, as of an unset variable, is an error.

        A setting of a training, whose name has a dot, is checked as a setting. With --json, stdout
        is UTF-8 from here on.
        """
        options, others = super().parse_known_args(args, namespace)
        for name, value in vars(options).items():
            empty = value == "" or (isinstance(value, list) and "" in value)
            if empty and "." not in name:
                self.error(f"--{name.replace('_', '-')}: an empty value; give one, or leave it out")
        if getattr(options, "json", False):
            write_utf8()
        return options, others

    def error(self, message: str) -> NoReturn:
        """Print the error in one line and exit with status 2."""
        self.exit(ERROR, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def command(main: Callable[[list[str] | None], int | None]) -> Callable[..., int]:
    """Make the ``main`` of a command report errors as one line on stderr and an exit code.

    The exit code is 2 for ValueError and OSError (a file is missing, unreadable, unwritable) and
    where the memory is too small, 141, without a message, for a closed pipe (``| head``), and 130,
    143 and 129 for Ctrl-C, SIGTERM and SIGHUP, after which no temporary file is left. A ``main``
    that returns None succeeded. An item of many that cannot be used is logged as an error and left
    out; the exit code is 2 when the rest is done. While the command runs, log records of the
    package and Python's warnings are written to stderr as one line each.
    """
    file = Path(main.__code__.co_filename)
    ours = file.parent.name == "cli"  # else a recipe's script
    name = "speechvq-" + file.stem.replace("_", "-") if ours else file.name

    @functools.wraps(main)
    def run(argv: list[str] | None = None) -> int:
        started()
        _fill_in_streams()
        with _log_to_stderr(name):
            try:
                with signals.handled(signals.end, signals.TERMINATE, signals.HANG_UP):
                    code = main(argv)
                sys.stdout.flush()  # a closed pipe raises an error here
                return code or (ERROR if _reported else OK)
            except BrokenPipeError:
                _discard_stdout()
                return BROKEN_PIPE
            except (ValueError, OSError) as error:
                if os.environ.get("SPEECHVQ_TRACEBACK"):
                    raise
                _write_line(f"{name}: error: {one_line(error)}")
                return ERROR
            except (MemoryError, RuntimeError) as error:
                if not _is_of_memory(error) or os.environ.get("SPEECHVQ_TRACEBACK"):
                    raise
                _write_line(f"{name}: error: not enough memory ({one_line(error)[:200]})")
                return ERROR
            except KeyboardInterrupt as ended:
                _write_line(f"{name}: {signals.said(ended)}")
                return SIGNALLED + signals.number_of(ended)

    return run


def _is_of_memory(error: Exception) -> bool:
    """Whether there is too little memory; PyTorch says it by RuntimeErrors."""
    said = ("allocate memory", "out of memory")
    return isinstance(error, MemoryError) or any(words in str(error) for words in said)


def _fill_in_streams() -> None:
    """Put /dev/null where the process was started without stdin, stdout or stderr.

    In a locale without the letters to print, these are escaped.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest that is free, so this one
            if opened != descriptor:
                os.close(opened)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):  # as stderr is: what cannot be shown is escaped
        sys.stdout.reconfigure(errors="backslashreplace")


def check_stdout(option: str) -> None:
    """Raise ValueError if the process was started without stdout, where a result is to go."""
    if getattr(sys.stdout, "name", None) == os.devnull:
        raise ValueError(f"stdout is closed, so the result would be lost; use {option}")


def write_utf8() -> None:
    """Let stdout be UTF-8 in any locale, for what programs read."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


_reported: list[str] = []


def reported() -> list[str]:
    """The errors that the command has logged so far, such as items that are left out."""
    return list(_reported)


_shown: dict[str, str] = {}


def show_as(path: Path, name: str) -> None:
    """Let a temporary file have the name of what it holds in messages, from now on."""
    _shown[str(path)] = name


def shown(text: object) -> str:
    """Return a path or a message with the names of `show_as`."""
    text = str(text)
    for path, name in _shown.items():
        text = text.replace(path, name)
    return text


def one_line(error: BaseException) -> str:
    """Return the message of an exception as one line; for an OSError with the path first."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        path = error.filename if error.filename2 is None else error.filename2
        path = path if isinstance(path, int) else os.fsdecode(path)
        return shown(f"{path}: {error.strerror}")
    if isinstance(error, OSError) and error.strerror:  # of a stream without a name, as stdout
        return error.strerror
    return " ".join(shown(error).split()) or type(error).__name__


class _OneLine(logging.Handler):
    """Writes log records as ``speechvq-prepare: warning: …`` to the current stderr."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.prefix = name
        _reported.clear()

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR and record.name.startswith(OURS):
            _reported.append(" ".join(shown(record.getMessage()).split()))
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        try:
            _write_line(f"{self.prefix}: {level}{' '.join(shown(record.getMessage()).split())}")
        except Exception:
            self.handleError(record)


def _write_line(line: str) -> None:
    tqdm = sys.modules.get("tqdm")  # a progress bar is redrawn below the line
    if tqdm is not None:
        tqdm.tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr)


@contextlib.contextmanager
def _log_to_stderr(name: str) -> Iterator[None]:
    """Log the package from INFO, others from WARNING, and warnings of Python, to stderr."""
    root, package = logging.getLogger(), logging.getLogger("speechvq")
    handler, level = _OneLine(name), package.level
    root.addHandler(handler)
    package.setLevel(logging.INFO)

    def show(message: Warning | str, *_: object, **__: object) -> None:
        logging.getLogger("py.warnings").warning("%s", message)

    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        finally:
            root.removeHandler(handler)
            package.setLevel(level)


def _discard_stdout() -> None:
    """Redirect stdout to /dev/null, so that the flush at exit does not fail again."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
