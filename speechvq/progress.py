"""Progress of long work on stderr: a bar in a terminal, else a line now and then."""

from __future__ import annotations

import contextlib
import functools
import logging
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sized
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from tqdm import tqdm

logger = logging.getLogger(__name__)

T = TypeVar("T")

MINUTE = 60.0
"""Seconds before the first line, and between the first ones: shorter work needs none."""
SHARE = 0.1
"""Later lines are this share of the time since the beginning apart."""
RECENT = 101
"""Updates whose median rate tells the time that is left."""

Progress = Callable[..., Iterable[Any]]
"""Wraps an iterable, its name and the name of its items, to show its progress, as `track` does."""

Listener = Callable[[str, float, float | None], None]
"""Called with a title, how much is done and how much there is, None if that is not known."""
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Tell a listener how far the work in this context and thread has come, in place of stderr.

    An error that the listener raises ends the work at its next step.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def track(
    items: Iterable[T] | None = None,
    title: str | None = None,
    unit: str = "",
    *,
    shown: bool = True,
    total: float | None = None,
    initial: float = 0,
    layout: str | None = None,
) -> tqdm[T] | _Heard[T]:
    """Show how far work has come, with the time that is left.

    Where stderr is no terminal, such as in a log file, work of less than a minute shows nothing,
    and longer work is logged: one line a minute, later one for each tenth of the time.

    Parameters
    ----------
    items
        What is worked through; None where `update` is called.
    title
        Of the work.
    unit
        Of the items, with a blank before it.
    shown
        False shows nothing.
    total, initial
        How much there is, and how much of it is done already; by default `len(items)` and 0.
    layout
        `bar_format` of the bar in a terminal.

    Returns
    -------
    tqdm.tqdm
        An iterable and a context manager with `update` and `set_postfix_str`; or what does the
        same for the listener of `heard_by`.
    """
    if (listener := _listener.get()) is not None:
        return _Heard(listener, items, title or "", total, initial)
    tqdm: Any = _bars()
    options: dict[str, Any] = {
        "desc": title and f"{title}: ",
        "unit": unit,
        "total": total,
        "initial": initial,
        "leave": False,
    }
    if not shown or sys.stderr.isatty():
        return tqdm(
            items,
            **options,
            file=sys.stderr,
            bar_format=layout,
            dynamic_ncols=True,
            disable=not shown,
            delay=1,  # seconds: what is done at once needs no bar
        )
    return tqdm(
        items,
        **options,
        file=_Lines(),
        bar_format="{desc}{percentage:.0f} % of {total_fmt}{unit}, {elapsed} so far, "
        "{remaining} to go{postfix}"
        if total is not None or hasattr(items, "__len__")
        else "{desc}{n_fmt}{unit}, {elapsed} so far{postfix}",
        mininterval=MINUTE,
        maxinterval=MINUTE,
        delay=MINUTE,
        position=0,  # else tqdm moves the cursor of a bar within another
    )


@functools.cache
def _bars() -> type[tqdm[Any]]:
    """tqdm's bars, with the median rate of recent updates.

    The first update is left out, since it mostly waits for what is made once. A validation between
    two steps does not change the median, and a load that comes changes it soon.
    """
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._rates: deque[float] = deque(maxlen=RECENT)
            self._updated: float | None = None
            super().__init__(*arguments, **options)

        def update(self, n: float | None = 1) -> bool | None:
            now = time.monotonic()
            if self._updated is not None and now > self._updated:
                self._rates.append((n or 0) / (now - self._updated))
            self._updated = now
            return super().update(n)

        @property
        def format_dict(self) -> MutableMapping[str, Any]:
            rate = statistics.median(self._rates) if self._rates else 0  # 0 is shown as ?
            return {**super().format_dict, "rate": rate}

    return Bar


class _Heard(Generic[T]):
    """What `track` gives where there is a listener; a method a method of tqdm's."""

    def __init__(
        self,
        listener: Listener,
        items: Iterable[T] | None,
        title: str,
        total: float | None,
        initial: float,
    ) -> None:
        self._listener, self._items, self._title = listener, items, title
        self._total = len(items) if total is None and isinstance(items, Sized) else total
        self.n = initial
        self.update(0)

    def __iter__(self) -> Iterator[T]:
        for item in self._items or ():
            yield item
            self.update()

    def __enter__(self) -> _Heard[T]:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def update(self, n: float = 1) -> None:
        """So much more is done."""
        self.n += n
        self._listener(self._title, self.n, self._total)

    def set_postfix_str(self, *_: object, **__: object) -> None:
        """What a bar shows beside is not told."""


class _Lines:
    """A file for tqdm that logs what is drawn on it, less and less often."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def write(self, text: str) -> None:
        """Log a drawn bar if the last line was long enough ago."""
        text, now = text.strip(), time.monotonic()
        if text and now - self._last >= max(0.9 * MINUTE, SHARE * (self._last - self._began)):
            self._last = now
            logger.info("%s", text)

    def flush(self) -> None:
        """Nothing waits to be written."""
