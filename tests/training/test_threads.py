"""The number of threads is that of the fastest steps, and a resume repeats it."""

import pytest
import torch

from speechvq.distributed import Processes
from speechvq.training import threads
from speechvq.training.checkpoint import State
from speechvq.training.threads import EVERY, GAIN, HOPELESS, TIMED, ThreadChooser, candidates

ALONE = Processes(torch.device("cpu"))


class Machine:
    """A clock that goes on by the seconds of a step on torch's present number of threads."""

    def __init__(self, seconds):
        self.seconds, self.now, self.used = seconds, 0.0, []

    def clock(self):
        return self.now

    def step(self):
        self.used.append(torch.get_num_threads())
        self.now += self.seconds[self.used[-1]]


def run(chooser, machine, state, steps):
    chooser.begin(state)
    for _ in range(steps):
        with chooser.step(state):
            machine.step()
        state.step += 1


@pytest.fixture(autouse=True)
def given_back():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ({1: 1.0, 2: 0.6}, 2),
        ({1: 1.0, 2: 2.0}, 1),
        ({1: 1.0, 2: 1.01 / GAIN}, 1),  # hardly faster
        ({1: 1.0, 2: 0.99 / GAIN}, 2),
        ({1: 5.0, 2: 3.5, 4: 2.0, 8: 1.9}, 4),
    ],
)
def test_the_fewest_threads_that_are_about_as_fast(seconds, expected):
    machine, state = Machine(seconds), State("decoder")
    chooser = ThreadChooser(list(seconds), machine.clock)
    window = TIMED * len(seconds)
    run(chooser, machine, state, 1 + window + 5)
    assert machine.used[1 : 1 + window] == list(seconds) * TIMED  # in turn
    assert machine.used[1 + window :] == [expected] * 5
    assert torch.get_num_threads() == expected  # for the validation, too
    chooser.end()
    assert torch.get_num_threads() == max(seconds)


@pytest.mark.parametrize("slow", range(3, 1 + 2 * TIMED))
def test_a_slow_step_does_not_decide(slow):
    machine, state = Machine({1: 1.0, 2: 0.6}), State("decoder")
    chooser = ThreadChooser([1, 2], machine.clock)
    for step in range(1 + 2 * TIMED):
        machine.seconds = {1: 1.0, 2: 0.6} if step != slow else {1: 60.0, 2: 60.0}
        run(chooser, machine, state, 1)
    assert state.threads == 2


def test_a_hopeless_number_is_timed_once_in_a_measurement():
    machine, state = Machine({1: 1.0, 2: 1.1 * HOPELESS, 4: 0.7}), State("decoder")
    chooser = ThreadChooser([1, 2, 4], machine.clock)
    run(chooser, machine, state, 2 + 3 * TIMED)
    assert machine.used[1:] == [1, 2, 4] + [1, 4, 4] * (TIMED - 1) + [4]
    machine.seconds = {1: 1.0, 2: 0.4, 4: 0.7}  # whatever kept it busy has gone
    run(chooser, machine, state, EVERY)
    assert state.threads == 2


def test_a_load_that_comes_later_is_met_and_the_next_stage_begins_so():
    machine, state = Machine({1: 1.0, 2: 0.6}), State("mel")
    chooser = ThreadChooser([1, 2], machine.clock)
    run(chooser, machine, state, EVERY)
    assert state.threads == 2
    machine.seconds = {1: 1.0, 2: 5.0}
    run(chooser, machine, state, EVERY)
    assert state.threads == 1
    assert sum(n == 2 for n in machine.used[EVERY + 1 :]) == 1  # so much it cost to look
    state = state.next("decoder")
    assert state.step == 0 and state.threads == 1


def test_of_many_numbers_the_neighbours_are_looked_at_again():
    seconds = {1: 8.0, 2: 4.0, 4: 2.0, 8: 1.9, 16: 1.9}
    machine, state = Machine(seconds), State("decoder")
    chooser = ThreadChooser(list(seconds), machine.clock)
    run(chooser, machine, state, EVERY)
    assert state.threads == 4
    run(chooser, machine, state, EVERY)
    assert machine.used[EVERY + 1 :][: 3 * TIMED] == [2, 4, 8] * TIMED
    assert set(machine.used[EVERY + 1 + 3 * TIMED :]) == {4}


def test_a_measurement_that_another_machine_began_is_not_mixed_with_ones_own():
    machine, state = Machine({1: 1.0, 2: 0.6}), State("decoder")
    run(ThreadChooser([1, 2], machine.clock), machine, state, 4)
    machine.seconds = {1: 1.0, 2: 0.6, 4: 0.1}
    run(ThreadChooser([1, 2, 4], machine.clock), machine, state, 3 * TIMED)
    assert state.threads == 4


@pytest.mark.parametrize("stop", [0, 1, 3, 2 * TIMED, 2 * TIMED + 1, EVERY + 2])
def test_a_resume_uses_the_threads_that_would_have_been(stop):
    def used(*parts):
        state = State("decoder")
        machine = Machine({1: 1.0, 2: 0.6})
        for steps in parts:
            run(ThreadChooser([1, 2], machine.clock), machine, state, steps)
            state = State(**vars(state))  # all that is left of it
        return machine.used

    steps = EVERY + 3 * TIMED
    assert used(stop, steps - stop) == used(steps)


def test_a_choice_of_another_machine_is_not_taken():
    machine, state = Machine({1: 1.0, 2: 0.6}), State("decoder", step=100, threads=16)
    run(ThreadChooser([1, 2], machine.clock), machine, state, 3)
    assert machine.used == [1, 1, 1]


def test_there_is_a_choice_on_cores_of_ones_own_alone(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    assert candidates(ALONE) == [1, 2, 4, 6]
    assert candidates(Processes(torch.device("cpu"), 0, 2)) == [6]
    assert candidates(Processes(torch.device("cuda"))) == [6]
    monkeypatch.setenv("OMP_NUM_THREADS", "6")
    assert candidates(ALONE) == [6]
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert candidates(ALONE) == [1]


@pytest.mark.parametrize(("chosen", "expected"), [(0, 1), (2, 2), (16, 1)])
def test_the_beginning_of_a_stage_runs_on_what_was_chosen_so_far(chosen, expected):
    state = State("decoder", threads=chosen)
    torch.set_num_threads(2)
    ThreadChooser([1, 2]).begin(state)
    assert torch.get_num_threads() == state.threads == expected


def test_one_number_is_never_timed():
    machine, state = Machine({2: 1.0}), State("decoder")
    run(ThreadChooser([2], machine.clock), machine, state, 20)
    assert machine.used == [2] * 20 and state.timed == []


def test_the_choice_is_told(caplog):
    caplog.set_level("INFO", "speechvq")
    machine, state = Machine({1: 1.0, 2: 0.5}), State("decoder")
    run(ThreadChooser([1, 2], machine.clock), machine, state, 20)
    (line,) = [r.getMessage() for r in caplog.records if r.name == threads.__name__]
    assert line == "threads of a step: 2 from now on; steps/s: 1 with 1, 2 with 2"
