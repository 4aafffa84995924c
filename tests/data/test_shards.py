"""Recordings in tars, on this machine and at URLs: the same batches, and faults in one line."""

import gzip
import http.server
import io
import json
import logging
import pickle
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from speechvq import audio
from speechvq.audio import places
from speechvq.data.corpora import WebDataset, detect, read_corpus
from speechvq.data.manifest import read_checked, read_manifest, write_manifest
from speechvq.data.prepare import prepare
from speechvq.data.segments import SegmentBatches, Waveforms

RATE = 8000
NAMES = ["ann/1", "ann/2", "bob/1", "bob/2"]


def waveform(i: int) -> np.ndarray:
    """Samples that a 16-bit file keeps exactly."""
    rng = np.random.default_rng(i)
    return (rng.integers(-9000, 9000, 9000 + 1000 * i) / 32768).astype(np.float32)


def encoded(samples: np.ndarray, form: str = "FLAC") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format=form, subtype="PCM_16")
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def shards(tmp_path) -> Path:
    """A folder of two shards, and the same recordings as files beside it, by speaker."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for number, names in enumerate((NAMES[:2], NAMES[2:])):
        members: dict[str, bytes] = {}
        for name in names:
            i = NAMES.index(name)
            path = tmp_path / "files" / f"{name}.flac"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(waveform(i)))
            members |= {f"{name}.flac": path.read_bytes(), f"{name}.txt": b"sentence %d\n" % i}
        write_tar(folder / f"shard-{number}.tar", members)
    return folder


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Files with ranges of bytes; the first `faulty` requests fail, in the way of `fault`."""

    faulty, fault, requests = 0, "refuse", 0

    def do_GET(self):
        type(self).requests += 1
        content = Path(self.translate_path(self.path)).read_bytes()
        piece, status = content, 200
        if "Range" in self.headers and self.fault != "whole":
            first, last = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            piece, status = content[first : last + 1], 206 if first < len(content) else 416
        if self.requests <= self.faulty and self.fault == "refuse":
            return self.send_error(503)
        self.send_response(status)
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        if self.requests <= self.faulty and self.fault == "die":
            piece = piece[: len(piece) // 2]
        self.wfile.write(piece)
        self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(shards, monkeypatch):
    """URL of the shards, and the class of the server's answers."""
    pytest.importorskip("aiohttp")
    monkeypatch.setattr(places, "PAUSE", 0.01)

    class Answers(Ranges):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(shards))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}", Answers
        running.shutdown()
        thread.join()


def prepared(root, out):
    prepare(root, WebDataset(), out, valid=0, test=0)
    return out / "train.jsonl"


@pytest.fixture
def remote(server, tmp_path):
    """Manifest of the shards at their URL."""
    (tmp_path / "list").mkdir()
    names = "\n".join(f"{server[0]}/shard-{i}.tar" for i in range(2))
    (tmp_path / "list" / "shards.txt").write_text(f"# two\n{names}\n")
    return prepared(tmp_path / "list", tmp_path / "remote")


def batches(utterances) -> SegmentBatches:
    return SegmentBatches(
        Waveforms(utterances, RATE, cache_bytes=0),
        ["ann", "bob"],
        seed=1,
        stage="mel",
        batch_size=3,
        segment_length=800,
        hop_length=16,
        steps=6,
    )


def as_files(utterances, shards):
    """The utterances in files of their own."""
    files = shards.parent / "files"
    return [replace(u, path=f"{files}/{u.speaker}/{u.id[-1]}.flac") for u in utterances]


def test_a_shard_lists_what_it_holds(shards, tmp_path):
    assert detect(shards) == "webdataset"
    found = read_manifest(prepared(shards, tmp_path / "out"))
    assert [(u.id, u.speaker, u.text) for u in found] == [
        (name.replace("/", "_"), name[:3], f"sentence {i}") for i, name in enumerate(NAMES)
    ]
    for i, u in enumerate(found):
        np.testing.assert_array_equal(audio.read(u.path)[0], waveform(i))
        assert u.duration == pytest.approx(len(waveform(i)) / RATE)


def test_batches_from_tars_are_those_from_files(shards, tmp_path):
    """A function of the step alone, so that a resumed training reads the same."""
    found = read_manifest(prepared(shards, tmp_path / "out"))
    ours, files = batches(found), batches(as_files(found, shards))
    for step in (3, 0, 5):
        assert torch.equal(ours[step].waveform, files[step].waveform)
        assert torch.equal(ours[step].speaker, files[step].speaker)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_from_a_url_are_those_from_files(remote, shards, workers):
    found = read_manifest(remote)
    assert all(u.path.startswith("http://127.0.0.1:") for u in found)
    ours, files = batches(found), batches(as_files(found, shards))
    ours[0]  # a process that was forked must not wait for connections of this one
    for step, batch in enumerate(DataLoader(ours, batch_size=None, num_workers=workers)):
        assert torch.equal(batch.waveform, files[step].waveform)


@pytest.mark.parametrize("fault", ["refuse", "die"])
def test_a_server_that_fails_is_asked_again(remote, server, fault):
    url, answers = server
    answers.requests, answers.faulty, answers.fault = 0, 2, fault
    np.testing.assert_array_equal(audio.read(read_manifest(remote)[0].path)[0], waveform(0))
    assert answers.requests == 3


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("refuse", "cannot be read, after 3 requests: .*503"),
        ("die", "cannot be read, after 3 requests: "),
        ("whole", "the server sends all where a range was asked for"),
    ],
)
def test_what_a_server_does_not_give_is_left_out(remote, server, fault, reason, caplog):
    url, answers = server
    answers.requests, answers.faulty, answers.fault = 0, 1000, fault
    waveforms = Waveforms(read_manifest(remote), RATE, cache_bytes=0)
    assert waveforms.try_crop(1, 0, 100) is None
    assert [waveforms.usable(i) for i in range(4)] == [True, False, True, True]
    waveforms.report(waveforms.unreported())
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert line.startswith(f"{url}/shard-0.tar: ") and "\n" not in line
    with pytest.raises(audio.AudioError, match=reason):
        audio.read(waveforms.utterances[0].path)


def test_what_a_server_does_not_have(remote, shards):
    (shards / "shard-0.tar").unlink()
    with pytest.raises((FileNotFoundError, audio.AudioError), match=r"shard-0\.tar: "):
        audio.read(read_manifest(remote)[0].path)


def test_a_server_that_has_gone(remote, server):
    path = read_manifest(remote)[0].path.replace(server[0], "http://127.0.0.1:9")
    with pytest.raises(audio.AudioError, match="cannot be read, after 3 requests"):
        audio.read(path)


@pytest.mark.parametrize("where", ["file", "url"])
def test_a_range_beyond_the_end(shards, tmp_path, where, request):
    path = shards / "shard-1.tar"
    out = (
        prepared(shards, tmp_path / "out") if where == "file" else request.getfixturevalue("remote")
    )
    whole = read_manifest(out)
    path.write_bytes(path.read_bytes()[:40_000])  # in the second recording of the shard
    at = [int(u.path.split(":")[-2]) for u in whole]
    assert at[3] < 40_000 < at[3] + int(whole[3].path.split(":")[-1])
    with pytest.raises(
        audio.AudioError, match=r"ends at byte 40000, and bytes \d+ to \d+ were exp"
    ):
        audio.read(whole[3].path)
    if where == "file":
        found, unusable = read_checked(out)
        assert unusable.tolist() == [False, False, False, True]


def test_a_truncated_tar_keeps_what_is_whole(shards, tmp_path, caplog):
    path = shards / "shard-1.tar"
    path.write_bytes(path.read_bytes()[:40_000])
    found = read_manifest(prepared(shards, tmp_path / "out"))
    assert [u.id for u in found] == ["ann_1", "ann_2", "bob_1"]
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert "1 shard that cannot be read to the end" in line and str(path) in line


@pytest.mark.parametrize("name", ["shard-2.tar.gz", "shard-2.tgz", "shard-2.tar"])
def test_a_compressed_tar_is_refused_with_advice(shards, tmp_path, caplog, name):
    (shards / name).write_bytes(gzip.compress((shards / "shard-0.tar").read_bytes()))
    assert len(read_manifest(prepared(shards, tmp_path / "out"))) == 4
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert f"{name}: compressed" in line and "gzip -dk" in line and "\n" not in line


def test_speakers_are_of_the_json_then_the_class_then_the_name(tmp_path):
    sound = encoded(waveform(0))
    write_tar(
        tmp_path / "a.tar",
        {
            "x-1.flac": sound,
            "x-1.json": json.dumps({"speaker": "ann", "text": "Good day", "gain": 3}).encode(),
            "x-1.cls": b"7",
            "x-2.WAV": encoded(waveform(1), "WAV"),
            "x-2.cls": b"7",
            "x_3.audio.flac": sound,
            "x_3.json": b"not JSON",
            "../../etc/y.flac": sound,  # nothing is unpacked
            "README": b"no recording",
            "z.jpg": b"no recording",
        },
    )
    found = {u.id: (u.speaker, u.text) for u in read_corpus(WebDataset(), tmp_path)}
    assert found == {
        "x-1": ("ann", "Good day"),
        "x-2": ("7", None),
        "x_3": ("x", None),
        ".._.._etc_y": ("..", None),
    }


def test_a_folder_of_recordings_beside_an_archive_is_a_folder(shards, tmp_path):
    (tmp_path / "files" / "all.tar.gz").write_bytes(b"\x1f\x8b")
    assert detect(tmp_path / "files") == "folder"


def test_paths_of_tars_and_urls_are_written_as_they_are(tmp_path, shards):
    found = list(read_manifest(prepared(shards, tmp_path / "out")))
    paths = ["s3://bucket/a.tar:512:99", "https://host/b.flac", f"{shards}/shard-0.tar:512:9"]
    listed = [replace(u, path=path) for u, path in zip(found, paths, strict=False)]
    write_manifest(tmp_path / "m.jsonl", listed, [shards, "s3://bucket", "https://host"])
    assert [u.path for u in read_manifest(tmp_path / "m.jsonl")] == paths
    write_manifest(tmp_path / "n.jsonl", [replace(listed[0], path=str(Path(paths[0])))])
    assert read_manifest(tmp_path / "n.jsonl")[0].path == paths[0]


@pytest.mark.parametrize("form", ["FLAC", "WAV", "OGG"])
def test_a_crop_reads_its_own_part_of_a_file(tmp_path, form):
    """Elsewhere the file may be damaged: nothing there is decoded."""
    samples, path = np.tile(waveform(0), 30), tmp_path / "a.bin"
    soundfile.write(path, samples, RATE, format=form)
    whole, content = audio.read(path)[0], bytearray(path.read_bytes())
    size = len(content)
    content[size // 10 : size // 3] = bytes(size // 3 - size // 10)
    path.write_bytes(content)
    start = 25 * 9000
    crop, _ = audio.read(path, start=start / RATE, duration=0.5)
    np.testing.assert_allclose(crop, whole[start : start + RATE // 2], atol=1e-4)


def test_a_copy_by_pickle_reads_the_same(shards, tmp_path):
    found = read_manifest(prepared(shards, tmp_path / "out"))
    assert list(pickle.loads(pickle.dumps(found))) == list(found)
