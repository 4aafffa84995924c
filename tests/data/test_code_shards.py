"""Shards of a manifest's codes: each utterance once, whatever stops a shard and goes on."""

import itertools
import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechvq import codes
from speechvq.data.code_shards import ShardWriter, join_shards
from speechvq.shards import Shard, parse_shard, shard_of_process

CODEBOOK = codes.Codebook(8, 16, 8000, "595857f535cf")
MANIFEST = "0123456789ab"
OUT = "codes.txt"


@given(st.integers(0, 300), st.integers(1, 40))
def test_shards_are_disjoint_and_complete(size, count):
    parts = [list(Shard(index, count).of(range(size))) for index in range(count)]
    assert sorted(itertools.chain(*parts)) == list(range(size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["8/8", "-1/8", "1", "1/0", "a/b", "1/2/3", "", "٣/8"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ValueError, match="expected I/N with I from 0 to N - 1"):
        parse_shard(text)


def test_the_shard_of_a_process_of_torchrun(monkeypatch):
    for rank, world, expected in [(0, 1, None), (1, 2, Shard(1, 2)), (2, 3, Shard(2, 3))]:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world))
        assert shard_of_process() == expected


def codes_of(place):
    """Codes of an utterance of the manifest; None where it cannot be encoded."""
    rng = np.random.default_rng(place)
    return None if place % 7 == 3 else rng.integers(0, 8, 1 + place % 5)


def id_of(place):
    return f"{place}\u2028utterance"  # a line separator, but not of these files


def write(folder, shard, size, codebook=CODEBOOK, manifest=MANIFEST, stop=None):
    """Write a shard, or what is left of it; before line `stop` it is killed."""
    with ShardWriter(folder / OUT, shard, codebook, manifest) as writer:
        if writer.whole:
            return
        for place in shard.of(range(size))[writer.done : stop]:
            found = codes_of(place)
            if found is None:
                writer.leave_out(id_of(place), "a reason\tof two words")
            else:
                writer.write(id_of(place), found)
        if stop is None:
            writer.close()


def join(folder, size):
    left_out = []
    join_shards(folder / OUT, MANIFEST, map(id_of, range(size)), left_out)
    return left_out


def unsharded(size):
    utterances = ((id_of(i), codes_of(i)) for i in range(size) if codes_of(i) is not None)
    return "".join(codes.lines(CODEBOOK, utterances)).encode()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 9), st.data())
def test_a_shard_that_is_killed_anywhere_goes_on(size, count, data):
    """A kill leaves the file as far as it was written: cut at any byte."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        for index in range(count):
            shard = Shard(index, count)
            for _ in range(data.draw(st.integers(0, 2))):
                write(folder, shard, size, stop=data.draw(st.integers(0, size)))
                part = shard.path(folder / OUT).with_name(f"{OUT}.{index}-of-{count}.part")
                os.truncate(part, data.draw(st.integers(0, part.stat().st_size)))
            write(folder, shard, size)
        left_out = join(folder, size)
        assert (folder / OUT).read_bytes() == unsharded(size)
        expected = [id_of(i) for i in range(size) if codes_of(i) is None]
        assert left_out == [(id, "a reason\tof two words") for id in expected]


def test_a_shard_is_a_file_of_codes(tmp_path):
    write(tmp_path, Shard(1, 2), 10)
    codebook, utterances = codes.read_codes(tmp_path / f"{OUT}.1-of-2")
    assert codebook == CODEBOOK
    assert list(utterances) == [id_of(i) for i in (1, 5, 7, 9)]


def drop(line):
    return lambda lines: lines[:line] + lines[line + 1 :]


def twice(line):
    return lambda lines: lines[: line + 1] + lines[line:]


DAMAGE = {
    "an utterance that is lost": (drop(7), "'4.u2028utterance' is missing, '7"),
    "one that is left out and lost": (drop(9), "'10.u2028utterance' is missing, '13"),
    "the last one": (drop(12), "'19.u2028utterance' is missing, it ends"),
    "one that is there twice": (twice(7), "'7.u2028utterance' is missing, '4"),
    "the last one twice": (twice(12), "'19.u2028utterance' is there twice"),
    "a line that is cut": (
        lambda lines: [*lines[:-1], lines[-1][:-3]],
        "'19.u2028utterance' is missing",
    ),
    "the header": (lambda lines: lines[6:], "no shard of codes"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_shard_is_refused(tmp_path, kind):
    for index in range(3):
        write(tmp_path, Shard(index, 3), 20)
    path = tmp_path / f"{OUT}.1-of-3"
    change, message = DAMAGE[kind]
    lines = path.read_text().split("\n")[:-1]
    assert lines[6:9] == [
        codes.line(id_of(1), codes_of(1)).rstrip("\n"),
        codes.line(id_of(4), codes_of(4)).rstrip("\n"),
        codes.line(id_of(7), codes_of(7)).rstrip("\n"),
    ]
    lines = [line + "\n" for line in lines]
    path.write_text("".join(change(lines)))
    with pytest.raises(ValueError, match=message):
        join(tmp_path, 20)
    assert not (tmp_path / OUT).exists()


def test_a_missing_shard_is_refused(tmp_path):
    with pytest.raises(ValueError, match="found none"):
        join(tmp_path, 10)
    write(tmp_path, Shard(0, 3), 10)
    write(tmp_path, Shard(2, 3), 10, stop=1)
    with pytest.raises(ValueError, match=r"2 of 3 .* missing .* codes\.txt\.1-of-3, codes\.txt\.2"):
        join(tmp_path, 10)
    write(tmp_path, Shard(0, 2), 10)
    with pytest.raises(ValueError, match="of one N beside it, found of 2 and of 3"):
        join(tmp_path, 10)


def test_shards_of_two_models_or_manifests_are_refused(tmp_path):
    other = codes.Codebook(8, 16, 8000, "another")
    write(tmp_path, Shard(0, 2), 10)
    write(tmp_path, Shard(1, 2), 10, codebook=other)
    with pytest.raises(ValueError, match=r"codes\.txt\.1-of-2: made by another model"):
        join(tmp_path, 10)
    with pytest.raises(ValueError, match="made by another model or of another manifest"):
        write(tmp_path, Shard(1, 2), 10)
    (tmp_path / f"{OUT}.1-of-2").unlink()
    write(tmp_path, Shard(1, 2), 10, manifest="another", stop=2)
    with pytest.raises(ValueError, match="made by another model or of another manifest"):
        write(tmp_path, Shard(1, 2), 10)
    write(tmp_path, Shard(1, 2), 10, manifest="another")
    with pytest.raises(ValueError, match=r"codes\.txt\.1-of-2: of another manifest"):
        join(tmp_path, 10)


def test_two_processes_do_not_write_one_shard(tmp_path):
    shard = Shard(0, 2)
    with ShardWriter(tmp_path / OUT, shard, CODEBOOK, MANIFEST) as writer:
        writer.write("a", np.array([1]))
        with pytest.raises(ValueError, match="another process is writing this shard"):
            ShardWriter(tmp_path / OUT, shard, CODEBOOK, MANIFEST)
    write(tmp_path, shard, 10)
