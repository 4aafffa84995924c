"""Voices of visitors: followed, ended, kept apart, forgotten."""

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from speechvq.demo import voices
from speechvq.demo.voices import Step, Voices, followed
from speechvq.progress import track
from speechvq.training import enroll as enrolling


def value_of(generator):
    """The steps of a generator and its value."""
    steps = []
    while True:
        try:
            steps.append(next(generator))
        except StopIteration as end:
            return steps, end.value


def test_work_is_followed_to_its_value():
    seen = threading.Event()

    def work():
        for _ in track(range(3), "steps"):
            pass
        seen.wait()  # until its last step has been read
        return 7

    generator = followed(work)
    steps = [next(generator)]
    while steps[-1] != Step("steps", 3, 3):
        steps.append(next(generator))
    seen.set()
    assert value_of(generator)[1] == 7


def test_an_error_of_the_work_is_raised():
    def work():
        raise ValueError("no speech")

    with pytest.raises(ValueError, match="no speech"):
        value_of(followed(work))


def test_closed_work_ends_at_its_next_step():
    begun, closed, ended, done = (threading.Event() for _ in range(4))

    def work():
        try:
            for i in track(range(9), "steps"):
                begun.set()
                assert closed.wait(30)
                if i:
                    done.set()
        finally:
            ended.set()

    generator = followed(work)
    next(generator)
    assert begun.wait(30)
    generator.close()
    closed.set()
    assert ended.wait(30)
    assert not done.is_set()


@pytest.fixture
def quick(monkeypatch):
    """Enrolment that writes the name of the recording, after a step."""
    gate = SimpleNamespace(open=threading.Event(), folders=[])
    gate.open.set()

    def enroll(model, name, recording, *, out, **_):
        gate.folders.append(Path(out))
        for _ in track(range(2), "steps"):
            assert gate.open.wait(30)
        (Path(out) / "model.safetensors").write_text(Path(recording).name)

    monkeypatch.setattr(enrolling, "enroll", enroll)
    return gate


def test_each_session_has_its_own_voice(quick, tmp_path):
    held = Voices(Path("model"), tmp_path)
    for session, recording in (("a", "1.wav"), ("b", "2.wav"), ("a", "3.wav")):
        value_of(held.enroll(session, Path(recording)))
    for session, recording in (("a", "3.wav"), ("b", "2.wav")):
        assert (held.folder(session) / "model.safetensors").read_text() == recording
    assert len(list(tmp_path.iterdir())) == 2  # the first is gone
    held.forget("a")
    held.forget("a")
    with pytest.raises(ValueError, match="your voice is not known here"):
        held.folder("a")
    assert list(tmp_path.iterdir()) == [held.folder("b")]


def test_the_oldest_voice_goes(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(voices, "MOST", 2)
    held = Voices(Path("model"), tmp_path)
    for session in "abc":
        value_of(held.enroll(session, Path("1.wav")))
    assert {held.folder("b"), held.folder("c")} == set(tmp_path.iterdir())
    with pytest.raises(ValueError, match="enroll it"):
        held.folder("a")


def test_nothing_is_left_of_what_was_stopped(quick, tmp_path):
    quick.open.clear()
    held = Voices(Path("model"), tmp_path)
    steps = held.enroll("a", Path("1.wav"))
    next(steps)
    steps.close()
    (thread,) = (t for t in threading.enumerate() if t.name == "speechvq-demo work")
    quick.open.set()
    thread.join(30)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="enroll it"):
        held.folder("a")
