"""Shards of a manifest: each utterance once, whatever stops a job."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechvq import audio, model_folder
from speechvq.cli import convert, encode
from speechvq.data.manifest import Utterance, read_manifest, write_manifest
from speechvq.model import Model
from speechvq.shards import Shard, parse_shard

RATE = 8000
COUNT = 11
BAD = "u04"


@pytest.fixture(scope="module")
def corpus(tiny_config, tmp_path_factory):
    """A model, and a manifest of utterances of one file; one names a file that is no audio."""
    folder = tmp_path_factory.mktemp("shards")
    torch.manual_seed(0)
    model = Model(tiny_config, ["p225", "p226"]).eval()
    with torch.no_grad():  # codes among the latents, so that several are in use
        z = model.latents(0.1 * torch.randn(1, 8 * model.hop_length))[0]
        model.vqvae.quantizer.codebook.copy_(z)
    model_folder.save_model(folder / "model", model, {}, "card")
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE).astype(np.float32)
    audio.write(folder / "a.wav", noise, RATE)
    (folder / "bad.wav").write_text("no audio")
    write_manifest(
        folder / "all.jsonl",
        [
            Utterance(f"u{i:02}", "p225", str(folder / "a.wav"), 0.15, 0.15 * i, text=f"word {i}")
            for i in range(COUNT)
        ],
    )
    some = [
        Utterance(u.id, u.speaker, str(folder / "bad.wav"), u.duration) if u.id == BAD else u
        for u in read_manifest(folder / "all.jsonl")
    ]
    write_manifest(folder / "bad.jsonl", some)
    return folder


@pytest.fixture(autouse=True)
def working_folder(corpus, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHVQ_MODEL", str(corpus / "model"))


def encoded(corpus, *options, manifest="all.jsonl", out="codes.txt", code=0):
    arguments = ["--manifest", str(corpus / manifest), "--out", out, *options]
    assert encode.main(arguments) == code


@given(st.integers(0, 50), st.integers(1, 12))
def test_shards_are_disjoint_and_complete(size, count):
    items = list(range(size))
    shards = [Shard(index, count).of(items) for index in range(count)]
    assert sorted(sum(shards, [])) == items
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize(
    "text", ["", "1", "8/8", "-1/8", "1/0", "0/0", "a/b", "1/2/3", "1 / 2", "٣/٨"]
)
def test_what_is_no_shard(text):
    with pytest.raises(ValueError, match="expected I/N"):
        parse_shard(text)


@pytest.mark.parametrize("count", [1, 2, 3, 7, COUNT + 1])
def test_joined_codes_are_those_of_one_run(corpus, tmp_path, count):
    for index in reversed(range(count)):
        encoded(corpus, "--shard", f"{index}/{count}")
    encoded(corpus, "--join")
    encoded(corpus, out="whole.txt")
    assert (tmp_path / "codes.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()


def test_a_recording_that_cannot_be_encoded_is_told_from_a_missing_shard(corpus, capsys, tmp_path):
    encoded(corpus, "--shard", "0/2", manifest="bad.jsonl", code=2)
    encoded(corpus, "--join", manifest="bad.jsonl", code=2)
    assert "1 of 2 shards are missing or not whole: codes.txt.1-of-2" in capsys.readouterr().err
    encoded(corpus, "--shard", "1/2", manifest="bad.jsonl")
    encoded(corpus, "--join", manifest="bad.jsonl", code=2)
    assert f"{BAD}: has no codes" in capsys.readouterr().err
    encoded(corpus, manifest="bad.jsonl", out="whole.txt", code=2)
    assert (tmp_path / "codes.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()


@pytest.mark.parametrize("cut", [0, 3, 40, 200, 260, 300])
def test_a_shard_goes_on_after_any_stop(corpus, tmp_path, cut, caplog):
    """A part of a shard is cut anywhere, as a kill leaves it."""
    encoded(corpus, "--shard", "0/2")
    whole = (tmp_path / "codes.txt.0-of-2").read_bytes()
    assert cut < len(whole)
    (tmp_path / "codes.txt.0-of-2").unlink()
    (tmp_path / "codes.txt.0-of-2.part").write_bytes(whole[:cut])
    encoded(corpus, "--shard", "0/2")
    assert (tmp_path / "codes.txt.0-of-2").read_bytes() == whole
    assert not (tmp_path / "codes.txt.0-of-2.part").exists()
    encoded(corpus, "--shard", "0/2")
    assert "is whole already" in caplog.text


def test_a_killed_shard_goes_on_where_it_was(corpus, tmp_path):
    """Kill a job between two utterances; nothing is encoded twice."""
    script = """
import itertools, os, signal, sys
from speechvq.data import code_shards
count = itertools.count()
write = code_shards.ShardWriter.write
def write_and_die(self, id, found):
    if next(count) == 2:
        self._file.write(b"u0")
        self._file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, id, found)
code_shards.ShardWriter.write = write_and_die
from speechvq.cli.encode import main
main(sys.argv[1:])
"""
    arguments = ["--manifest", str(corpus / "all.jsonl"), "--out", "codes.txt", "--shard", "1/2"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    kept = (tmp_path / "codes.txt.1-of-2.part").read_bytes()
    assert kept.endswith(b"\nu0") and kept.count(b"\t") == 2
    encoded(corpus, "--shard", "1/2")
    encoded(corpus, "--shard", "0/2")
    encoded(corpus, "--join")
    encoded(corpus, out="whole.txt")
    assert (tmp_path / "codes.txt").read_bytes() == (tmp_path / "whole.txt").read_bytes()


def test_two_jobs_do_not_write_one_shard(corpus, tmp_path, capsys):
    import fcntl

    with (tmp_path / "codes.txt.0-of-2.part").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        encoded(corpus, "--shard", "0/2", code=2)
    assert "another process is writing this shard" in capsys.readouterr().err


def test_what_does_not_belong_together_is_not_joined(corpus, tmp_path, capsys):
    encoded(corpus, "--join", code=2)
    assert "found none" in capsys.readouterr().err
    encoded(corpus, "--shard", "0/2")
    encoded(corpus, "--shard", "1/2", manifest="bad.jsonl")
    encoded(corpus, "--join", code=2)
    assert "made by another model or of another manifest" in capsys.readouterr().err
    encoded(corpus, "--shard", "1/2", code=2)
    assert "delete it, or take another --out" in capsys.readouterr().err
    encoded(corpus, "--shard", "0/3")
    encoded(corpus, "--join", code=2)
    assert "found of 2 and of 3" in capsys.readouterr().err
    assert not (tmp_path / "codes.txt").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda lines: [*lines, lines[-1]], "is there twice, or not of this shard"),
        (lambda lines: [*lines[:-2], lines[-1], lines[-2]], "is there twice, or not of this shard"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], "ends within a line"),
        (lambda lines: lines[6:], "no shard of codes"),
    ],
)
def test_a_spoilt_shard_is_not_joined(corpus, tmp_path, capsys, spoil, message):
    encoded(corpus, "--shard", "0/1")
    shard = tmp_path / "codes.txt.0-of-1"
    shard.write_bytes(b"".join(spoil(shard.read_bytes().splitlines(keepends=True))))
    encoded(corpus, "--join", code=2)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "codes.txt").exists()


def test_processes_of_torchrun_take_a_shard_each(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        encoded(corpus)
    assert len(list(tmp_path.glob("codes.txt.*-of-3"))) == 3
    encoded(corpus, "--join")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--src", "a.wav", "--out", "b.txt", "--shard", "0/2"],
        ["--manifest", "all.jsonl", "--shard", "0/2"],
        ["--manifest", "all.jsonl", "--out", "b.txt", "--shard", "0/2", "--format", "units"],
    ],
)
def test_options_that_do_not_go_together(arguments, capsys):
    assert encode.main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1


def converted(corpus, *options, manifest="all.jsonl", out="out", code=0):
    arguments = ["--manifest", str(corpus / manifest), "--speaker", "p226", "--out", out, *options]
    assert convert.main(arguments) == code


def test_conversions_of_shards_are_those_of_one_run(corpus, tmp_path, capsys):
    converted(corpus, out="whole")
    converted(corpus, "--shard", "0/2")
    converted(corpus, "--join", code=2)
    assert "u01-p226.wav: is not there" in capsys.readouterr().err
    first = tmp_path / "out" / "u00-p226.wav"
    before = first.stat().st_mtime_ns
    converted(corpus)  # what is left
    assert first.stat().st_mtime_ns == before
    for path in sorted((tmp_path / "whole").glob("*.wav")):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()
    converted(corpus, "--join")
    listed = read_manifest(tmp_path / "out" / "manifest.jsonl")
    assert [u.id for u in listed] == [f"u{i:02}-p226" for i in range(COUNT)]
    assert {u.speaker for u in listed} == {"p226"} and listed[3].text == "word 3"
    assert all(audio.info(u.path)[0] == pytest.approx(u.duration) for u in listed)


def test_other_settings_do_not_mix_in_a_folder(corpus, capsys, tmp_path):
    converted(corpus, "--shard", "0/9")
    converted(corpus, "--shard", "1/9", "--seed", "1", code=2)
    assert "conversions with another seed are there" in capsys.readouterr().err
    (tmp_path / "out" / "conversion.json").write_text("{")
    converted(corpus, "--shard", "1/9", code=2)
    assert capsys.readouterr().err.count("\n") <= 2


def test_a_bad_utterance_does_not_stop_the_others(corpus, tmp_path, capsys):
    converted(corpus, "--json", manifest="bad.jsonl", code=2)
    outcome = json.loads(capsys.readouterr().out)
    assert len(outcome["written"]) == COUNT - 1 and len(outcome["failed"]) == 1
