"""Signals that ask a process to end: Ctrl-C, SIGTERM of kill and Slurm, SIGHUP of a terminal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ALL = INTERRUPT, TERMINATE, HANG_UP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP


class Ended(KeyboardInterrupt):
    """The process was asked to end.

    Attributes
    ----------
    number
        Of the signal.
    """

    def __init__(self, number: int, *arguments: object) -> None:
        super().__init__(*arguments)
        self.number = number


def end(number: int, _: FrameType | None = None) -> None:
    """Raise `Ended`, so that what is open is closed and temporary files are removed."""
    raise Ended(number)


def said(ended: KeyboardInterrupt) -> str:
    """What has ended a process, in words."""
    number = number_of(ended)
    return "interrupted" if number == INTERRUPT else f"ended by {signal.Signals(number).name}"


def number_of(ended: KeyboardInterrupt) -> int:
    """Number of the signal that has ended a process; Python says nothing of Ctrl-C's."""
    return getattr(ended, "number", INTERRUPT)


@contextmanager
def handled(handler: Callable[[int, FrameType | None], None], *numbers: int) -> Iterator[None]:
    """Let signals call a handler meanwhile, in the main thread; under nohup, SIGHUP stays ignored.

    Other threads get no signals: there nothing changes.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            if number != HANG_UP or signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


def leave_to_parent(worker: int = 0) -> None:
    """Ignore these signals in a process whose parent gets them, too, and ends it."""
    for number in ALL:
        signal.signal(number, signal.SIG_IGN)
