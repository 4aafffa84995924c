"""Audio files among files and folders."""

import os
from pathlib import Path

import pytest

from speechvq import audio


def test_find(tmp_path):
    for name in ("b/2.wav", "b/10.FLAC", "a.mp3", "b/c/x.ogg", "b/text.txt", ".hidden.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    inside = ["a.mp3", "b/10.FLAC", "b/2.wav", "b/c/x.ogg"]
    assert audio.find(tmp_path) == [tmp_path / name for name in inside]
    given = [tmp_path / "b" / "text.txt", tmp_path / "b" / "2.wav", tmp_path / "b"]
    names = [path.name for path in audio.find(given)]
    assert names == ["text.txt", "2.wav", "10.FLAC", "x.ogg"]


def test_find_follows_links_but_not_in_circles(tmp_path):
    (tmp_path / "corpus" / "p225").mkdir(parents=True)
    (tmp_path / "corpus" / "p225" / "a.wav").touch()
    (tmp_path / "corpus" / "p226").symlink_to(tmp_path / "corpus" / "p225")
    (tmp_path / "corpus" / "p225" / "loop").symlink_to(tmp_path / "corpus")
    found = [str(path.relative_to(tmp_path)) for path in audio.find(tmp_path / "corpus")]
    assert "corpus/p225/a.wav" in found
    assert "corpus/p226/a.wav" in found


def test_find_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="no .wav, .flac"):
        audio.find([tmp_path])
    with pytest.raises(FileNotFoundError, match=r"gone\.wav: no such file"):
        audio.find([tmp_path / "gone.wav"])


def test_what_cannot_be_used_is_reported_and_the_rest_found(tmp_path):
    (tmp_path / "ann").mkdir()
    (tmp_path / "empty").mkdir()
    for name in (b"a.wav", b"caf\xe9.wav", b"caf\xe9.txt"):
        Path(os.fsdecode(bytes(tmp_path / "ann") + b"/" + name)).touch()
    said = []
    given = [tmp_path / "ann", tmp_path / "gone.wav", tmp_path / "empty"]
    assert audio.find(given, said.append) == [tmp_path / "ann" / "a.wav"]
    first, second, third = (line.replace(f"{tmp_path}/", "") for line in said)
    assert first == "ann/caf\\xe9.wav: a name that is not UTF-8; rename it"
    assert second == "gone.wav: no such file"
    assert third.startswith("empty: no .wav, .flac")


def test_folders_that_cannot_be_entered(tmp_path, monkeypatch):
    for name in ("ann/1.wav", "lost+found/2.wav"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    scandir = os.scandir

    def locked(path):
        if str(path).endswith("lost+found"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    said = []
    assert audio.find(tmp_path, said.append) == [tmp_path / "ann" / "1.wav"]
    assert said == [f"{tmp_path}/lost+found: Permission denied"]
    with pytest.raises(FileNotFoundError, match="Permission denied"):
        audio.find(tmp_path / "lost+found")


def test_a_link_to_itself_is_no_circle(tmp_path):
    (tmp_path / "a.wav").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "b.wav").symlink_to(tmp_path / "b.wav")
    assert audio.find(tmp_path) == [tmp_path / "a.wav", tmp_path / "b.wav"]


def test_a_link_beside_a_folder_is_followed_once(tmp_path):
    """main -> main-1234, as in s3cmd, is no circle."""
    (tmp_path / "main-1").mkdir()
    (tmp_path / "main-1" / "a.wav").touch()
    for name in ("main", "other", "third"):
        (tmp_path / name).symlink_to("main-1")
    found = [path.relative_to(tmp_path).as_posix() for path in audio.walk(tmp_path)]
    assert found == ["main/a.wav", "main-1/a.wav"]


def test_a_file_that_is_found_twice_is_listed_once(tmp_path, monkeypatch):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.wav").touch()
    monkeypatch.chdir(tmp_path)
    found = audio.find(["x/a.wav", "x/../x/a.wav", "x", tmp_path / "x"])
    assert [str(path) for path in found] == ["x/a.wav"]


def test_an_empty_path_is_not_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "a.wav").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="an empty path"):
        audio.find("")
