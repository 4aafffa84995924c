"""Every command's errors: one line, the right exit code, no traceback."""

import logging
import os
import subprocess
import sys
import warnings

import pytest

from speechvq.cli.errors import Parser, command

NAME = "speechvq-test-errors"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("too\n  short"), 2, "error: too short"),
        (FileNotFoundError("a.wav: no such file"), 2, "error: a.wav: no such file"),
        (PermissionError(13, "Permission denied", "x"), 2, "error: x: Permission denied"),
        (IsADirectoryError(21, "Is a directory", "x"), 2, "error: x: Is a directory"),
        (OSError(28, "No space left on device"), 2, "error: No space left on device"),
        (ValueError(), 2, "error: ValueError"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_mistake_is_one_line(capsys, error, code, line):
    @command
    def main(argv=None):
        raise error

    assert main([]) == code
    assert capsys.readouterr() == ("", f"{NAME}: {line}\n")


def test_success_and_other_codes():
    assert command(lambda argv: None)([]) == 0
    assert command(lambda argv: 3)([]) == 3


def test_our_own_faults_keep_their_traceback(monkeypatch):
    def main(argv):
        raise KeyError("bug")

    with pytest.raises(KeyError):
        command(main)([])

    def wrong(argv):
        raise ValueError("which?")

    monkeypatch.setenv("SPEECHVQ_TRACEBACK", "1")
    with pytest.raises(ValueError, match="which"):
        command(wrong)([])


def test_logs_and_warnings_are_one_line_while_the_command_runs(capsys):
    ours, theirs = logging.getLogger("speechvq.x"), logging.getLogger("other")

    @command
    def main(argv=None):
        ours.info("model %s", "m")
        ours.warning("two\nlines")
        theirs.info("chatter")
        warnings.warn("old API", FutureWarning, stacklevel=1)

    handlers = list(logging.getLogger().handlers)
    main([])
    main([])
    said = [f"{NAME}: model m", f"{NAME}: warning: two lines", f"{NAME}: warning: old API"]
    assert capsys.readouterr().err.splitlines() == said * 2
    assert logging.getLogger().handlers == handlers
    assert not logging.getLogger("speechvq").isEnabledFor(logging.INFO)


def test_options_in_error_are_one_line(capsys):
    parser = Parser("prepare", "Prepare.")
    parser.add_argument("--seed", type=int)
    with pytest.raises(SystemExit) as exit:
        command(lambda argv: parser.parse_args(argv))(["--seed", "x"])
    assert exit.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("speechvq-prepare: error: argument --seed: invalid int value")


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    script = tmp_path / "many.py"
    script.write_text(
        "from speechvq.cli.errors import command\n"
        "@command\n"
        "def main(argv=None):\n"
        "    for i in range(100000): print(i)\n"
        "raise SystemExit(main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert process.wait(20) == 141
    assert process.stderr.read() == b""
    process.stderr.close()
