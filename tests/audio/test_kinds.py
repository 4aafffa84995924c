"""Files of other kinds, channels that cancel out, and processes that are told to end."""

import os
import signal
import subprocess
import sys
import time

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
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
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
