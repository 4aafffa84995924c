"""Manifests: round trips, and errors that name the line."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechvq.data.label_names import without_context
from speechvq.data.manifest import CorpusError, Phone, Utterance, read_manifest, write_manifest

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
    assert read_manifest(path) == own
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
        ("[1, 2]", "a JSON object expected"),
        (json.dumps({"id": "b"}), "no 'speaker'"),
        (json.dumps({**GOOD, "phone": []}), "unknown key 'phone'"),
        (json.dumps({**GOOD, "id": 3}), "'id' must be a text"),
        (json.dumps({**GOOD, "path": ""}), "'path' must be a text"),
        (json.dumps({**GOOD, "duration": 0}), "'duration' must be above 0"),
        (json.dumps({**GOOD, "duration": "1"}), "'duration' must be seconds"),
        (json.dumps({**GOOD, "duration": True}), "'duration' must be seconds"),
        (json.dumps({**GOOD, "duration": float("nan")}), "'duration' must be seconds"),
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


def test_files_that_are_no_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match="speechvq-prepare"):
        read_manifest(tmp_path / "train.jsonl")
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(CorpusError, match="no utterances"):
        read_manifest(tmp_path / "empty.jsonl")
    (tmp_path / "a.flac").write_bytes(b"fLaC\xff\xfe")
    with pytest.raises(CorpusError, match="not UTF-8"):
        read_manifest(tmp_path / "a.flac")
