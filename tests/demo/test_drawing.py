"""What the demo draws: limits, blocks, files in memory."""

import io

import numpy as np
import pytest
import soundfile

from speechvq import audio, sampling
from speechvq.demo.drawing import BLOCK, FIRST_BLOCK, in_blocks, new_speech, read_speech, wav_bytes
from speechvq.prior_folder import load_prior
from speechvq.sampling import SamplingOptions
from speechvq.sampling.generation import sample_codes

RATE = 8000


@pytest.mark.parametrize("sizes", [[], [1], [3999, 1, 9000], [100] * 301, [50_000]], ids=len)
def test_blocks_are_the_chunks_gathered(sizes):
    whole = np.arange(sum(sizes), dtype=np.float32)
    chunks = np.split(whole, np.cumsum(sizes)[:-1]) if sizes else []
    blocks = list(in_blocks(chunks, RATE))
    assert np.array_equal(np.concatenate([whole[:0], *blocks]), whole)
    wanted = [FIRST_BLOCK, *[BLOCK] * len(blocks)]
    assert all(len(b) >= w * RATE for b, w in zip(blocks[:-1], wanted, strict=False))


def test_no_more_is_drawn_than_a_block_needs():
    chunks = iter([np.zeros(2000, np.float32)] * 9)
    assert len(next(in_blocks(chunks, RATE))) == 4000
    assert len(list(chunks)) == 7


def test_a_file_in_memory_is_that_on_the_disk(tmp_path):
    waveform = np.random.default_rng(0).uniform(-1.1, 1.1, 500).astype(np.float32)
    audio.write(tmp_path / "a.wav", waveform, RATE)
    expected, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    found, rate = soundfile.read(io.BytesIO(wav_bytes(waveform, RATE)), dtype="int16")
    assert rate == RATE
    assert np.array_equal(found, expected)


def test_recordings_are_limited(record, tmp_path):
    path = record("a.wav", 3.0)
    assert len(read_speech(path, RATE, 0.05)) == 3 * RATE
    for name, most, expected in (
        (path, 0.04, "a.wav: 0.1 minutes long; at most 0.04 are taken here"),
        (record("silent.wav", 3.0, loudness=0), 3, "silent from beginning to end"),
        (record("short.wav", 0.05), 3, "too short, 0.050 s"),
        (__file__, 3, "not audio that can be read"),
    ):
        with pytest.raises(audio.AudioError, match=expected):
            read_speech(name, RATE, most)


def test_new_speech_is_that_of_the_library(folder, model):
    from speechvq.model_folder import codebook_of

    prior = load_prior(folder, codebook_of(model))
    options = SamplingOptions(seed=3)
    codes, chunks = new_speech(model, prior, "p226", 0.5, 3)
    expected = sample_codes(prior, 50, ["p226"], options)[0]
    assert np.array_equal(codes, expected)
    speech = sampling.sample(model, expected, "p226", options)
    assert np.array_equal(np.concatenate(list(chunks)), speech)
