"""What comes before and after the drawing of an utterance, in a thread beside it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np


class Beside:
    """A thread that does one thing after another, for a core that is free.

    The next item of `ahead` is made after all the work that was given before it, so that work
    cannot pile up. At the end of a `with` block the thread finishes its work and ends.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._given: deque[Future[Any]] = deque()

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def ahead(self, items: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Yield items; the next one is made in the thread meanwhile."""
        following = self._thread.submit(next, items, None)
        while (item := following.result()) is not None:
            following = self._thread.submit(next, items, None)
            yield item

    def do(self, work: Callable[..., None], *arguments: Any) -> None:
        """Have something done in the thread; an error of what came before is raised."""
        self._given.append(self._thread.submit(work, *arguments))
        while self._given and self._given[0].done():
            self._given.popleft().result()

    def wait(self) -> None:
        """Wait until all of it is done; an error of it is raised."""
        while self._given:
            self._given.popleft().result()
