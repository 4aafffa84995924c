"""Headers that are wrong: the samples that are there are read, or the file is refused."""

import contextlib
import io
import logging
import struct

import numpy as np
import pytest
import soundfile

from speechvq import audio

RATE = 16000
T = 12000
NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, T).astype(np.float32)
KINDS = ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "NIST"]


def encoded(kind, subtype="PCM_16", channels=1):
    file = io.BytesIO()
    soundfile.write(file, np.stack([NOISE] * channels, 1), RATE, subtype, format=kind)
    return bytearray(file.getvalue())


def state(kind, content, length):
    """Make the header state so many bytes of samples; None is the form's own word for unknown."""
    content = bytearray(content)
    if kind == "NIST":
        count = b"" if length is None else b"sample_count -i %-5d" % (length // 2)
        return content.replace(b"sample_count -i 12000", count.ljust(21))
    at, form, beyond, unknown = {
        "WAV": (40, "<I", 0, 0xFFFFFFFF),
        "RF64": (content.find(b"ds64") + 16, "<Q", 0, (1 << 63) - 1),
        "W64": (content.find(b"data") + 16, "<q", 24, (1 << 63) - 1),
        "AIFF": (content.find(b"SSND") + 4, ">I", 8, 0xFFFFFFFF),
        "AU": (8, ">I", 0, 0xFFFFFFFF),
        "CAF": (content.find(b"data", 100) + 4, ">q", 4, -1),
    }[kind]
    struct.pack_into(form, content, at, unknown if length is None else length + beyond)
    return content


def read(tmp_path, content, name="a.bin"):
    path = tmp_path / name
    path.write_bytes(content)
    waveform, rate = audio.read(path)
    assert audio.info(path) == (len(waveform) / RATE, RATE)
    assert rate == RATE
    return waveform


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "length", [0, 2, T, 2 * T - 44, 2 * T - 2, 2 * T + 2, 2 * T + 44, 2 * T + 64, None]
)
def test_a_wrong_size_in_a_header_loses_no_samples(tmp_path, caplog, kind, length):
    waveform = read(tmp_path, state(kind, encoded(kind), length))
    np.testing.assert_allclose(waveform, NOISE, atol=1e-4)
    assert len(warnings(caplog)) == 1, "one warning, however often the file is opened"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_that_lacks_its_last_byte_is_read_to_its_last_whole_sample(
    tmp_path, caplog, kind, channels
):
    waveform = read(tmp_path, encoded(kind, channels=channels)[:-1])
    np.testing.assert_allclose(waveform, NOISE[:-1], atol=1e-4)
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("kind", [*KINDS, "FLAC", "MP3", "OGG"])
@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.8])
def test_truncated_files_are_refused(tmp_path, capfd, kind, fraction):
    subtype = {"MP3": "MPEG_LAYER_III", "OGG": "VORBIS"}.get(kind, "PCM_16")
    content = encoded(kind, subtype)
    if kind in ("FLAC", "MP3") and fraction == 0.8:
        pytest.skip("no more than the last block is missing: read with a warning")
    path = tmp_path / "a.bin"
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(audio.AudioError, match="truncated"):
        audio.read(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tail", [b"TAG" + bytes(125), b"LIST\4\0\0\0INFO", b"abcd\0\0\0\0"])
def test_what_follows_the_samples_is_no_sound(tmp_path, caplog, kind, tail):
    if not tail.startswith(b"TAG") and kind not in ("WAV", "RF64"):
        pytest.skip("chunks of another form")
    np.testing.assert_allclose(read(tmp_path, encoded(kind) + tail), NOISE, atol=1e-4)
    assert not warnings(caplog)


@pytest.mark.parametrize(
    ("kind", "subtype"),
    [
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("WAV", "MS_ADPCM"),
        ("AIFF", "ULAW"),
        ("AU", "ULAW"),
        ("CAF", "ALAC_16"),
        ("NIST", "ULAW"),
        ("FLAC", "PCM_24"),
        ("OGG", "OPUS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_sound_files_of_other_codings_are_read_without_a_word(tmp_path, caplog, kind, subtype):
    assert abs(len(read(tmp_path, encoded(kind, subtype))) - T) < 1100  # ADPCM fills its block
    assert not [w for w in warnings(caplog) if "clipped" not in w]


def test_an_unpadded_chunk_of_odd_length(tmp_path, caplog):
    content = encoded("WAV")
    content[36:36] = b"LIST\5\0\0\0INFOx"
    np.testing.assert_allclose(read(tmp_path, content), NOISE, atol=1e-4)
    assert "pad byte" in caplog.text


def flac(total):
    content = encoded("FLAC")
    content[21] = content[21] & 0xF0
    content[22:26] = struct.pack(">I", total)
    return content


@pytest.mark.parametrize("total", [0, 1, T // 2, T - 1, T + 1, T + 22])
def test_a_flac_is_as_long_as_its_frames(tmp_path, caplog, total):
    np.testing.assert_allclose(read(tmp_path, flac(total), "a.flac"), NOISE, atol=1e-4)
    assert len(warnings(caplog)) == 1
    assert f"{T} samples that are there" in caplog.text
    np.testing.assert_allclose(
        audio.read(tmp_path / "a.flac", start=0.5, duration=0.1)[0], NOISE[8000:9600], atol=1e-4
    )


@pytest.mark.parametrize("total", [0, T])
def test_a_flac_whose_last_block_is_cut_is_read_up_to_it(tmp_path, caplog, total):
    np.testing.assert_allclose(read(tmp_path, flac(total)[:-1], "a.flac"), NOISE[:8192], atol=1e-4)
    assert "the last block is cut" in caplog.text


def mp3():
    content = encoded("MP3", "MPEG_LAYER_III")
    at = max(content.find(b"Xing"), content.find(b"Info"))
    assert at > 0
    return content, at


@pytest.mark.parametrize("frames", [0, 1, 10])
def test_an_mp3_is_as_long_as_its_frames(tmp_path, caplog, capfd, frames):
    content, at = mp3()
    whole = read(tmp_path, content)
    content[at + 8 : at + 12] = struct.pack(">I", frames)
    waveform = read(tmp_path, content, "wrong.mp3")
    assert len(whole) <= len(waveform) < len(whole) + 2304
    assert "all are read" in caplog.text
    assert capfd.readouterr().err == ""


def test_an_mp3_of_varying_rate_without_a_length_is_read_whole(tmp_path, caplog):
    content, at = mp3()
    content[at : at + 4] = bytes(4)
    assert len(read(tmp_path, content, "a.mp3")) >= T


def test_ogg_without_its_end_or_with_another_stream_after_it(tmp_path, caplog):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * RATE)
    soundfile.write(tmp_path / "a.ogg", noise, RATE)
    content = (tmp_path / "a.ogg").read_bytes()
    assert RATE < len(read(tmp_path, content[: content.rfind(b"OggS")], "b.ogg")) < 5 * RATE
    assert "not ended" in caplog.text
    (tmp_path / "c.ogg").write_bytes(2 * content)
    with pytest.raises(audio.AudioError, match="several streams"):
        audio.read(tmp_path / "c.ogg")


def test_headers_of_nonsense_raise_no_other_error(tmp_path):
    rng = np.random.default_rng(0)
    for kind in [*KINDS, "FLAC"]:
        content = encoded(kind)[:3000]
        for i in range(60):
            damaged = bytearray(content)
            for at in rng.integers(4, 120, 4):
                damaged[at] = rng.integers(256)
            path = tmp_path / f"{kind}{i}.bin"
            path.write_bytes(damaged)
            with contextlib.suppress(audio.AudioError):
                audio.read(path)
