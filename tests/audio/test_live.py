"""Audio that comes through a pipe."""

import os
import struct
import threading

import numpy as np
import pytest
import soundfile

from speechvq import audio
from speechvq.audio.live import SECONDS

RATE = 16000


def wave(size: int | None, samples: np.ndarray, rate: int = RATE, channels: int = 1) -> bytes:
    """A WAV file of 16-bit samples whose header states `size` bytes; the true size if None."""
    data = samples.astype("<i2").tobytes()
    size = len(data) if size is None else size
    form = struct.pack("<HHIIHH", 1, channels, rate, 2 * channels * rate, 2 * channels, 16)
    riff = struct.pack("<I", min(2**32 - 1, 36 + size))
    return b"RIFF" + riff + b"WAVEfmt \x10\0\0\0" + form + b"data" + struct.pack("<I", size) + data


def read(content: bytes, sample_rate: int = RATE, **options) -> np.ndarray:
    """What `live_blocks` gives for what is written into a pipe."""
    out, into = os.pipe()

    def write():
        with os.fdopen(into, "wb") as pipe:
            pipe.write(content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return np.concatenate(list(audio.live_blocks(out, sample_rate, **options)))
    finally:
        os.close(out)
        writer.join()


@pytest.fixture
def samples():
    return np.random.default_rng(0).integers(-9000, 9000, 3001)


@pytest.mark.parametrize("size", [None, 2**32 - 1, 0x7FFFF000], ids=["true", "unknown", "large"])
def test_wav_of_any_stated_length(samples, size):
    np.testing.assert_array_equal(read(wave(size, samples)), (samples / 32768).astype(np.float32))


def test_raw_samples(samples):
    content = samples.astype("<i2").tobytes()
    found = read(content, pcm_rate=RATE)
    np.testing.assert_array_equal(found, (samples / 32768).astype(np.float32))


def test_channels_are_averaged_and_other_rates_resampled(samples):
    pairs = np.stack([samples[:3000], samples[:3000] // 2], 1)
    found = read(wave(None, pairs.ravel(), channels=2))
    np.testing.assert_allclose(found, pairs.mean(1) / 32768, atol=1e-6)
    time_axis = np.arange(8000) / 8000
    tone = 8000 * np.sin(2 * np.pi * 440 * time_axis)
    found = read(wave(None, tone, rate=8000))
    assert len(found) == 16000
    expected = 8000 / 32768 * np.sin(2 * np.pi * 440 * np.arange(16000) / RATE)
    np.testing.assert_allclose(found[500:-500], expected[500:-500], atol=2e-3)


def test_blocks_come_while_the_pipe_is_open():
    out, into = os.pipe()
    blocks = audio.live_blocks(out, RATE, pcm_rate=RATE)
    samples = round(SECONDS * RATE)
    os.write(into, bytes(2 * samples))
    assert len(next(blocks)) == samples  # the pipe is still open
    os.write(into, bytes(2 * 100))
    os.close(into)
    assert sum(map(len, blocks)) == 100
    os.close(out)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no audio at all, and long enough to be examined" * 4, "stdin: not a WAV file"),
        (b"", "stdin: not a WAV file"),
        (wave(0, np.zeros(100)), "stdin: no samples came, or its header says"),
    ],
)
def test_what_is_no_audio(content, message):
    with pytest.raises(audio.AudioError, match=message):
        read(content)


def test_what_ends_too_early_is_told_after_what_came(samples):
    out, into = os.pipe()
    os.write(into, wave(None, samples)[: 44 + 2 * 2000])
    os.close(into)
    came = []
    with pytest.raises(audio.AudioError, match=r"stdin: truncated, 0\.12 s of 0\.19 s"):
        came.extend(audio.live_blocks(out, RATE))
    os.close(out)
    assert sum(map(len, came)) == 2000


@pytest.mark.parametrize("rate", [1, 999, 10**6 + 1])
def test_a_rate_of_no_speech(samples, rate):
    with pytest.raises(audio.AudioError, match=f"stdin: the header states a sample rate of {rate}"):
        read(wave(None, samples, rate))


def test_a_decoder_that_fails(samples, monkeypatch):
    def fail(*_: object) -> None:
        raise soundfile.LibsndfileError(1)

    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    with pytest.raises(audio.AudioError, match=r"stdin: damaged after 0\.00 s"):
        read(wave(None, samples))


def test_not_finite():
    form = struct.pack("<HHIIHH", 3, 1, RATE, 4 * RATE, 4, 32)
    data = np.array([0, np.nan, 0], "<f4").tobytes()
    content = b"RIFF" + struct.pack("<I", 36 + 12) + b"WAVEfmt \x10\0\0\0" + form
    with pytest.raises(audio.AudioError, match="stdin: holds NaN"):
        read(content + b"data" + struct.pack("<I", 12) + data)
