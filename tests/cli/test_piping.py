"""Audio through a pipe: files of any kind, and raw samples."""

import argparse
import io
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from speechvq import audio
from speechvq.cli import piping

RATE = 16000
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, RATE).astype(np.float32)


def pipe(monkeypatch, content, terminal=False):
    stdin = SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: terminal)
    monkeypatch.setattr("sys.stdin", stdin)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "AIFF"])
def test_a_file_from_stdin(monkeypatch, kind):
    file = io.BytesIO()
    soundfile.write(file, NOISE, RATE, format=kind)
    pipe(monkeypatch, file.getvalue())
    with piping.sources(["-"], None) as (found, piped):
        (path,) = found
        assert piped == {path}
        assert len(audio.read(path)[0]) == RATE
    assert not path.exists()


def test_a_wav_of_unknown_length_from_stdin(monkeypatch):
    samples = audio.to_pcm(NOISE).tobytes()
    pipe(monkeypatch, audio.stream_header(RATE) + samples)
    with piping.sources(["-"], None) as (found, _):
        np.testing.assert_allclose(audio.read(found[0])[0], NOISE, atol=1e-4)


@pytest.mark.parametrize("tail", [b"", b"\1"])
def test_raw_samples_from_stdin(monkeypatch, caplog, tail):
    pipe(monkeypatch, audio.to_pcm(NOISE).tobytes() + tail)
    with piping.sources(["-"], 8000) as (found, _):
        waveform, rate = audio.read(found[0])
    assert rate == 8000
    np.testing.assert_allclose(waveform, NOISE, atol=1e-4)
    assert not caplog.records


def test_a_named_pipe_beside_a_file(tmp_path):
    soundfile.write(tmp_path / "a.wav", NOISE, RATE)
    os.mkfifo(tmp_path / "pipe")
    content = (tmp_path / "a.wav").read_bytes()
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[content])
    writer.start()
    with piping.sources([str(tmp_path / "pipe"), str(tmp_path / "a.wav")], None) as (found, piped):
        assert len(found) == 2
        assert len(piped) == 1
        for path in found:
            assert len(audio.read(path)[0]) == RATE
    writer.join()


def test_what_cannot_be_piped(monkeypatch, tmp_path):
    pipe(monkeypatch, b"", terminal=True)
    with pytest.raises(ValueError, match="pipe it in"), piping.sources(["-"], None):
        pass
    for options in ({"src": [str(tmp_path)]}, {"src": None}):
        with pytest.raises(ValueError, match="--src -"):
            piping.check_pcm(argparse.Namespace(pcm=16000, **options))
    pipe(monkeypatch, b"")
    with piping.sources(["-"], None) as (found, _), pytest.raises(audio.AudioError, match="empty"):
        audio.read(found[0])


def test_errors_remove_the_temporary_file(monkeypatch):
    pipe(monkeypatch, b"no audio")
    with pytest.raises(audio.AudioError), piping.sources(["-"], None) as (found, _):
        audio.read(found[0])
    assert not Path(found[0]).exists()
