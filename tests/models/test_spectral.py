import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from speechvq.config import SpectralPhaseConfig, VQVAEConfig, WaveNetConfig
from speechvq.models.cepstra import SpeakerCepstra
from speechvq.models.quantizer import Quantizer
from speechvq.models.spectral import SpectralObjective, start_at_clusters
from speechvq.models.vqvae import VQVAE


def objective(target: str = "cepstra", **settings) -> SpectralObjective:
    torch.manual_seed(0)
    config = VQVAEConfig(
        strides=(80, 2),
        encoder_channels=(32, 16),
        encoder_filterbank=True,
        encoder_norm=True,
        codebook_size=8,
        codebook_dim=6,
        condition_channels=6,
        condition_upsample=2,
        condition_layers=1,
        envelope_bands=12,
        wavenet=WaveNetConfig(1, 1, 2, 4, 4, 4),
        **settings,
    )
    return SpectralObjective(VQVAE(config, ["a", "b"]), SpectralPhaseConfig(target=target))


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    return 0.1 * torch.randn(2, 480), torch.tensor([0, 1])


def test_loss_of_the_latents():
    model = objective().eval()
    waveform, speaker = batch()
    out = model(waveform, speaker, quantize=False)
    expected = F.mse_loss(model.encoder(waveform), model.target.cepstra(waveform, speaker))
    torch.testing.assert_close(out.loss, expected, rtol=1e-3, atol=0)
    assert out.codes is None


def test_units_are_the_likelier_the_nearer():
    model = objective(target="units").eval()
    waveform, speaker = batch()
    N = model.encoder(waveform).shape[1]
    units = torch.arange(2 * N).view(2, N) % len(model.target.vectors.weight)
    out = model(waveform, speaker, quantize=False, units=units)
    z, e = model.encoder(waveform), model.target.vectors.weight
    likelihood = (-torch.cdist(z, e[None]).square()).log_softmax(-1)
    distance = (z - e[units]).square().sum(-1).mean()
    expected = -likelihood.gather(-1, units.unsqueeze(-1)).mean() + 0.1 * distance
    torch.testing.assert_close(out.loss, expected, rtol=1e-3, atol=0)
    # What lies beyond a recording does not count
    beyond = units.clone()
    beyond[1] = -100
    half = model(waveform[:1], speaker[:1], quantize=False, units=units[:1]).loss
    whole = model(waveform, speaker, quantize=False, units=beyond).loss
    torch.testing.assert_close(whole, half, rtol=1e-3, atol=0)
    assert model(waveform, speaker, quantize=False, units=beyond * 0 - 100).loss == 0


def test_loss_of_the_codes():
    model = objective().eval()
    waveform, speaker = batch()
    out = model(waveform, speaker)
    assert out.codes.shape == (2, 3)
    expected_frames = model.envelope(model.quantizer.lookup(out.codes), speaker)
    expected = F.l1_loss(expected_frames, model.envelope.mel(waveform))
    torch.testing.assert_close(out.loss, expected, rtol=1e-3, atol=0)


def test_a_constant_guess_scores_one():
    model = objective().train()
    torch.nn.init.zeros_(model.encoder.output.weight)
    torch.nn.init.zeros_(model.encoder.output.bias)
    waveform, speaker = 0.1 * torch.randn(16, 1600) * torch.rand(16, 1), torch.arange(16) % 2
    cepstra = model.target.cepstra
    for s in (0, 1):
        frames = cepstra(waveform[speaker == s], speaker[speaker == s]).flatten(0, 1)
        cepstra.mean[s] = frames.mean(0)
        cepstra.matrix[s] = torch.diag(1 / frames.std(0, correction=0))
    loss = model(waveform, speaker, quantize=False).loss
    assert loss.item() == pytest.approx(1, abs=1e-3)


def test_cepstra_to_learn_are_moved_sound_by_sound():
    """Each speaker's by its own: here all of a speaker's sounds lie in one place."""
    model = objective().eval()
    waveform, speaker = batch()
    target = model.target
    latents = target.cepstra(waveform, speaker)
    assert target(latents, waveform, speaker) == 0
    shift = torch.tensor([1.0, -2.0]).view(2, 1, 1)
    target.sounds.own -= shift
    loss = target(latents + shift[speaker], waveform, speaker)
    assert loss.item() == pytest.approx(0, abs=1e-6)


def test_each_step_trains_its_own_side():
    def learns(module):
        return any(p.grad is not None for p in module.parameters())

    model = objective(codebook_update="loss")
    model(*batch(), quantize=False).loss.backward()
    assert learns(model.encoder)
    assert not learns(model.envelope) and not learns(model.quantizer)
    model = objective(codebook_update="loss")
    model(*batch()).loss.backward()
    assert learns(model.envelope)
    assert not learns(model.encoder) and not learns(model.quantizer)


@pytest.mark.parametrize("update", ["ema", "loss"])
def test_around_cepstra_the_encoder_learns_with_the_envelope(update):
    cepstra = {"encoder_input": "cepstra", "encoder_residual_layers": 1}
    model = objective(codebook_update=update, **cepstra)
    waveform, speaker = batch()
    frames = model.encoder.frames
    voice = SpeakerCepstra(frames, 2).voice(speaker)
    model.quantizer.start(model.quantizer.codebook + frames(waveform, voice).mean((0, 1)))
    model(waveform, speaker, quantize=False, voice=voice).loss.backward()
    layers = model.encoder.surroundings.layers
    assert layers[-1].weight.grad.abs().sum() > 0
    assert all(p.grad is not None for p in model.envelope.parameters())
    if update == "loss":
        assert model.quantizer.codebook.grad.abs().sum() > 0
    before = model.quantizer.code_counts.clone()
    scores = [model.eval()(waveform, speaker, q, voice=voice).loss for q in (False, True)]
    assert scores[0] == scores[1], "held-out speech is scored by its codes"
    assert torch.equal(model.quantizer.code_counts, before)


def test_codes_of_another_speaker():
    model = objective().eval()
    waveform, speaker = batch()
    odd = torch.arange(8) % 2 == 1
    codes = model(waveform, speaker, among=torch.stack([odd, ~odd])).codes
    assert (codes[0] % 2 == 1).all() and (codes[1] % 2 == 0).all()


@pytest.mark.parametrize("update", ["ema", "loss"])
def test_start_at_clusters_makes_the_clusters_round(update):
    """Clusters long in one direction; what start_at_clusters asks of a model, and no more."""
    K, D = 5, 3
    torch.manual_seed(1)
    model = SimpleNamespace(
        quantizer=Quantizer(VQVAEConfig(codebook_size=K, codebook_dim=D, codebook_update=update)),
        encoder=SimpleNamespace(output=torch.nn.Linear(D, D)),
    )
    shape = torch.tensor([[2.0, 0.0, 0.0], [0.8, 0.4, 0.0], [0.0, 0.1, 0.3]])
    centres = 3 * torch.randn(K, D)
    z = centres.repeat(1000, 1) + torch.randn(1000 * K, D) @ shape
    output = model.encoder.output
    x = (z - output.bias) @ torch.linalg.inv(output.weight).T  # activations that give z
    with torch.no_grad():
        torch.testing.assert_close(output(x), z, rtol=1e-3, atol=1e-3)
        plain = Quantizer(VQVAEConfig(codebook_size=K, codebook_dim=D))
        plain.initialise(z)
        start_at_clusters(model, z)
        whitened = output(x)
    codes = model.quantizer.nearest(whitened[None])[0]

    def right(codes):
        """Share of the latents whose code stands for the cluster they were drawn from."""
        uses = torch.zeros(K, K).index_put_(
            (codes, torch.arange(len(z)) % K), torch.ones(len(z)), accumulate=True
        )
        return uses.max(dim=1).values.sum().item() / len(z)

    assert right(codes) > right(plain.nearest(z[None])[0]) + 0.02
    assert right(codes) > 0.97

    # Round: within the codes the covariance is the identity
    within = whitened - model.quantizer.lookup(codes)
    torch.testing.assert_close(within.T.cov(), torch.eye(D), atol=0.15, rtol=0)
    assert len(codes.unique()) == K


def test_it_learns_tones():
    """Four tones, two speakers: the codes must come to name the tone."""
    model = objective().train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    model.target.cepstra.matrix /= 5.0
    time = torch.arange(480) / 16000

    def tones():
        tone = torch.randint(4, (16,))
        waveform = 0.1 * torch.sin(2 * math.pi * (500 * 2**tone)[:, None] * time)
        return tone, waveform + 1e-3 * torch.randn(16, 480), torch.randint(2, (16,))

    losses = {False: [], True: []}
    for step in range(160):
        _, waveform, speaker = tones()
        if step == 80:
            model.envelope.fit(waveform)
            start_at_clusters(model, model.encoder(waveform).detach().flatten(0, 1))
        out = model(waveform, speaker, quantize=step >= 80)
        losses[step >= 80].append(out.loss.item())
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
    assert losses[False][-1] < 0.5 * losses[False][0]
    assert losses[True][-1] < 0.5 * losses[True][0]
    tone, waveform, speaker = tones()
    codes = model.eval()(waveform, speaker).codes[:, 1]
    for code in codes.unique():
        assert len(tone[codes == code].unique()) == 1
