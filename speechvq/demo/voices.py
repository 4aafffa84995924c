"""Voices that visitors enroll: learned in a thread, kept in temporary folders."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from speechvq.progress import heard_by

ME = "me"
"""The name of a visitor's own voice."""
MOST = 32
"""Voices that are kept at a time; the oldest goes for one more."""
EVERY = 0.25
"""Seconds between two looks at work in a thread."""

T = TypeVar("T")


class Step(NamedTuple):
    """How far work has come."""

    title: str
    done: float
    total: float | None


class Stopped(Exception):
    """Nobody waits for the work any more."""


def followed(work: Callable[[], T]) -> Generator[Step, None, T]:
    """Do work in a thread and yield how far it has come, now and then.

    The value of the generator is that of the work. When the generator is closed, the work ends at
    its next step, and its thread with it.
    """
    latest, stopped = [Step("beginning", 0, None)], threading.Event()
    future: Future[T] = Future()

    def listen(*step: Any) -> None:
        if stopped.is_set():
            raise Stopped
        latest[0] = Step(*step)

    def run() -> None:
        try:
            with heard_by(listen):
                future.set_result(work())
        except Stopped:  # what the work held is freed, and not kept with the error
            pass
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True, name="speechvq-demo work").start()
    try:
        while not future.done():
            yield latest[0]
            wait([future], timeout=EVERY)
        return future.result()
    finally:
        stopped.set()


class Voices:
    """The voice of each session, and the model folder with it.

    Parameters
    ----------
    model : Path
        The model folder that voices are added to, in copies.
    root : Path
        Folder for the copies.
    device : str
        As in `enroll`.
    """

    def __init__(self, model: Path, root: Path, device: str = "cpu"):
        self._model, self._root, self._device = model, root, device
        self._folders: dict[str, tempfile.TemporaryDirectory[str]] = {}

    def enroll(self, session: str, recording: Path) -> Generator[Step, None, None]:
        """Learn a session's voice from a recording, in the place of an earlier one.

        Yields how far it has come; nothing is left of it when it is closed before its end.

        Raises
        ------
        ValueError, OSError
            As `training.enroll.enroll`.
        """
        folder = yield from followed(lambda: self._enrolled(recording))
        self.forget(session)
        while len(self._folders) >= MOST:
            self.forget(next(iter(self._folders)))
        self._folders[session] = folder

    def _enrolled(self, recording: Path) -> tempfile.TemporaryDirectory[str]:
        """A folder with the voice; it goes when nobody holds it, or nobody has waited for it."""
        from speechvq.training.enroll import enroll

        folder = tempfile.TemporaryDirectory(prefix="voice-", dir=self._root)
        try:
            enroll(self._model, ME, recording, out=folder.name, replace=True, device=self._device)
        except BaseException:
            folder.cleanup()
            raise
        return folder

    def folder(self, session: str) -> Path:
        """The model folder with a session's voice; ValueError if there is none."""
        if session not in self._folders:
            raise ValueError("your voice is not known here, or no longer: enroll it")
        return Path(self._folders[session].name)

    def forget(self, session: str) -> None:
        """Remove a session's voice, if it has one."""
        if folder := self._folders.pop(session, None):
            folder.cleanup()
