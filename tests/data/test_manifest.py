"""Manifests: round trips, and errors that name the line."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechvq.data import lines
from speechvq.data.label_names import without_context
from speechvq.data.manifest import (
    Columns,
    CorpusError,
    Phone,
    Utterance,
    read_checked,
    read_manifest,
    write_manifest,
)
from speechvq.data.segments import Waveforms

times = st.integers(0, 10**9).map(lambda microseconds: microseconds / 10**6)
words = st.text(min_size=1, max_size=12).filter(lambda s: s.encode("utf-8", "ignore").decode() == s)
names = words.filter(lambda s: "/" not in s and s.isprintable())
labels = words.filter(lambda s: without_context([s]) == [s])  # others are read as the bare phone


FOLDER = "/where/it/lies"


@st.composite
def utterances(draw):
    ends = sorted(draw(st.lists(times, max_size=6)))
    phones = tuple(Phone(a, b, draw(labels)) for a, b in zip(ends, ends[1:], strict=False))
    return Utterance(
        id=draw(words),
        speaker=draw(names),
        path=f"{FOLDER}/a.wav",
        duration=draw(times.filter(bool)),
        start=draw(times),
        text=draw(st.none() | words),
        phones=draw(st.none() | st.just(phones)),
    )


@given(st.lists(utterances(), min_size=1, max_size=3, unique_by=lambda u: u.id))
def test_what_is_written_is_read(tmp_path_factory, expected):
    path = tmp_path_factory.mktemp("manifests") / "train.jsonl"
    own = [replace(u, path=u.path.replace(FOLDER, str(path.parent))) for u in expected]
    write_manifest(path, own)
    assert list(read_manifest(path)) == own
    assert list(path.parent.iterdir()) == [path]


def test_a_line_is_compact_and_complete(tmp_path):
    path = tmp_path / "train.jsonl"
    phones = (Phone(0, 0.123456789, "aa"),)
    write_manifest(path, [Utterance("p225_001", "p225", "/a.flac", 2.0, text="é", phones=phones)])
    assert path.read_text(encoding="utf-8") == (
        '{"id": "p225_001", "speaker": "p225", "path": "/a.flac", "duration": 2.0, '
        '"text": "é", "phones": [[0, 0.123457, "aa"]]}\n'
    )


def test_paths_are_absolute_when_written_and_relative_to_the_manifest_when_read(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_manifest("m/train.jsonl", [Utterance("a", "s", "m/wavs/a.wav", 1.0)])
    (found,) = read_manifest("m/train.jsonl")
    assert found.path == str(tmp_path / "m" / "wavs" / "a.wav")
    line = '{"id": "a", "speaker": "s", "path": "wavs/a.wav", "duration": 1}'
    (tmp_path / "m" / "hand.jsonl").write_text(f"\ufeff{line}\r\n\r\n", encoding="utf-8")
    (found,) = read_manifest("m/hand.jsonl")
    assert found == Utterance("a", "s", str(tmp_path / "m" / "wavs" / "a.wav"), 1.0)


GOOD = {"id": "b", "speaker": "s", "path": "a.wav", "duration": 1.5}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[1, 2]", "not an object; a line is one JSON object"),
        (json.dumps({"id": "b"}), "no 'speaker'"),
        (json.dumps({**GOOD, "phone": []}), "unknown key 'phone'"),
        (json.dumps({**GOOD, "id": 3}), "'id' must be a text"),
        (json.dumps({**GOOD, "path": ""}), "'path' must be a text"),
        (json.dumps({**GOOD, "duration": 0}), "'duration' must be above 0"),
        (json.dumps({**GOOD, "duration": "1"}), "'duration' must be seconds"),
        (json.dumps({**GOOD, "duration": True}), "'duration' must be seconds"),
        (json.dumps({**GOOD, "duration": float("nan")}), "'duration' must be seconds"),
        (json.dumps({**GOOD, "duration": 10**400}), "'duration' must be seconds"),
        (json.dumps({**GOOD, "start": -1}), "'start' must be seconds"),
        (json.dumps({**GOOD, "text": 3}), "'text' must be a text or null"),
        (json.dumps({**GOOD, "phones": {}}), "'phones' must be a list"),
        (json.dumps({**GOOD, "phones": [[0, 1]]}), "a phone is"),
        (json.dumps({**GOOD, "phones": [[0, "1", "a"]]}), "a phone is"),
        (json.dumps({**GOOD, "phones": [[1, 0.5, "a"]]}), "ends before it begins"),
        (json.dumps({**GOOD, "phones": [[0, 1, "a"], [0.5, 2, "b"]]}), "begins before 1 s"),
        (json.dumps({**GOOD, "id": "a"}), "'a' is also in line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, reason):
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps({**GOOD, "id": "a"}) + "\n\n" + line + "\n")
    with pytest.raises(CorpusError, match=reason) as error:
        read_manifest(path)
    assert str(error.value).startswith(f"{path}:3: ")


def listed(path, count=40):
    lines = [
        json.dumps({**GOOD, "id": f"{i}", "duration": i + 1, "speaker": f"s{i % 3}"})
        for i in range(count)
    ]
    path.write_text("\n\n".join(lines))
    return read_manifest(path)


def test_places_slices_and_masks(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "_BLOCK", 100)  # less than two lines
    manifest = listed(tmp_path / "train.jsonl")
    everything = list(manifest)
    assert [u.id for u in everything] == [str(i) for i in range(40)]
    assert [manifest[i] for i in range(40)] == everything
    assert manifest[-1] == everything[-1] and manifest[np.int64(7)] == everything[7]
    assert manifest.number(7) == 15
    for chosen in (slice(3, 30, 4), np.arange(40) % 3 == 1, np.array([9, 2, 2])):
        some = manifest.select(chosen)
        expected = [everything[i] for i in np.arange(40)[chosen]]
        assert list(some) == [some[i] for i in range(len(some))] == expected
        own = Columns.of(expected)
        assert some.columns.speakers == own.speakers
        np.testing.assert_array_equal(some.columns.speaker, own.speaker)
        np.testing.assert_array_equal(some.columns.durations, own.durations)
    with pytest.raises(IndexError):
        manifest[40]


def test_memory_does_not_hold_the_lines(tmp_path):
    """28 bytes of each utterance, however long its line is."""
    path = tmp_path / "train.jsonl"
    path.write_text(
        "".join(json.dumps({**GOOD, "id": f"{i}", "text": "a" * 2000}) + "\n" for i in range(3000))
    )
    read_manifest(path)
    tracemalloc.start()
    manifest = read_manifest(path)
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(manifest) == 3000
    assert held < 3000 * 40 + 20_000 and peak < 3000 * 150 + 100_000  # the file has 6 MB


def test_a_new_file_under_the_name_changes_nothing(tmp_path):
    path = tmp_path / "train.jsonl"
    manifest = listed(path)
    expected = list(manifest)
    write_manifest(path, expected[:3])
    assert [manifest[i] for i in range(len(manifest))] == list(manifest) == expected


def test_a_line_that_is_written_to_is_named(tmp_path):
    path = tmp_path / "train.jsonl"
    manifest = listed(path)
    path.write_text(path.read_text().replace('"id": "7"', '"it": "7"'))
    with pytest.raises(CorpusError, match=r"train.jsonl:15: no 'id'"):
        manifest[7]


def test_equal_hashes_are_no_double(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.hash", lambda value: 7)
    assert len(listed(tmp_path / "train.jsonl")) == 40


def test_many_recordings_are_opened_when_they_are_drawn(tmp_path, monkeypatch):
    manifest = listed(tmp_path / "train.jsonl")  # of no file
    with pytest.raises(FileNotFoundError):
        read_checked(tmp_path / "train.jsonl")
    monkeypatch.setattr("speechvq.data.manifest.OPENED", 39)
    assert not read_checked(tmp_path / "train.jsonl")[1].any()
    waveforms = Waveforms(manifest, 8000, cache_bytes=0)
    assert waveforms.try_crop(3, 0, 100) is None and not waveforms.usable(3)


def test_files_that_are_no_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match="speechvq-prepare"):
        read_manifest(tmp_path / "train.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(CorpusError, match="no utterances"):
        read_manifest(tmp_path / "empty.jsonl")
    (tmp_path / "a.flac").write_bytes(b"fLaC\xff\xfe")
    with pytest.raises(CorpusError, match="not UTF-8"):
        read_manifest(tmp_path / "a.flac")
