"""A decoder of another kind, with a method `sample` of its own, behind the same functions."""

import numpy as np
import pytest
import torch
from torch import nn

from speechvq import sampling
from speechvq.model import Model
from speechvq.sampling import SamplingOptions


class Vocoder(nn.Module):
    """Repeats each code vector's mean, shifted by the speaker, with some noise."""

    def __init__(self, hop_length: int):
        super().__init__()
        self.hop_length = hop_length
        self.utterances = []

    def sample(self, quantized, speaker, random):
        self.utterances.append((quantized.clone(), speaker))
        means = quantized.mean(1).repeat_interleave(self.hop_length) / 10 + speaker / 10
        return means + torch.from_numpy(0.01 * random.standard_normal(len(means)))


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    model = Model(tiny_config, ["a", "b"]).eval()
    model.vqvae.decoder = Vocoder(model.hop_length)
    return model


@pytest.fixture
def codes():
    return np.random.default_rng(0).integers(0, 8, 200)


def test_what_the_decoder_is_given(model, codes):
    waveform = sampling.sample(model, codes, "b", SamplingOptions(seed=3))
    assert waveform.shape == (len(codes) * model.hop_length,) and waveform.dtype == np.float32
    ((quantized, speaker),) = model.vqvae.decoder.utterances
    torch.testing.assert_close(quantized, model.vqvae.quantizer.codebook[torch.from_numpy(codes)])
    assert speaker == 1
    noise = 0.01 * np.random.Generator(np.random.PCG64(3)).standard_normal(len(waveform))
    means = quantized.mean(1).repeat_interleave(model.hop_length).numpy() / 10 + 0.1
    np.testing.assert_allclose(waveform, means + noise, atol=1e-6)


def test_batches_streams_and_conversions(model, codes):
    seeds, told = [5, 6], []
    pair = [codes, codes[:9]]
    batch = sampling.sample_batch(model, pair, ["a", "b"], seeds=seeds, progress=told.append)
    assert sum(told) == sum(map(len, batch))
    for waveform, one, speaker, seed in zip(batch, pair, "ab", seeds, strict=True):
        options = SamplingOptions(seed=seed)
        np.testing.assert_array_equal(waveform, sampling.sample(model, one, speaker, options))
        chunks = list(sampling.stream(model, np.split(one, [3, 4]), speaker, options))
        np.testing.assert_array_equal(np.concatenate(chunks), waveform)
    assert list(sampling.stream(model, [], "a")) == []
    source = np.sin(np.arange(1005)).astype(np.float32) / 2
    converted = sampling.convert(model, source, "b")
    assert converted.shape == source.shape
    chunks = list(sampling.convert_blocks(model, np.split(source, [100, 101]), "b"))
    np.testing.assert_array_equal(np.concatenate(chunks), converted)


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.9},
        {"top_k": 3},
        {"top_p": 0.5},
        {"precision": "bfloat16"},
        {"guidance": 0.3},
    ],
)
def test_options_that_the_decoder_cannot_follow(model, codes, options):
    with pytest.raises(ValueError, match="draws from its own distribution only"):
        sampling.sample(model, codes, "a", SamplingOptions(**options))


@pytest.mark.parametrize(
    ("drawn", "message"),
    [(np.zeros(3), r"shape \(3200,\), got shape \(3,\)"), (np.full(3200, np.nan), "NaN")],
)
def test_a_decoder_that_gives_no_waveform(model, codes, drawn, message, monkeypatch):
    monkeypatch.setattr(model.vqvae.decoder, "sample", lambda *_: drawn)
    with pytest.raises(ValueError, match=message):
        sampling.sample(model, codes, "a")


def test_what_is_refused(model, codes):
    with pytest.raises(ValueError, match="unknown speaker 'c'"):
        sampling.sample(model, codes, "c")
    with pytest.raises(ValueError, match="codes: 9 is out of range"):
        sampling.sample(model, np.array([9]), "a")
    with pytest.raises(ValueError, match="seed: must be a whole number, 0 or more"):
        sampling.sample_batch(model, [codes], ["a"], seeds=[-1])
