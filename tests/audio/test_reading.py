"""Audio files read whole: every format that is promised, every bad file that users have."""

import logging
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from speechvq import audio

RATE = 16000


def tone(rate=RATE, seconds=0.4, frequency=440.0):
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)).astype(
        np.float32
    )


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channels_come_as_one_channel_at_the_rate_asked_for(tmp_path, rate, channels):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.stack([tone(rate)] * channels, axis=1), rate)
    waveform, sample_rate = audio.read(path, RATE)
    assert (waveform.dtype, waveform.shape, sample_rate) == (np.float32, (6400,), RATE)
    middle = slice(800, -800)  # a resampler's ends differ
    np.testing.assert_allclose(waveform[middle], tone()[middle], atol=2e-3)


@pytest.mark.parametrize(
    ("suffix", "subtype", "tolerance"),
    [
        (".wav", "PCM_U8", 1e-2),
        (".wav", "PCM_16", 1e-4),
        (".wav", "PCM_24", 1e-6),
        (".wav", "PCM_32", 1e-6),
        (".wav", "FLOAT", 0),
        (".wav", "DOUBLE", 1e-7),
        (".wav", "ULAW", 2e-2),
        (".wav", "ALAW", 2e-2),
        (".wav", "MS_ADPCM", 5e-2),
        (".flac", "PCM_16", 1e-4),
        (".flac", "PCM_24", 1e-6),
        (".ogg", "VORBIS", 5e-2),
        (".ogg", "OPUS", 5e-2),
        (".mp3", "MPEG_LAYER_III", 5e-2),
    ],
)
def test_every_format_and_bit_depth(tmp_path, suffix, subtype, tolerance):
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, tone(), RATE, subtype=subtype)
    waveform, sample_rate = audio.read(path)
    assert sample_rate == RATE
    if subtype != "MS_ADPCM":  # which fills its last block
        assert len(waveform) == 6400
    np.testing.assert_allclose(waveform[500:5900], tone()[500:5900], atol=tolerance)
    assert audio.info(path) == (len(waveform) / RATE, RATE)


def test_a_codec_that_cannot_seek_is_read_too(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(8000), 8000, subtype="GSM610")
    whole, _ = audio.read(path)
    part, _ = audio.read(path, start=0.25, duration=0.1)
    np.testing.assert_array_equal(part, whole[2000:2800])


def test_channels_are_averaged(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([[0.5, 0.25]] * 100), RATE, subtype="FLOAT")
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav")[0], 0.375)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_a_part_is_the_same_samples_as_in_the_whole(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * 44100).astype(np.float32)
    soundfile.write(path, noise, 44100)
    whole, _ = audio.read(path)
    part, _ = audio.read(path, start=0.7, duration=0.5)
    np.testing.assert_allclose(part, whole[30870 : 30870 + 22050], atol=1e-6)


def test_a_part_stops_at_the_end_and_cannot_begin_after_it(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(), RATE)
    assert len(audio.read(tmp_path / "a.wav", start=0.3, duration=3)[0]) == 1600
    with pytest.raises(audio.AudioError, match=r"a\.wav: holds 0\.40 s, so nothing begins at 2"):
        audio.read(tmp_path / "a.wav", start=2.0)
    with pytest.raises(ValueError, match="negative"):
        audio.read(tmp_path / "a.wav", start=-1.0)


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.9])
@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_16"),
        ("a.wav", "PCM_24"),
        ("a.wav", "MS_ADPCM"),
        ("a.flac", "PCM_16"),
        ("a.ogg", "VORBIS"),
        ("a.ogg", "OPUS"),
        ("a.mp3", "MPEG_LAYER_III"),
    ],
)
def test_truncated_files_are_refused(tmp_path, capfd, name, subtype, fraction):
    path = tmp_path / name
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)
    soundfile.write(path, noise, RATE, subtype=subtype)
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(audio.AudioError) as error:
        audio.read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == "", "decoders must not chatter"


@pytest.mark.parametrize("suffix", [".flac", ".mp3"])
def test_damage_within_a_file_is_refused(tmp_path, capfd, suffix):
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 3 * RATE), RATE)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    path.write_bytes(content)
    with pytest.raises(audio.AudioError, match="damaged"):
        audio.read(path)
    assert capfd.readouterr().err == "", "decoders must not chatter"


def test_a_streamed_wav_of_unknown_size_is_not_taken_for_truncated(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    assert len(audio.read(path)[0]) == 6400


def test_chunks_around_the_samples_do_no_harm(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE)
    content = path.read_bytes()
    extra = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"
    content = content[:36] + extra + content[36:] + extra
    path.write_bytes(b"RIFF" + struct.pack("<I", len(content) - 8) + content[8:])
    assert len(audio.read(path)[0]) == 6400


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"This is not a recording.\n" * 40, "not audio"),
        (bytes(range(256)) * 300, "not audio"),
    ],
)
def test_files_that_are_no_audio(tmp_path, capfd, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    for look in (audio.read, audio.info):
        with pytest.raises(audio.AudioError, match=reason) as error:
            look(path)
        assert str(error.value).startswith(f"{path}: ")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["a.wav", "a.ogg"])
def test_zero_frames(tmp_path, name):
    soundfile.write(tmp_path / name, np.zeros(0), RATE)
    with pytest.raises(audio.AudioError, match="no samples"):
        audio.read(tmp_path / name)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path, bad):
    waveform = tone()
    waveform[77] = bad
    soundfile.write(tmp_path / "a.wav", waveform, RATE, subtype="FLOAT")
    with pytest.raises(audio.AudioError, match=r"a\.wav: holds NaN"):
        audio.read(tmp_path / "a.wav")


def test_floats_beyond_full_scale_are_clipped_with_a_word_or_refused(tmp_path, caplog):
    path = tmp_path / "a.wav"
    soundfile.write(path, 3 * tone(), RATE, subtype="FLOAT")
    with caplog.at_level(logging.WARNING):
        waveform, _ = audio.read(path)
    assert np.abs(waveform).max() == 1.0
    assert "clipped" in caplog.text
    soundfile.write(path, 30000 * tone(), RATE, subtype="FLOAT")
    with pytest.raises(audio.AudioError, match="full scale"):
        audio.read(path)


def test_resampling_stays_within_full_scale(tmp_path):
    square = np.where(np.arange(RATE) % 40 < 20, 1.0, -1.0)
    soundfile.write(tmp_path / "a.wav", square, RATE, subtype="FLOAT")
    assert np.abs(audio.read(tmp_path / "a.wav", 22050)[0]).max() <= 1.0


def test_missing_files_folders_and_dangling_links(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        audio.read(tmp_path / "a.wav")
    with pytest.raises(audio.AudioError, match="a folder"):
        audio.read(tmp_path)
    (tmp_path / "link.wav").symlink_to(tmp_path / "gone.wav")
    with pytest.raises(FileNotFoundError, match="link"):
        audio.read(tmp_path / "link.wav")


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
@pytest.mark.parametrize("to", [8000, 16000, 22050, 48000])
def test_resampling_in_pieces_is_resampling_at_once(tmp_path, rate, to):
    for T in (1, 7, 999, 30011):
        x = np.random.default_rng(T).uniform(-0.5, 0.5, T).astype(np.float32)
        soundfile.write(tmp_path / "a.wav", x, rate, subtype="FLOAT")
        expected = np.clip(x if rate == to else soxr.resample(x, rate, to), -1, 1)
        pieces = [x[:0], *audio.blocks(tmp_path / "a.wav", to, seconds=0.1)]
        assert len(pieces) > 5 or T < 30011
        for waveform in (audio.read(tmp_path / "a.wav", to)[0], np.concatenate(pieces)):
            assert waveform.shape == expected.shape
            np.testing.assert_allclose(waveform, expected, atol=1e-6)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_a_name_that_is_not_text(tmp_path, suffix):
    """The system can open it, and so can the library."""
    good = tmp_path / f"a{suffix}"
    soundfile.write(good, tone(), RATE)
    bad = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9" + suffix.encode()))
    bad.write_bytes(good.read_bytes())
    np.testing.assert_array_equal(audio.read(bad)[0], audio.read(good)[0])
    assert audio.info(bad) == audio.info(good) and not audio.is_drawn(bad)
    if suffix != ".mp3":
        audio.write(bad.with_suffix(".2" + suffix), tone(), RATE)
        assert len(audio.read(bad.with_suffix(".2" + suffix))[0]) == len(tone())
    bad.with_suffix(".m4a").write_bytes(b"none")
    with pytest.raises(audio.AudioError, match=r"caf\\xe9.m4a: a name that is not UTF-8"):
        audio.read(bad.with_suffix(".m4a"))
