"""Audio files among files and folders."""

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
