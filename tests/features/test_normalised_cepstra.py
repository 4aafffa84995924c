"""Features that are the same for different speakers: the transform estimated from a recording."""

import copy
import dataclasses

import numpy as np
import pytest
import scipy.signal
import torch
from voices import speech

from speechvq.config import (
    ContextEncoderConfig,
    NormalisedCepstraConfig,
    QuantizerConfig,
)
from speechvq.data.manifest import Utterance
from speechvq.data.segments import Waveforms
from speechvq.features.normalised_cepstra import NormalisedCepstra
from speechvq.model import Model
from speechvq.training.codebook import start_whitened


@pytest.fixture(scope="module")
def model(tiny_config):
    """A model with a codebook for the vowels, learned from two voices."""
    torch.manual_seed(0)
    config = dataclasses.replace(
        tiny_config,
        features=NormalisedCepstraConfig(frame_length=80, cepstra=12),
        encoder=ContextEncoderConfig(),
        quantizer=QuantizerConfig(codebook_size=24, codebook_dim=12),
    )
    model = Model(config, ["low", "high"]).eval()
    rng = np.random.default_rng(0)
    spoken = [speech(rng, stretch, 30.0) for stretch in (0.9, 1.1)]
    utterances = [Utterance(name, name, "unread.wav", 30.0) for name in model.speakers]
    waveforms = Waveforms(utterances, config.sample_rate, waveforms=spoken)
    features, vqvae = model.features, model.vqvae
    transforms = features.speaker_transforms(2)
    features.fit_transforms(transforms, waveforms, model.speakers, seed=0)
    assert not features.has_priors
    both = torch.from_numpy(np.stack(spoken))
    with torch.no_grad():
        latents = model.latents(both, transforms(torch.tensor([0, 1])))
        start_whitened(vqvae.quantizer, vqvae.encoder.output, latents.flatten(0, 1))
        features.set_speaker_priors(transforms, vqvae.quantizer.codebook, vqvae.encoder.output)
    return model


def codes(model: Model, waveform: np.ndarray) -> np.ndarray:
    return model.encode(torch.from_numpy(waveform)[None])[0].numpy()


def said_by(stretch: float, seconds: float = 6.0) -> np.ndarray:
    """The same vowels, whatever the speaker."""
    return speech(np.random.default_rng(7), stretch, seconds)


def same(one: np.ndarray, other: np.ndarray) -> float:
    return float((one == other).mean())


def test_one_latent_a_code(model):
    for T in (1, 79, 80, 81, 8000):
        assert model.latents(torch.randn(2, T)).shape == (2, -(-T // 80), 12)


@pytest.mark.parametrize("stretch", [0.85, 1.0, 1.2])
def test_the_warp_factor_is_the_stretch_of_the_resonances(model, stretch):
    warp = model.features.estimate(torch.from_numpy(said_by(stretch))).warp.item()
    # Of the training speakers, at 0.9 and 1.1, the mean is 1
    assert warp == pytest.approx(stretch, rel=0.06)


def test_unknown_speakers_have_the_same_codes(model):
    """As training speakers have; without the transform that is estimated they have not."""
    low, middle, high = (said_by(stretch) for stretch in (0.9, 1.0, 1.25))
    assert same(codes(model, low), codes(model, middle)) > 0.6
    assert same(codes(model, low), codes(model, high)) > 0.6
    typical = model.features.estimate(torch.from_numpy(middle))
    plain = model.encode(torch.from_numpy(high)[None], typical)[0].numpy()
    assert same(codes(model, low), plain) < same(codes(model, low), codes(model, high)) - 0.2


def test_neither_level_nor_microphone_matters(model):
    waveform = said_by(1.0)
    expected = codes(model, waveform)
    assert same(codes(model, 0.05 * waveform), expected) > 0.9
    telephone = scipy.signal.lfilter([1.0, -0.7], [1.0], waveform).astype(np.float32)
    assert same(codes(model, telephone), expected) > 0.95


def test_the_transform_depends_little_on_what_is_said(model):
    """Of a few vowels it is nearly that of all vowels."""
    everything = model.features.estimate(torch.from_numpy(said_by(1.0, 20.0)))
    rng = np.random.default_rng(3)
    few = np.concatenate([speech(rng, 1.0, 0.1) for _ in range(12)])
    found = model.features.estimate(torch.from_numpy(few))
    apart = (found.mean - everything.mean) @ everything.matrix
    assert apart.abs().mean() < 0.35
    change = torch.linalg.solve(everything.matrix[0], found.matrix[0])
    assert change.diagonal().log().abs().mean() < 0.2
    assert (change - change.diagonal().diag()).abs().max() < 1e-3  # from one and the same start


@pytest.mark.parametrize("waveform", [np.zeros(1), np.zeros(16000), np.ones(5)])
def test_silence_has_codes(model, waveform):
    found = model.latents(torch.from_numpy(waveform.astype(np.float32))[None])
    assert found.isfinite().all()


def test_a_training_speaker_is_recognised(model):
    """So a sentence is enough, by what the speaker's training speech has told."""
    low = said_by(0.9)
    expected = codes(model, low)
    unusual = copy.deepcopy(model)  # whose mean transform is of no use
    torch.manual_seed(0)
    # Smaller, and so nearer to any code, were it not for the determinant
    unusual.features.matrices[0] @= 0.1 * torch.linalg.qr(torch.randn(12, 12)).Q
    assert same(codes(unusual, low), expected) > 0.9
    unusual.features.stored.zero_()
    assert same(codes(unusual, low), expected) < 0.5


def test_the_transform_is_what_the_search_has_fitted(model, monkeypatch):
    """Mean and scale that are fitted behind a start's matrix become one mean and one matrix."""
    features = copy.deepcopy(model.features)
    torch.manual_seed(0)
    features.matrices @= torch.randn(12, 12)
    fitted, fit = [], features._fit

    def spy(normalised, *rest):
        mean, scale, nats = fit(normalised, *rest)
        fitted.append((normalised - mean) / scale)
        return mean, scale, nats

    monkeypatch.setattr(features, "_fit", spy)
    waveform = torch.from_numpy(said_by(0.9, 1.0))
    found = features(waveform[None], features.estimate(waveform))[0]
    assert any(
        torch.allclose(found, cepstra, rtol=1e-3, atol=1e-2)
        for cepstra in fitted
        if len(cepstra) == len(found)
    )


def test_the_estimate_makes_the_recording_likely(model):
    """Under it the recording is likelier than under the transforms of other speakers."""
    features = model.features
    waveform = torch.from_numpy(said_by(1.2, 3.0))

    def nats(transform):
        cepstra = features.mfcc(waveform[None], transform)[0]
        whitened = cepstra @ features.whiten_weight.T + features.whiten_bias
        distance = torch.cdist(whitened, features.clusters).amin(1).square().mean()
        return 0.5 * distance - torch.linalg.slogdet(transform.matrix[0]).logabsdet

    best = features.estimate(waveform)
    for other in (0.85, 1.0, 1.1):
        transform = features.estimate(torch.from_numpy(said_by(other, 3.0)))
        assert nats(best) < nats(transform)


def test_without_a_transform_that_of_each_recording_is_estimated(model):
    """The recordings of a batch do not depend on each other."""
    one, other = said_by(0.9), 0.1 * said_by(1.2)
    both = model.features(torch.from_numpy(np.stack([one, other])))
    for x, found in zip((one, other), both, strict=True):
        waveform = torch.from_numpy(x)
        expected = model.features(waveform[None], model.features.estimate(waveform))
        torch.testing.assert_close(found, expected[0])


@pytest.mark.parametrize("stored", [0, 1, 3])
def test_speaker_priors_are_stored(stored):
    config = NormalisedCepstraConfig(frame_length=80, cepstra=12, stored_speakers=stored)
    features = NormalisedCepstra(config, 8000, 24)
    transforms = features.speaker_transforms(5)
    torch.nn.init.normal_(transforms.mean)
    transforms.warp += 0.1 * torch.arange(5)
    whiten, clusters = torch.nn.Linear(12, 12), torch.randn(24, 12)
    assert not features.has_priors
    features.set_speaker_priors(transforms, clusters, whiten)
    assert features.has_priors and features.stored == stored
    torch.testing.assert_close(features.means[0], transforms.mean.mean(0))
    assert features.warps[0] == 1
    chosen = [0, 2, 4][:stored] if stored == 3 else [0][:stored]  # spread over the speakers
    assert torch.equal(features.means[1:], transforms.mean[chosen])
    assert torch.equal(features.warps[1:], transforms.warp[chosen])
    assert torch.equal(features.clusters, clusters)
    assert features.estimate(torch.randn(800)).matrix.isfinite().all()


def test_each_recording_of_a_batch_has_its_own_transform(model):
    one, other = said_by(0.9), 0.1 * said_by(1.2)
    both = model.encode(torch.from_numpy(np.stack([one, other])))
    np.testing.assert_array_equal(both[0], codes(model, one))
    np.testing.assert_array_equal(both[1], codes(model, other))


def test_the_context_network_starts_at_zero_and_does_not_change_the_transform(model):
    encoder = ContextEncoderConfig(channels=8, residual_layers=2)
    learning = Model(dataclasses.replace(model.config, encoder=encoder), model.speakers).eval()
    learning.load_state_dict(model.state_dict(), strict=False)
    waveform = torch.from_numpy(said_by(1.0, 1.0))
    transform = model.features.estimate(waveform)
    plain = model.latents(waveform[None], transform)
    assert torch.equal(learning.latents(waveform[None], transform), plain)
    torch.nn.init.ones_(learning.vqvae.encoder.context[-1].bias)
    torch.testing.assert_close(learning.latents(waveform[None], transform), plain + 1)
    for one, other in zip(learning.features.estimate(waveform), transform, strict=True):
        assert torch.equal(one, other)


def test_the_waveform_needs_no_transform(tiny_config):
    model = Model(tiny_config, ["a"])
    assert not model.features.needs_transform
    assert model.features.estimate(torch.zeros(100)) is None
    waveform = torch.randn(2, 100)
    assert model.features(waveform) is waveform
