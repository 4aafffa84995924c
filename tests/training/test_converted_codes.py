"""Codes of conversions that take turns with an utterance's own."""

import numpy as np
import pytest
import torch

from speechvq.data.manifest import Utterance
from speechvq.data.segments import Waveforms
from speechvq.distributed import Processes
from speechvq.model import Model
from speechvq.sampling import SamplingOptions, encode, sample
from speechvq.training import converted_codes
from speechvq.training.converted_codes import ConvertedCodes
from speechvq.training.frozen_codes import FrozenCodes

RATE = 8000


@pytest.fixture
def model(tiny_streaming_config):
    torch.manual_seed(0)
    model = Model(tiny_streaming_config, ["p225", "p226"]).eval()
    waveform = 0.1 * torch.randn(1, 2 * RATE)
    with torch.no_grad():
        model.vqvae.quantizer.initialise(model.latents(waveform)[0])
    model.mel_predictor.fit(waveform)
    return model


@pytest.fixture
def waveforms():
    rng = np.random.default_rng(0)
    parts = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (8000, 6001)]
    utterances = [Utterance(f"{i}", "me", "", len(part) / RATE) for i, part in enumerate(parts)]
    return Waveforms(utterances, RATE, waveforms=parts)


@pytest.fixture
def own(model, waveforms):
    codes = FrozenCodes(model, waveforms, Processes("cpu"), False)
    codes.find()
    return codes


def test_conversions_and_own_codes_take_turns(model, waveforms, own):
    codes = ConvertedCodes(model, waveforms, own, ["p226"], seed=3)
    whole = own.crop(1, 0, -(-6001 // model.hop_length))
    expected = [  # the second of two utterances, in the first and second version
        encode(model, sample(model, whole, "p226", SamplingOptions(seed=seed))) for seed in (4, 6)
    ]
    for _ in range(2):
        for version in (*expected, whole):
            assert np.array_equal(codes.crop(1, 5, 20), version[5:25])
    assert not np.array_equal(*expected)
    ends = codes.crop(1, -2, len(whole) + 4)
    assert np.array_equal(ends[:3], expected[0][[0, 0, 0]])
    assert np.array_equal(ends[-3:], expected[0][[-1, -1, -1]])


def test_the_seed_decides(model, waveforms, own):
    one, same, other = (
        ConvertedCodes(model, waveforms, own, model.speakers, seed).crop(0, 0, 50)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_of_long_recordings_a_part_is_converted(model, waveforms, own, monkeypatch):
    monkeypatch.setattr(converted_codes, "MOST_SECONDS", 1.0)  # the first utterance alone
    codes = ConvertedCodes(model, waveforms, own, ["p226"], seed=0)
    for _ in range(3):
        assert np.array_equal(codes.crop(1, 0, 30), own.crop(1, 0, 30))
    assert not np.array_equal(codes.crop(0, 0, 30), own.crop(0, 0, 30))
