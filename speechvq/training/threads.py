"""The number of threads that a training's steps run on: measured, not guessed.

On cores of its own a step is fastest on all threads; beside other programs, or on a host that
lends its cores to others, mostly on one, since all threads wait for the slowest many times in a
step. Sums depend in their last digits on the number of threads. So which steps are timed is a
function of the step alone, and what was timed and chosen is in the checkpoint: a resume goes on on
the threads that the training had.
"""

import logging
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from speechvq.distributed import Processes
from speechvq.training.checkpoint import State

logger = logging.getLogger(__name__)

EVERY = 250
"""Steps from one measurement to the next; the first is at the beginning of a stage."""
TIMED = 3
"""Steps that are timed on each number of threads, which take turns."""
HOPELESS = 3.0
"""Where the first timed step is so many times slower than the fastest, no second one is taken until
the next measurement: beside another program such a step can take seconds."""
GAIN = 1.1
"""So many times faster must a step be on more threads: what is less is chance, or not worth it."""


def candidates(processes: Processes) -> list[int]:
    """Numbers of threads to choose from: 1, 2, 4, … up to torch's.

    There is no choice where OMP_NUM_THREADS is set, in one of several processes, and on a GPU.
    """
    most = torch.get_num_threads()
    if "OMP_NUM_THREADS" in os.environ or processes.world_size > 1:
        return [most]
    if processes.device.type != "cpu":
        return [most]
    return sorted({most, *(2**i for i in range(most.bit_length()))})


class ThreadChooser:
    """Times steps on several numbers of threads and runs the others on the best.

    Parameters
    ----------
    candidates : sequence of int
        Numbers of threads, ascending.
    clock : callable
        Returns seconds.
    """

    def __init__(self, candidates: Sequence[int], clock: Callable[[], float] = time.perf_counter):
        self.candidates = list(candidates)
        self._clock = clock

    def begin(self, state: State) -> None:
        """Let what precedes the first step of a stage run on the threads chosen so far."""
        if state.threads not in self.candidates:  # at the beginning, or on another machine
            state.threads = self.candidates[0]
        torch.set_num_threads(state.threads)

    @contextmanager
    def step(self, state: State) -> Iterator[None]:
        """Run the step after `state.step` on the chosen threads, or time it on others.

        The first step of a stage is not timed: it makes caches.
        """
        numbers, turn = self._numbers(state), state.step % EVERY - 1
        if turn == 0:
            state.timed = []
        if len(numbers) == 1 or not 0 <= turn < TIMED * len(numbers):
            torch.set_num_threads(state.threads)
            yield
            return
        own = numbers[turn % len(numbers)]
        first = dict(reversed(state.timed))  # the first time of each number
        hopeless = own in first and first[own] > HOPELESS * min(first.values())
        torch.set_num_threads(min(first, key=lambda number: first[number]) if hopeless else own)
        began = self._clock()
        yield
        state.timed.append((own, first[own] if hopeless else self._clock() - began))
        if turn == TIMED * len(numbers) - 1:
            self._choose(state)
        torch.set_num_threads(state.threads)

    def end(self) -> None:
        """Leave torch all threads again."""
        torch.set_num_threads(self.candidates[-1])

    def _numbers(self, state: State) -> list[int]:
        """What to choose from: all numbers first in a stage, later those next to the chosen one.

        With many cores a look at all of them would cost a good part of the steps.
        """
        if state.step < EVERY:
            return self.candidates
        place = self.candidates.index(state.threads)
        return self.candidates[max(0, place - 1) : place + 2]

    def _choose(self, state: State) -> None:
        """Take the fewest threads that are about as fast as the fastest."""
        seconds = {
            n: statistics.median(own for m, own in state.timed if m == n)
            for n in sorted({n for n, _ in state.timed})
        }
        fastest = min(seconds.values())
        chosen = next(n for n, own in seconds.items() if own <= GAIN * fastest)
        if chosen != state.threads:
            measured = ", ".join(f"{1 / own:.3g} with {n}" for n, own in seconds.items())
            logger.info("threads of a step: %d from now on; steps/s: %s", chosen, measured)
        state.threads, state.timed = chosen, []
