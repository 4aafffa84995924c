"""Memory does not grow with the length of a recording."""

import itertools
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from speechvq import audio
from speechvq.config import StridedEncoderConfig
from speechvq.data.manifest import Utterance
from speechvq.data.same_speech import _hear
from speechvq.data.trim import find_sound
from speechvq.model import Model
from speechvq.sampling import encode_source, sample_into
from speechvq.training.recordings import read_recordings

RATE = 8000
SECONDS = (90, 300)
PART = 0.1
"""Of the further samples of a longer recording, the part that may be kept of them, such as codes
and the powers of frames."""


@pytest.fixture(scope="module")
def model(tiny_config):
    torch.manual_seed(0)
    encoder = StridedEncoderConfig(strides=(4, 4, 10), channels=8)
    model = Model(replace(tiny_config, encoder=encoder), ["a"]).eval()
    model.level.fill_(-26.0)  # so that all of a recording is looked at first
    return model


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A long file of noise with pauses, and a longer one."""
    folder = tmp_path_factory.mktemp("recordings")
    second = np.random.default_rng(0).uniform(-0.3, 0.3, RATE).astype(np.float32)
    paths = [folder / f"{seconds}.wav" for seconds in SECONDS]
    for path, seconds in zip(paths, SECONDS, strict=True):
        with audio.Writer(path, RATE) as writer:
            for i in range(seconds):
                writer.write(second * (i % 4 > 0))
    return paths


def peak(work) -> int:
    """Bytes that are held at most while something is done."""
    tracemalloc.start()
    try:
        kept = work()
        found = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    del kept
    return found


WORK = {
    "speech": lambda path, _: audio.find_speech(audio.blocks(path, 16000), 16000),
    "sound": lambda path, _: find_sound(audio.blocks(path), RATE),
    "copies": lambda path, _: _hear(Utterance("a", "me", str(path), audio.info(path)[0])),
    "encode": lambda path, model: encode_source(model, audio.Recording(path, RATE)),
    "enroll": lambda path, _: read_recordings([path], "me", RATE, level=-26.0),
}


@pytest.mark.parametrize("name", WORK)
def test_of_a_longer_recording(recordings, model, name):
    WORK[name](recordings[0], model)  # imports
    short, long = (peak(lambda path=path: WORK[name](path, model)) for path in recordings)
    assert long - short < PART * 4 * RATE * (SECONDS[1] - SECONDS[0])


def test_of_more_speech_to_draw(model, tmp_path):
    def draw(count):
        with audio.Writer(tmp_path / "a.wav", RATE) as writer:
            sample_into([writer], model, [np.zeros(count, int)], ["a"], threads=1)

    draw(50)  # compiles
    short, long = peak(lambda: draw(200)), peak(lambda: draw(2000))
    assert audio.info(tmp_path / "a.wav")[0] == 2000 * model.hop_length / RATE
    assert long - short < PART * 4 * 1800 * model.hop_length


def test_of_more_files(recordings, model):
    def encode_all(count):
        for path in itertools.repeat(recordings[0], count):
            encode_source(model, audio.Recording(path, RATE))

    encode_all(1)
    few, many = peak(lambda: encode_all(2)), peak(lambda: encode_all(8))
    assert many < 1.1 * few
