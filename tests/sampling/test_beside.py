"""What comes before and after the drawing of an utterance, in a thread beside it."""

import threading
import time

import numpy as np
import pytest

from speechvq.sampling.beside import Beside


def test_pieces_are_made_ahead():
    made = []

    def pieces(count: int):
        for i in range(count):
            made.append(threading.current_thread())
            yield np.full(3, i)

    with Beside() as beside:
        assert [piece[0] for piece in beside.ahead(pieces(5))] == list(range(5))
    assert threading.current_thread() not in made
    del made[:]
    with Beside() as beside:
        assert next(beside.ahead(pieces(100)))[0] == 0
    assert len(made) <= 3  # and no thread goes on

    def broken():
        yield np.zeros(1)
        raise ValueError("no more")

    with Beside() as beside, pytest.raises(ValueError, match="no more"):
        list(beside.ahead(broken()))


def test_work_is_done_in_its_order():
    done = []

    def slow(i: int):
        time.sleep(0.01)
        done.append((i, threading.current_thread()))

    with Beside() as beside:
        for i in range(5):
            beside.do(slow, i)
        beside.wait()
        assert [i for i, _ in done] == list(range(5))
        assert len({thread for _, thread in done} - {threading.current_thread()}) == 1


def test_an_error_is_raised_with_what_follows():
    def broken():
        raise OSError("no space left")

    with Beside() as beside:
        with pytest.raises(OSError, match="no space left"):
            beside.do(broken)
            while True:
                beside.do(time.sleep, 0.001)
        with pytest.raises(OSError, match="no space left"):
            beside.do(broken)
            beside.wait()
