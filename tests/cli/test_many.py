"""Commands that take many items: one that cannot be used is named, and the rest is done."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from speechvq import audio
from speechvq.cli import encode, speaking
from speechvq.cli.errors import command
from speechvq.data.manifest import Utterance, read_usable, write_manifest


def test_a_logged_error_is_exit_code_2(capsys):
    @command
    def main(argv):
        logging.getLogger("speechvq.somewhere").error("a.wav: damaged; left out")
        logging.getLogger("speechvq.somewhere").warning("quiet")
        return 0

    @command
    def fine(argv):
        logging.getLogger("speechvq.somewhere").warning("quiet")
        logging.getLogger("another.library").error("nothing of ours")

    assert main([]) == 2
    assert "error: a.wav: damaged; left out" in capsys.readouterr().err
    assert fine([]) == 0


def test_ids_that_no_file_of_codes_can_hold(tmp_path, caplog):
    for name in ("one", "#1 take", "tab\there", "two"):
        (tmp_path / f"{name}.wav").touch()
    Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.wav")).touch()
    found = encode._found(audio.find([str(tmp_path)]), set())
    assert [r.id for r in encode._named("codes", found)] == ["one", "two"]
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 3


def test_ids_of_a_manifest_that_no_file_of_codes_can_hold(tmp_path, caplog):
    listed = [Utterance(id, "a", str(tmp_path / "a.wav"), 1.0) for id in ("#1", "b\tc", "fine")]
    write_manifest(tmp_path / "m.jsonl", listed)
    found = encode._listed(str(tmp_path / "m.jsonl"))
    assert [r.id for r in encode._named("codes", found)] == ["fine"]
    assert len(caplog.records) == 2


def test_outputs_that_cannot_be_written(tmp_path, caplog):
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "file").touch()
    good = tmp_path / "new" / "a.wav"
    bad = [tmp_path / "folder.wav", tmp_path / "file" / "a.wav", tmp_path / ("x" * 252 + ".wav")]
    assert speaking.writable([bad[0], good, *bad[1:]]) == {good}
    assert len(caplog.records) == 3
    with pytest.raises(OSError, match="a folder stands where"):
        speaking.writable(bad)


def test_recordings_of_a_manifest_that_cannot_be_opened(tmp_path, caplog):
    audio.write(tmp_path / "fine.wav", np.full(1600, 0.1, np.float32), 16000)
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    listed = [Utterance(name, "a", str(tmp_path / f"{name}.wav"), 0.1)
              for name in ("fine", "bad", "gone")]  # fmt: skip
    write_manifest(tmp_path / "m.jsonl", listed)
    assert [u.id for u in read_usable(tmp_path / "m.jsonl")] == ["fine"]
    assert [r.getMessage().split(":")[0].rpartition("/")[2] for r in caplog.records] == [
        "bad.wav",
        "gone.wav",
    ]
    write_manifest(tmp_path / "m.jsonl", listed[2:])
    with pytest.raises(FileNotFoundError, match="gone.wav"):
        read_usable(tmp_path / "m.jsonl")
