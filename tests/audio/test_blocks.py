"""Audio files read piece by piece: the same as at once, in bounded memory."""

import logging
import os
import tracemalloc

import numpy as np
import pytest
import soundfile

from speechvq import audio

RATE = 16000


def noise(T):
    return np.random.default_rng(0).uniform(-0.5, 0.5, T).astype(np.float32)


@pytest.mark.parametrize(
    ("suffix", "subtype", "rate"),
    [
        (".wav", "PCM_16", 44100),
        (".wav", "FLOAT", 16000),
        (".wav", "MS_ADPCM", 16000),
        (".wav", "GSM610", 8000),  # which cannot seek
        (".flac", "PCM_24", 48000),
        (".ogg", "VORBIS", 22050),
        (".ogg", "OPUS", 48000),
        (".mp3", "MPEG_LAYER_III", 44100),
        (".mp3", "MPEG_LAYER_III", 22050),
        (".mp3", "MPEG_LAYER_III", 11025),
    ],
)
def test_pieces_are_the_whole(tmp_path, suffix, subtype, rate):
    """Also of parts, wherever they begin: MP3 frames build upon earlier ones."""
    path = tmp_path / f"a{suffix}"
    soundfile.write(path, noise(3 * rate), rate, subtype=subtype)
    whole, _ = audio.read(path)
    for seconds in (0.013, 0.3, 5.0):
        for start, duration in ((0.0, None), (0.5, 0.7), (0.3, None), (2.11, 9.0)):
            pieces = list(audio.blocks(path, None, start, duration, seconds))
            length = min(len(whole) - round(start * rate), round((duration or 9) * rate))
            expected = whole[round(start * rate) :][:length]
            np.testing.assert_allclose(np.concatenate(pieces), expected, atol=1e-6)
            assert {piece.dtype for piece in pieces} == {np.dtype(np.float32)}
            assert max(map(len, pieces)) <= round(seconds * rate)
            assert min(map(len, pieces)) > 0
            assert len(pieces) >= length // round(seconds * rate)


def test_parts_resampled(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(60000).reshape(-1, 2), 22050)
    whole, _ = audio.read(tmp_path / "a.wav", RATE, 0.4, 0.8)
    assert len(whole) == 0.8 * RATE
    pieces = list(audio.blocks(tmp_path / "a.wav", RATE, 0.4, 0.8, 0.1))
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)
    assert len(pieces) >= 8


def test_nothing_of_a_file_is_no_piece(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(1000), 8000)
    assert list(audio.blocks(tmp_path / "a.wav", RATE, 0.01, 0.0)) == []
    assert audio.read(tmp_path / "a.wav", RATE, 0.01, 0.0)[0].shape == (0,)


def test_what_is_refused_before_the_first_piece(tmp_path):
    path = tmp_path / "a.wav"
    with pytest.raises(FileNotFoundError, match="no such file"):
        next(audio.blocks(path))
    soundfile.write(path, noise(1000), RATE)
    for arguments, reason in (
        ({"start": 2.0}, "nothing begins at 2"),
        ({"start": -1.0}, "negative"),
        ({"sample_rate": 0}, "positive"),
        ({"seconds": 0}, "positive"),
    ):
        with pytest.raises(ValueError, match=reason):
            next(audio.blocks(path, **arguments))


@pytest.mark.parametrize(("bad", "reason"), [(np.nan, "NaN"), (9.0, "samples reach 9 where")])
@pytest.mark.parametrize("sample_rate", [None, 8000])
def test_bad_samples_are_met_on_the_way(tmp_path, bad, reason, sample_rate):
    waveform = noise(RATE)
    waveform[10001] = bad
    soundfile.write(tmp_path / "a.wav", waveform, RATE, subtype="FLOAT")
    blocks = audio.blocks(tmp_path / "a.wav", sample_rate, seconds=0.25)
    assert len([next(blocks), next(blocks)]) == 2
    with pytest.raises(audio.AudioError, match=rf"a\.wav: .*{reason}"):
        next(blocks)


def test_damage_is_met_on_the_way(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, noise(RATE), RATE)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    path.write_bytes(content)
    blocks = audio.blocks(path, seconds=0.1)
    assert len(next(blocks)) == 1600
    with pytest.raises(
        audio.AudioError, match=r"a\.flac: .*damaged between 0\.[2-5]0 and 0\.[3-6]0 s"
    ):
        list(blocks)


@pytest.mark.parametrize("sample_rate", [None, 8000])
def test_one_word_of_clipping_with_the_highest_peak(tmp_path, caplog, sample_rate):
    waveform = noise(RATE)
    waveform[[10, 9000, 15000]] = [1.2, -1.7, 1.3]
    soundfile.write(tmp_path / "a.wav", waveform, RATE, subtype="FLOAT")
    with caplog.at_level(logging.WARNING):
        pieces = list(audio.blocks(tmp_path / "a.wav", sample_rate, seconds=0.1))
    assert max(np.abs(piece).max() for piece in pieces) <= 1.0
    assert [record.getMessage().split(": ")[1] for record in caplog.records] == [
        "samples reach 1.70; clipped to [-1, 1]"
    ]


def test_stderr_is_kept_quiet_while_decoding_only(tmp_path, capfd):
    soundfile.write(tmp_path / "a.mp3", noise(RATE), RATE)
    for i, _ in enumerate(audio.blocks(tmp_path / "a.mp3", seconds=0.3)):
        os.write(2, f"{i} ".encode())
    assert capfd.readouterr().err == "0 1 2 3 "


def test_memory_is_bounded(tmp_path):
    with audio.Writer(tmp_path / "a.wav", 8000) as writer:
        for _ in range(60):
            writer.write(noise(8000))
    tracemalloc.start()
    try:
        T = sum(len(piece) for piece in audio.blocks(tmp_path / "a.wav", RATE, seconds=0.5))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert T == 60 * RATE
    assert peak < 4 * T / 10
