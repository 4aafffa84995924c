"""Bottlenecks in the quantizer's place, and what is measured of them."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from speechvq.analysis.collapse import code_bits
from speechvq.config import LikelihoodStage
from speechvq.data.manifest import read_manifest
from speechvq.data.segments import Waveforms
from speechvq.evaluation.bottlenecks import Bottleneck, GaussianBottleneck, NoLatents
from speechvq.evaluation.collapse import (
    GAUSSIAN,
    NOTHING,
    VQ,
    evaluate_collapse,
    first_model,
    likelihoods,
    passed,
    train_model,
)
from speechvq.models.vqvae import VQVAE

HOP = 16


@pytest.fixture(scope="module")
def speech(tiny_corpus, tiny_config):
    rate = tiny_config.sample_rate
    return tuple(Waveforms(read_manifest(p), rate) for p in (tiny_corpus.train, tiny_corpus.test))


def test_the_kl_divergence_is_that_of_torch():
    torch.manual_seed(0)
    bottleneck = GaussianBottleneck(4, HOP)
    latents = torch.randn(2, 5, 4)
    mean, log_variance = bottleneck.moments(latents).chunk(2, -1)
    expected = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(-1)
    found = bottleneck(latents).codebook_loss.item() * HOP
    assert found == pytest.approx(expected.mean().item())


def test_the_loss_is_the_negative_elbo(tiny_config, speech):
    """In nats per sample: the mean of log p, and the KL divergences over the samples."""
    model = first_model(tiny_config, speech[0], lambda: GaussianBottleneck(4, HOP), 0).eval()
    x, speaker = torch.rand(1, 10 * HOP) - 0.5, torch.tensor([1])
    torch.manual_seed(3)
    loss = model.vqvae(x, speaker).loss
    torch.manual_seed(3)
    mean, log_variance = model.vqvae.quantizer.moments(model.vqvae.encoder(x)).chunk(2, -1)
    sigma = (log_variance / 2).exp()
    z = mean + sigma * torch.randn_like(mean)
    log_p = model.vqvae.decoder.log_likelihood(x, z, speaker).sum()
    kl = kl_divergence(Normal(mean, sigma), Normal(0.0, 1.0)).sum()
    assert loss.item() == pytest.approx((kl - log_p).item() / x.numel(), rel=1e-5)


def test_samples_have_the_moments():
    torch.manual_seed(0)
    bottleneck = GaussianBottleneck(1, HOP)
    with torch.no_grad():
        bottleneck.moments.weight.zero_()
        bottleneck.moments.bias.copy_(torch.tensor([2.0, math.log(9.0)]))
    z = bottleneck(torch.zeros(1, 20000, 1)).quantized
    assert z.mean().item() == pytest.approx(2, abs=0.1)
    assert z.std().item() == pytest.approx(3, abs=0.1)


def test_what_passes():
    latents = torch.randn(1, 3, 4, requires_grad=True)
    assert torch.equal(Bottleneck()(latents).quantized, latents)
    nothing = NoLatents()(latents).quantized
    assert not nothing.any()
    nothing.sum().backward()
    assert not latents.grad.any()  # zero, and there: the trainer wants a gradient of each weight


def test_no_bottleneck_changes_the_papers_files(tiny_config, speech):
    model = first_model(tiny_config, speech[0], NoLatents, 0)
    assert type(model.vqvae) is VQVAE
    same = first_model(tiny_config, speech[0], lambda: None, 0)
    for ours, theirs in zip(model.vqvae.decoder.parameters(), same.vqvae.decoder.parameters(),
                            strict=True):  # fmt: skip
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("make", [Bottleneck, NoLatents, lambda: GaussianBottleneck(4, HOP)])
def test_each_can_be_trained(make, tiny_config, speech):
    model = first_model(tiny_config, speech[0], make, 0)
    before = [p.detach().clone() for p in model.vqvae.decoder.parameters()]
    config = LikelihoodStage(steps=2, batch_size=2, segment_length=160, warmup_steps=1)
    train_model(model, speech, config, 0)
    after = model.vqvae.decoder.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not model.training


def test_bits_of_codes_by_hand():
    found = code_bits([np.array([0, 0, 0]), np.array([1, 1])], [np.array([0, 1, 2])], 4)
    counts = np.array([4, 3, 1]) / 9  # one more than is counted of each of 4 codes
    assert found == [pytest.approx(-np.log2(counts).sum())]


def test_the_whole_experiment(tiny_config, tiny_corpus, one_thread):
    train, test = (read_manifest(p) for p in (tiny_corpus.train, tiny_corpus.test))
    config = dataclasses.replace(
        tiny_config, mel_predictor=dataclasses.replace(tiny_config.mel_predictor, bands=0)
    )
    one, two = (evaluate_collapse(train, test, 3, seed=1, config=config) for _ in range(2))
    assert one.to_dict() == two.to_dict()
    found = one.bottlenecks
    assert found[NOTHING].own.value == found[NOTHING].other.value  # it is given nothing to use
    assert found[NOTHING].rate.value == 0 and found[NOTHING].gain.value == 0
    for behind in found.values():
        assert behind.gain.value == pytest.approx(behind.other.value - behind.own.value)
        assert behind.phones is None  # the manifest has none
    assert 0 < found[VQ].rate.value <= one.bitrate * 1.2
    assert found[GAUSSIAN].rate.value > 0
    with pytest.raises(ValueError, match="1 utterance to score"):
        evaluate_collapse(train, test[:1], 3, config=config)


def test_a_decoder_that_uses_its_latents_loses_with_others(tiny_config, speech):
    """The measure itself, on a decoder that is made to depend on z and on one that is not."""
    model = first_model(tiny_config, speech[0], Bottleneck, 0).eval()
    parts = list(passed(model, speech[1], 0, lambda items, _: items, ""))

    def likelihood(scale):
        def log_likelihood(x, z, speaker):
            own = model.vqvae.encoder(x)
            return -1 - scale * (z - own).square().mean() * torch.ones_like(x)

        return log_likelihood

    for scale in (0.0, 1.0):
        model.vqvae.decoder.log_likelihood = likelihood(scale)
        own, other, gain = likelihoods(model, parts)
        assert own.value == pytest.approx(1 / math.log(2))
        assert (gain.value > 0) == (scale > 0)
        assert other.value - own.value == pytest.approx(gain.value)
