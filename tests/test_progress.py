"""Progress in a log file: no bars, and lines that are few."""

import io
import logging
import re
import sys
import threading
from pathlib import Path

import pytest

from speechvq import progress
from speechvq.progress import _Lines, heard_by, track

ROOT = Path(__file__).parents[1]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, "speechvq")
    return lambda: [record.getMessage() for record in caplog.records]


def test_short_work_is_silent_where_stderr_is_no_terminal(lines, capsys):
    assert list(track(range(50), "encode")) == list(range(50))
    assert lines() == [] and capsys.readouterr().err == ""


def test_long_work_is_told_in_lines(lines, capsys, monkeypatch):
    monkeypatch.setattr(progress, "MINUTE", 0.0)
    monkeypatch.setattr(progress, "SHARE", 0.0)  # else a machine that pauses tells fewer
    with track(title="mel", unit=" steps", total=4, initial=1) as outer:
        for _ in range(3):
            outer.set_postfix_str("loss 2", refresh=False)
            list(track(iter("ab"), "inner", " files"))  # one within another
            outer.update()
    told = [line for line in lines() if line.startswith("mel")]
    assert [int(re.search(r"(\d+) %", line)[1]) for line in told] == [25, 50, 75, 100]
    assert re.fullmatch(r"mel: 50 % of 4 steps, [\d:]+ so far, [\d:?]+ to go, loss 2", told[1])
    assert {line for line in lines() if line not in told} <= {
        f"inner: {n} files, 00:00 so far" for n in range(3)
    }
    assert not re.search(r"[\r\n\x1b]", "".join(lines()))
    assert capsys.readouterr().err == ""


def test_lines_come_less_and_less_often(lines, monkeypatch):
    clock = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock)
    file, drawn = _Lines(), range(0, 36000, 60)  # ten hours, drawn each minute
    for clock in drawn:
        file.write(f"\r{clock}")
        file.write("\r")
    told = [int(line) for line in lines()]
    assert told[:5] == [60, 120, 180, 240, 300]
    assert 30 < len(told) < 60
    gaps = [b - a for a, b in zip(told, told[1:], strict=False)]
    assert gaps == sorted(gaps) and gaps[-1] >= 0.1 * told[-2]


def test_the_time_left_is_that_of_recent_steps(monkeypatch):
    """Neither a first step that compiles nor a validation changes it; a load does."""
    clock = 0.0
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock)
    left = []
    with track(title="decoder", unit=" steps", total=1000) as bar:
        for step in range(400):
            clock += {0: 60.0, 50: 30.0}.get(step, 0.1 if step < 200 else 0.5)
            bar.update()
            shown = bar.format_meter(**bar.format_dict)
            left.append(re.search(r"<([\d:?]+),", shown)[1])
    assert left[0] == "?"
    seconds = [60 * int(text[:-3]) + int(text[-2:]) for text in left[1:]]
    fast = [0.1 * (1000 - done) for done in range(2, 251)]
    slow = [0.5 * (1000 - done) for done in range(252, 401)]  # when half of the recent ones are
    assert seconds[:249] == pytest.approx(fast, abs=1)
    assert seconds[250:] == pytest.approx(slow, abs=1)


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with track(range(3), "encode") as bar:
        assert bar.fp is sys.stderr or bar.fp._wrapped is sys.stderr
        assert not bar.disable
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with track(range(3), shown=False) as bar:
        assert bar.disable


def test_nothing_else_draws_bars():
    files = [*ROOT.glob("speechvq/**/*.py"), *ROOT.glob("recipes/**/*.py")]
    drawing = [f.name for f in files if re.search(r"\btqdm\(", f.read_text(encoding="utf-8"))]
    assert drawing == ["progress.py"]


def test_a_listener_hears_every_step_and_stderr_none(lines, capsys, monkeypatch):
    monkeypatch.setattr(progress, "MINUTE", 0.0)
    told = []
    with heard_by(lambda *step: told.append(step)):
        assert list(track("ab", "files", " files", shown=False)) == ["a", "b"]
        with track(title="steps", total=5, initial=2) as bar:
            bar.set_postfix_str("loss 2")
            bar.update(2)
        list(track(iter("c")))
    assert told == [
        ("files", 0, 2), ("files", 1, 2), ("files", 2, 2),
        ("steps", 2, 5), ("steps", 4, 5),
        ("", 0, None), ("", 1, None),
    ]  # fmt: skip
    assert lines() == [] and capsys.readouterr().err == ""
    list(track("ab", "files"))
    assert len(told) == 7


def test_a_listener_ends_the_work_of_its_own_thread_alone():
    done = {"own": [], "other": []}

    def work(name):
        for item in track(range(5), name):
            done[name].append(item)

    def stop(title, n, total):
        if n == 2:
            raise InterruptedError

    with heard_by(stop):
        other = threading.Thread(target=work, args=["other"])
        other.start()
        other.join()
        with pytest.raises(InterruptedError):
            work("own")
    assert done == {"own": [0, 1], "other": [0, 1, 2, 3, 4]}
