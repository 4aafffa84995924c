"""Files of other kinds, channels that cancel out, and processes that are told to end."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
import soundfile

from speechvq import audio
from speechvq.cli import speaking

RATE = 16000
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "kind", "subtype"),
    [
        ("a.opus", "OGG", "OPUS"),
        ("a.oga", "OGG", "VORBIS"),
        ("a.aif", "AIFF", "PCM_16"),
        ("a.AIFC", "AIFF", "ULAW"),
        ("a.au", "AU", "PCM_16"),
        ("a.caf", "CAF", "PCM_16"),
        ("a.w64", "W64", "PCM_24"),
        ("a.sph", "NIST", "PCM_16"),
    ],
)
def test_audio_of_any_kind_in_a_folder_is_found_and_read(tmp_path, name, kind, subtype):
    soundfile.write(tmp_path / name, NOISE, RATE, subtype, format=kind)
    (path,) = audio.find(tmp_path)
    assert len(audio.read(path)[0]) == RATE


@pytest.mark.parametrize("factor", [-1.0, -0.9])
@pytest.mark.parametrize("channels", [2, 4])
def test_channels_that_cancel_out_are_not_silent(tmp_path, factor, channels):
    stereo = np.stack([NOISE, factor * NOISE] * (channels // 2), axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, RATE, "FLOAT")
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav")[0], NOISE, atol=1e-6)


def test_channels_that_differ_are_averaged(tmp_path):
    for other in (np.roll(NOISE, 9), 0 * NOISE, 0.5 * NOISE):
        soundfile.write(tmp_path / "a.wav", np.stack([NOISE, other], 1), RATE, "FLOAT")
        expected = (NOISE + other) / 2
        np.testing.assert_allclose(audio.read(tmp_path / "a.wav")[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_process_that_is_told_to_end_leaves_nothing(tmp_path, name, suffix):
    number = getattr(signal, name)
    code = f"""
import sys, time, numpy as np
from speechvq.audio import Writer
writers = [Writer(f"{{sys.argv[1]}}/{{i}}{suffix}", 16000) for i in range(3)]
for w in writers: w.write(np.ones(1000))
writers[0].close()
print("ready", flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    # Under nohup, signals are ignored from the beginning
    default = partial(signal.signal, number, signal.SIG_DFL)
    with subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=default) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(30) == -number
    assert os.listdir(tmp_path) == [f"0{suffix}"]


def test_handlers_of_others_stay(tmp_path):
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        mine = signal.getsignal(signal.SIGTERM)
        audio.write(tmp_path / "a.wav", NOISE, RATE)
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
    time.sleep(0)


@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.opus", "a.aac", "a.txt", "a.wave"])
def test_an_output_that_cannot_be_written_is_no_folder(tmp_path, name):
    with pytest.raises(ValueError, match="use .wav or .flac"):
        speaking.is_audio_file(tmp_path / name)
    (tmp_path / name).mkdir()
    assert not speaking.is_audio_file(tmp_path / name)
    assert not speaking.is_audio_file(tmp_path / "converted")
    assert not speaking.is_audio_file(tmp_path / "exp-0.5")
    assert speaking.is_audio_file(tmp_path / "a.FLAC")


def encode_aac(path):
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(NOISE[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = RATE, 0
        for content in (frame, None):
            for packet in stream.encode(content):
                container.mux(packet)


@pytest.mark.parametrize("name", ["a.m4a", "a.aac"])
def test_aac_is_read_by_pyav(tmp_path, name):
    encode_aac(tmp_path / name)
    (path,) = audio.find(tmp_path)
    waveform, rate = audio.read(path)
    assert rate == RATE
    assert RATE <= len(waveform) <= RATE + 2048
    assert audio.info(path)[0] == pytest.approx(1, abs=0.13)
    best = max(np.corrcoef(waveform[i : i + 9000], NOISE[:9000])[0, 1] for i in (0, 1024))
    assert best > 0.5
    part, _ = audio.read(path, start=0.25, duration=0.5)
    np.testing.assert_array_equal(part, waveform[4000:12000])
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(audio.AudioError):
        audio.read(path)


@pytest.mark.parametrize("name", ["a.m4a", "a.wma", "b"])
def test_without_pyav_there_is_advice(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / name).write_bytes(b"\0\0\0\x20ftypM4A " + bytes(500))
    with pytest.raises(audio.AudioError, match=r"speechvq\[formats\].*ffmpeg -i"):
        audio.read(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html>404", "a web page"),
        (b"\n <html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "git lfs pull"),
    ],
)
def test_what_lies_there_instead_of_audio_is_named(tmp_path, content, reason):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(audio.AudioError, match=reason):
        audio.read(tmp_path / "a.wav")


def test_a_film_without_sound_is_closed(tmp_path):
    av = pytest.importorskip("av")
    with av.open(str(path := tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 16
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8))
        container.mux([*stream.encode(frame), *stream.encode()])
    before = len(os.listdir("/proc/self/fd"))
    kept = []
    for _ in range(3):
        with pytest.raises(ValueError, match="FFmpeg") as found:
            audio.read(path, RATE)
        kept.append(found)  # what the traceback refers to lives on
    assert len(os.listdir("/proc/self/fd")) == before
