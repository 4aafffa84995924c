"""A manifest names files beneath its folder, and beneath the folders that ``roots.txt`` lists."""

import json
import os

import pytest

from speechvq.data.manifest import CorpusError, Utterance, read_manifest, write_manifest
from speechvq.data.roots import FILE, Roots


def manifest(folder, path):
    folder.mkdir(exist_ok=True)
    line = {"id": "a", "speaker": "s", "path": str(path), "duration": 1}
    (folder / "train.jsonl").write_text(json.dumps(line))
    return folder / "train.jsonl"


@pytest.mark.parametrize(
    "path",
    ["../x.wav", "../data2/x.wav", "a/../../x.wav", "/etc/x.wav", "//etc/x.wav", ".", "a/.."],
)
def test_a_file_outside_is_refused_unless_it_is_asked_for(tmp_path, path):
    there = manifest(tmp_path / "data", path)
    with pytest.raises(
        CorpusError, match=r"train\.jsonl:1: '.*' lies outside the manifest's f"
    ) as e:
        read_manifest(there)
    assert f"add its folder as a line to {tmp_path}/data/roots.txt" in str(e.value)
    (there.parent / FILE).write_text("/\n")
    assert read_manifest(there)[0].path == os.path.normpath(os.path.join(there.parent, path))


@pytest.mark.parametrize(
    ("roots", "path", "allowed"),
    [
        ("/corpus\n", "/corpus/a.wav", True),
        ("\ufeff/other\r\n/corpus/\r\n", "/corpus/b/a.wav", True),
        ("/corpus", "/corpus2/a.wav", False),
        ("/corpus", "/corpus/../etc/a.wav", False),
        ("/corpus/x/..", "/corpus/a.wav", True),
        ("../wavs\n", "../wavs/a.wav", True),
        ("wavs\n", "../wavs/a.wav", False),
        ("\n", "/a.wav", False),
    ],
)
def test_the_folders_of_the_list(tmp_path, roots, path, allowed):
    there = manifest(tmp_path / "data", path)
    (there.parent / FILE).write_text(roots)
    if allowed:
        assert read_manifest(there)[0].path == os.path.normpath(os.path.join(there.parent, path))
    else:
        with pytest.raises(CorpusError, match="lies outside"):
            read_manifest(there)


def test_what_is_checked_is_what_is_opened(tmp_path):
    """Behind a link, `..` is not what the text of a path says: the text holds."""
    (tmp_path / "far/deep").mkdir(parents=True)
    there = manifest(tmp_path / "data", "link/../secret.wav")
    (there.parent / "link").symlink_to(tmp_path / "far/deep")
    assert read_manifest(there)[0].path == str(there.parent / "secret.wav")
    there = manifest(tmp_path / "data", "link/a.wav")  # whoever owns the folder made the link
    assert read_manifest(there)[0].path == str(there.parent / "link/a.wav")


@pytest.mark.parametrize("path", ["a\0.wav", "a\ud800.wav"])
def test_what_is_no_name_of_a_file(tmp_path, path):
    with pytest.raises(CorpusError, match=r":1: path .*: not the name of a file"):
        read_manifest(manifest(tmp_path, path))


@pytest.mark.parametrize("speaker", ["../s", "a/b", "a\nb", "a\0", "\ud800"])
def test_a_speaker_that_could_lead_out_of_a_folder(tmp_path, speaker):
    write_manifest(tmp_path / "m.jsonl", [Utterance("a", "s", str(tmp_path / "a.wav"), 1.0)])
    line = json.loads((tmp_path / "m.jsonl").read_text()) | {"speaker": speaker}
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    with pytest.raises(CorpusError, match=r"m\.jsonl:1: speaker '.*': files are named after"):
        read_manifest(tmp_path / "m.jsonl")


def test_folders_are_added_once(tmp_path):
    (tmp_path / FILE).write_text("/b\n")
    Roots(tmp_path).allow(["/a", "/b/"])
    Roots(tmp_path).allow(["/a"])
    assert (tmp_path / FILE).read_text() == "/b\n/a\n"


def test_a_list_that_is_no_text(tmp_path):
    (tmp_path / FILE).write_bytes(b"\xff\xfe\0\1\2")
    with pytest.raises(ValueError, match=r"roots\.txt: "):
        read_manifest(manifest(tmp_path, "a.wav"))
