"""What every command shares: one line for a user's mistake, one line for a warning.

A command is written as ::

    @command
    def main(argv: list[str] | None = None) -> int:
        parser = Parser("prepare", "Turn a corpus into manifests.")
        ...

Set the environment variable ``SPEECHVQ_TRACEBACK=1`` to see the traceback behind an error.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

OK, ERROR, INTERRUPTED, BROKEN_PIPE = 0, 2, 130, 141


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, as every other error of a command is.

    Parameters
    ----------
    name
        The command without its prefix: "prepare" for ``speechvq-prepare``.
    description
        What the command does, for ``--help``.
    epilog
        Examples or notes that end the help, printed as they are.
    """

    def __init__(self, name: str, description: str, epilog: str | None = None) -> None:
        super().__init__(
            prog=f"speechvq-{name}",
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

    def error(self, message: str) -> NoReturn:
        """Exit with status 2 and one line."""
        self.exit(ERROR, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def command(main: Callable[[list[str] | None], int | None]) -> Callable[..., int]:
    """Turn users' mistakes in a command's ``main`` into one line on stderr and an exit code.

    ValueError and OSError (files missing, unreadable, unwritable) give 2, an interrupt 130, and a
    reader that went away (``| head``) a silent 141. A ``main`` that returns None succeeded. While
    the command runs, the package's log and Python's warnings reach stderr as one line each.
    """
    name = "speechvq-" + Path(main.__code__.co_filename).stem.replace("_", "-")

    @functools.wraps(main)
    def run(argv: list[str] | None = None) -> int:
        with _log_to_stderr(name):
            try:
                code = main(argv)
                sys.stdout.flush()  # so that a reader that went away shows here
                return OK if code is None else code
            except BrokenPipeError:
                _abandon_stdout()
                return BROKEN_PIPE
            except (ValueError, OSError) as error:
                if os.environ.get("SPEECHVQ_TRACEBACK"):
                    raise
                _say(f"{name}: error: {one_line(error)}")
                return ERROR
            except KeyboardInterrupt:
                _say(f"{name}: interrupted")
                return INTERRUPTED

    return run


def one_line(error: BaseException) -> str:
    """An exception as one line: the path first for the system's own errors."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        path = error.filename if error.filename2 is None else error.filename2
        return f"{os.fsdecode(path) if not isinstance(path, int) else path}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


class _OneLine(logging.Handler):
    """Log records as ``speechvq-prepare: warning: …`` on whatever stderr is at the time."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.prefix = name

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        try:
            _say(f"{self.prefix}: {level}{' '.join(record.getMessage().split())}")
        except Exception:
            self.handleError(record)


def _say(line: str) -> None:
    tqdm = sys.modules.get("tqdm")  # a progress bar is redrawn below the line, when there is one
    if tqdm is not None:
        tqdm.tqdm.write(line, file=sys.stderr)
    else:
        print(line, file=sys.stderr)


@contextlib.contextmanager
def _log_to_stderr(name: str) -> Iterator[None]:
    """Our log from INFO, others' from WARNING, and Python's warnings; undone at the end."""
    root, ours = logging.getLogger(), logging.getLogger("speechvq")
    handler, level = _OneLine(name), ours.level
    root.addHandler(handler)
    ours.setLevel(logging.INFO)

    def show(message: Warning | str, *_: object, **__: object) -> None:
        logging.getLogger("py.warnings").warning("%s", message)

    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        finally:
            root.removeHandler(handler)
            ours.setLevel(level)


def _abandon_stdout() -> None:
    """Point stdout at nothing, so that Python's last flush does not fail again."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
