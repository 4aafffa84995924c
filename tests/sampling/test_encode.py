"""Recordings of any length to codes, piece by piece as if at once."""

import sys

import numpy as np
import pytest
import torch
from frames import FramesConfig, OfFramesConfig

from speechvq.config import (
    ConditionerConfig,
    ModelConfig,
    QuantizerConfig,
    StridedEncoderConfig,
    WaveformConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from speechvq.model import Model
from speechvq.sampling.encode import encode, encode_blocks, latents

encoding = sys.modules["speechvq.sampling.encode"]  # in the package the name is the function's

CONFIGS = {
    "paper": StridedEncoderConfig(strides=(2, 2, 2, 2, 2, 2), channels=16),
    "norm": StridedEncoderConfig(strides=(4, 4, 5, 8), channels=16, residual_layers=2, norm=True),
    "odd": StridedEncoderConfig(strides=(3, 5, 2), channels=16, residual_layers=1),
    "filterbank": StridedEncoderConfig(
        strides=(160, 4), channels=(24, 16), filterbank=True, residual_layers=2, norm=True
    ),
    "frames": OfFramesConfig(),
}


@pytest.fixture(params=CONFIGS)
def model(request):
    torch.manual_seed(0)
    config = ModelConfig(
        features=FramesConfig(128) if request.param == "frames" else WaveformConfig(),
        encoder=CONFIGS[request.param],
        quantizer=QuantizerConfig(codebook_size=64, codebook_dim=8),
        decoder=WaveNetDecoderConfig(
            conditioner=ConditionerConfig(channels=4), wavenet=WaveNetConfig(1, 1, 2, 4, 4, 4)
        ),
    )
    model = Model(config, ["a"]).eval()
    with torch.no_grad():  # untrained, all latents are alike: put the codes among them
        z = model.latents(torch.from_numpy(noise(64 * config.hop_length))[None])[0]
        model.vqvae.quantizer.codebook.copy_(z)
    return model


def noise(T):
    rng = np.random.default_rng(0)
    x = np.diff(rng.standard_normal(T + 1)) / 5  # nothing below the voice
    return x.clip(-1, 1).astype(np.float32)


def test_a_long_recording_has_the_codes_of_the_whole(model, monkeypatch):
    waveform = noise(40 * model.hop_length + 17)
    expected = model.encode(torch.from_numpy(waveform)[None])[0].numpy()
    assert len(set(expected.tolist())) > 10
    for codes in (1, 3, 8, 39, 40, 41, 100):
        monkeypatch.setattr(encoding, "ENCODED_SECONDS", codes / model.frame_rate)
        np.testing.assert_array_equal(encode(model, waveform), expected)


@pytest.mark.parametrize("seed", range(5))
def test_pieces_of_any_lengths_have_the_codes_of_the_whole(model, monkeypatch, seed):
    rng = np.random.default_rng(seed)
    waveform = noise(int(rng.integers(1, 40 * model.hop_length)))
    expected = model.encode(torch.from_numpy(waveform)[None])[0].numpy()
    cuts = np.sort(rng.integers(0, len(waveform) + 1, 30))
    cuts[:5] = cuts[5]  # empty pieces, too
    monkeypatch.setattr(encoding, "ENCODED_SECONDS", rng.integers(1, 12) / model.frame_rate)
    codes = list(encode_blocks(model, np.split(waveform, cuts)))
    assert min(map(len, codes)) > 0
    np.testing.assert_array_equal(np.concatenate(codes), expected)
    single = (waveform[t : t + 1] for t in range(len(waveform)))
    np.testing.assert_array_equal(np.concatenate(list(encode_blocks(model, single))), expected)


def test_codes_come_as_soon_as_what_they_depend_on(model, monkeypatch):
    hop, chunk = model.hop_length, 4
    monkeypatch.setattr(encoding, "LEVEL_SECONDS", 1 / model.sample_rate)
    margin = -(-model.receptive_field // hop)
    monkeypatch.setattr(encoding, "ENCODED_SECONDS", chunk / model.frame_rate)
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield np.full(1, 0.1 if read % 16 < 8 else -0.1)  # no constant, which is no speech

    codes = encode_blocks(model, endless())
    for given in range(1, 4):
        assert len(next(codes)) == chunk
        assert read == (given * chunk + margin) * hop
        assert not torch.is_inference_mode_enabled(), "that is for the encoder alone"


def test_without_its_neighbours_a_piece_would_differ(model, monkeypatch):
    """The test above can fail."""
    waveform = noise(40 * model.hop_length)
    expected = model.encode(torch.from_numpy(waveform)[None])[0].numpy()
    monkeypatch.setattr(encoding, "ENCODED_SECONDS", 2 / model.frame_rate)
    monkeypatch.setattr(Model, "receptive_field", 0)
    assert (encode(model, waveform) != expected).any()


def test_memory_is_bounded(model, monkeypatch):
    lengths = []
    whole = model.latents

    def encode_piece(piece):
        lengths.append(piece.shape[-1])
        return whole(piece)

    monkeypatch.setattr(model, "latents", encode_piece)
    monkeypatch.setattr(encoding, "ENCODED_SECONDS", 0.5)
    waveform = noise(model.sample_rate * 5)
    assert len(encode(model, waveform)) == -(-len(waveform) // model.hop_length)
    assert len(lengths) >= 10
    bound = model.sample_rate // 2 + 4 * model.receptive_field
    assert max(lengths) <= bound
    lengths.clear()
    list(encode_blocks(model, np.array_split(waveform, 100)))
    assert len(lengths) >= 10
    assert max(lengths) <= bound


def test_no_codes_keep_those_of_a_whole_piece(model):
    """Views would, and lie between the pieces' large arrays: memory then grows with each."""
    pieces = list(encode_blocks(model, [noise(25 * model.sample_rate)]))
    assert len(pieces) == 3
    assert all(piece.flags.owndata for piece in pieces)


def test_no_sample_beyond_the_receptive_field_matters(model):
    """By gradients: all that one latent depends on lies within the receptive field."""
    hop = model.hop_length
    x = torch.randn(1, 41 * hop, dtype=torch.float32, requires_grad=True)
    model.latents(x)[0, 20].square().sum().backward()
    depends = x.grad[0].nonzero()[:, 0]
    assert len(depends) > hop
    span = int(depends.max() - depends.min()) + 1
    field = model.receptive_field
    assert field / 2 < span <= field
    margin = -(-field // hop) * hop
    assert depends.min() >= 20 * hop - margin
    assert depends.max() < 21 * hop + margin


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros(0), r"expected shape \(T,\), T at least 1, got \(0,\)"),
        (np.zeros((2, 100)), r"got \(2, 100\)"),
        (np.array([0.0, np.nan]), "NaN or infinite"),
        (np.array([0.0, np.inf]), "NaN or infinite"),
    ],
)
def test_what_is_refused(model, waveform, message):
    with pytest.raises(ValueError, match=message):
        encode(model, waveform)
    with pytest.raises(ValueError, match=message):
        list(encode_blocks(model, [waveform]))


def test_no_pieces_are_refused(model):
    with pytest.raises(ValueError, match="T at least 1"):
        list(encode_blocks(model, []))


@pytest.mark.parametrize("level", [None, -50.0])
def test_latents_are_those_of_the_codes(model, level):
    if level is not None:
        model.level.fill_(level)
    waveform = noise(40 * model.hop_length + 17)
    found = latents(model, waveform)
    assert found.dtype == np.float32 and found.shape == (41, 8)
    nearest = model.vqvae.quantizer.nearest(torch.from_numpy(found)[None])[0]
    assert np.array_equal(nearest.numpy(), encode(model, waveform))
