"""An encoder that hears the same from different voices."""

import copy
import dataclasses

import numpy as np
import pytest
import scipy.signal
import torch
from voices import speech

from speechvq.data.manifest import Utterance
from speechvq.data.segments import Waveforms
from speechvq.models.cepstra import SpeakerCepstra
from speechvq.models.spectral import start_at_clusters
from speechvq.models.vqvae import VQVAE
from speechvq.training.speakers import fit_speakers


@pytest.fixture(scope="module")
def model(tiny_config):
    """A model with a codebook for the vowels, learned from two voices."""
    torch.manual_seed(0)
    config = dataclasses.replace(
        tiny_config,
        encoder_input="cepstra",
        strides=(80,),
        codebook_size=24,
        codebook_dim=12,
    )
    model = VQVAE(config, ["low", "high"]).eval()
    rng = np.random.default_rng(0)
    spoken = [speech(rng, stretch, 30.0) for stretch in (0.9, 1.1)]
    utterances = [Utterance(name, name, "unread.wav", 30.0) for name in model.speakers]
    voices = SpeakerCepstra(model.encoder.frames, 2)
    waveforms = Waveforms(utterances, config.sample_rate, waveforms=spoken)
    fit_speakers(voices, waveforms, model.speakers, seed=0)
    both = torch.from_numpy(np.stack(spoken))
    with torch.no_grad():
        latents = model.latents(both, voices.voice(torch.tensor([0, 1])))
        start_at_clusters(model, latents.flatten(0, 1))
        model.encoder.know(voices, model.quantizer.codebook)
    return model


def codes(model: VQVAE, waveform: np.ndarray) -> np.ndarray:
    return model.encode(torch.from_numpy(waveform)[None])[0].numpy()


def said_by(stretch: float, seconds: float = 6.0) -> np.ndarray:
    """The same vowels whoever says them."""
    return speech(np.random.default_rng(7), stretch, seconds)


def same(one: np.ndarray, other: np.ndarray) -> float:
    return float((one == other).mean())


def test_one_latent_a_code(model):
    for T in (1, 79, 80, 81, 8000):
        assert model.latents(torch.randn(2, T)).shape == (2, -(-T // 80), 12)


@pytest.mark.parametrize("stretch", [0.85, 1.0, 1.2])
def test_it_finds_how_high_a_voice_resonates(model, stretch):
    warp = model.find_voice(torch.from_numpy(said_by(stretch))[None]).warp.item()
    # Of the voices that it learned from, at 0.9 and 1.1, the mean is 1
    assert warp == pytest.approx(stretch, rel=0.06)


def test_strangers_have_the_same_codes(model):
    """As those that the model knows; without the voice that is found they would not."""
    low, middle, high = (said_by(stretch) for stretch in (0.9, 1.0, 1.25))
    assert same(codes(model, low), codes(model, middle)) > 0.6
    assert same(codes(model, low), codes(model, high)) > 0.6
    typical = model.find_voice(torch.from_numpy(middle)[None])
    plain = model.encode(torch.from_numpy(high)[None], typical)[0].numpy()
    assert same(codes(model, low), plain) < same(codes(model, low), codes(model, high)) - 0.2


def test_neither_level_nor_microphone_matters(model):
    waveform = said_by(1.0)
    expected = codes(model, waveform)
    assert same(codes(model, 0.05 * waveform), expected) > 0.9
    telephone = scipy.signal.lfilter([1.0, -0.7], [1.0], waveform).astype(np.float32)
    assert same(codes(model, telephone), expected) > 0.95


def test_what_is_said_matters_little(model):
    """A voice that says but two vowels is heard as the same that says them all."""
    everything = model.find_voice(torch.from_numpy(said_by(1.0, 20.0))[None])
    rng = np.random.default_rng(3)
    few = np.concatenate([speech(rng, 1.0, 0.1) for _ in range(12)])
    its = model.find_voice(torch.from_numpy(few)[None])
    apart = (its.mean - everything.mean) @ everything.matrix
    assert apart.abs().mean() < 0.35
    change = torch.linalg.solve(everything.matrix[0], its.matrix[0])
    assert change.diagonal().log().abs().mean() < 0.2
    assert (change - change.diagonal().diag()).abs().max() < 1e-3  # from one and the same start


@pytest.mark.parametrize("waveform", [np.zeros(1), np.zeros(16000), np.ones(5)])
def test_silence_has_codes(model, waveform):
    found = model.latents(torch.from_numpy(waveform.astype(np.float32))[None])
    assert found.isfinite().all()


def test_a_voice_that_is_known_is_recognised(model):
    """So a sentence is enough for what its speaker's training speech told."""
    low = said_by(0.9)
    expected = codes(model, low)
    unusual = copy.deepcopy(model)  # its typical voice is of no use for what it hears
    torch.manual_seed(0)
    # Smaller, and so nearer to any code, were it not for the determinant
    unusual.encoder.matrices[0] @= 0.1 * torch.linalg.qr(torch.randn(12, 12)).Q
    assert same(codes(unusual, low), expected) > 0.9
    unusual.encoder.known.zero_()
    assert same(codes(unusual, low), expected) < 0.5


def test_the_voice_does_what_the_search_did(model, monkeypatch):
    """Mean and scale that are found behind a start's matrix become one mean and one matrix."""
    encoder = copy.deepcopy(model.encoder)
    torch.manual_seed(0)
    encoder.matrices @= torch.randn(12, 12)
    seen, fit = {}, encoder._fit

    def spy(alike, *rest):
        mean, scale, nats = fit(alike, *rest)
        seen[nats.item()] = (alike - mean) / scale
        return mean, scale, nats

    monkeypatch.setattr(encoder, "_fit", spy)
    waveform = torch.from_numpy(said_by(0.9, 1.0))
    voice = encoder.find_voice(waveform)
    heard = encoder.frames(waveform[None], voice)[0]
    assert any(
        torch.allclose(heard, alike, rtol=1e-3, atol=1e-2)
        for alike in seen.values()
        if len(alike) == len(heard)
    )


def test_each_recording_of_a_batch_has_its_own_voice(model):
    one, other = said_by(0.9), 0.1 * said_by(1.2)
    both = model.encode(torch.from_numpy(np.stack([one, other])))
    np.testing.assert_array_equal(both[0], codes(model, one))
    np.testing.assert_array_equal(both[1], codes(model, other))


def test_surroundings_say_nothing_at_first_and_do_not_change_the_voice(model):
    config = dataclasses.replace(model.config, encoder_residual_layers=2, encoder_channels=8)
    learning = VQVAE(config, model.speakers).eval()
    learning.load_state_dict(model.state_dict(), strict=False)
    waveform = torch.from_numpy(said_by(1.0, 1.0))[None]
    voice = model.find_voice(waveform)
    plain = model.latents(waveform, voice)
    assert torch.equal(learning.latents(waveform, voice), plain)
    torch.nn.init.ones_(learning.encoder.surroundings.layers[-1].bias)
    torch.testing.assert_close(learning.latents(waveform, voice), plain + 1)
    for ours, its in zip(learning.find_voice(waveform), voice, strict=True):
        assert torch.equal(ours, its)


def test_other_encoders_need_no_voice(tiny_config):
    assert VQVAE(tiny_config, ["a"]).find_voice(torch.zeros(1, 100)) is None
