"""The paper's objective, equation 3: the loss, and the gradient of each of its terms."""

import math

import pytest
import torch
import torch.nn.functional as F

from speechvq.config import (
    ConditionerConfig,
    QuantizerConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from speechvq.models import mu_law
from speechvq.models.decoder import WaveNetDecoder
from speechvq.models.encoder import Encoder
from speechvq.models.quantizer import Quantizer
from speechvq.models.vqvae import VQVAE

BETA, HOP = 0.4, 16


def make(update: str = "ema") -> VQVAE:
    """A VQ-VAE of parts, as outside code may put it together, too."""
    torch.manual_seed(0)
    decoder = WaveNetDecoderConfig(
        conditioner=ConditionerConfig(channels=6, upsample=2, layers=1),
        wavenet=WaveNetConfig(3, 3, 2, 8, 8, 8),
    )
    return VQVAE(
        Encoder((4, 4), (6, 6), 4),
        Quantizer(QuantizerConfig(8, 4, update=update, beta=BETA)),
        WaveNetDecoder(decoder, 4, HOP, n_speakers=3, sample_rate=16000),
    )


def batch(T: int = 5 * HOP) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return (0.5 * torch.randn(2, T)).clamp(-1, 1), torch.tensor([0, 2])


@pytest.mark.parametrize("update", ["ema", "loss"])
@pytest.mark.parametrize("T", [1, 15, 16, 17, 50])
def test_loss_is_equation_3_for_any_length(T, update):
    model, (waveform, speaker) = make(update).eval(), batch(T)
    out = model(waveform, speaker)
    assert out.codes.shape == (2, math.ceil(T / HOP))
    assert torch.equal(out.codes, model.encode(F.pad(waveform, (0, -T % HOP))))
    # -log p(x | z_q), spelled out; what is padded is not scored
    padded = F.pad(waveform, (0, -T % HOP))
    levels = mu_law.encode(padded).unsqueeze(-1)
    z_e, z_q = model.encoder(padded), model.quantizer.lookup(out.codes)
    condition = model.decoder.conditioner(z_q, speaker)
    log_p = model.decoder.wavenet(levels, condition).log_softmax(-1)
    nll = -log_p.gather(-1, levels.unsqueeze(-1))[:, :T].mean()
    error = (z_e - z_q).square().mean()
    torch.testing.assert_close(out.nll, nll)
    torch.testing.assert_close(out.bits_per_sample, nll / math.log(2))
    torch.testing.assert_close(out.commitment_loss, error)
    codebook_loss = error if update == "loss" else torch.zeros(())
    torch.testing.assert_close(out.codebook_loss, codebook_loss)
    torch.testing.assert_close(out.loss, nll + codebook_loss + BETA * error)


@pytest.mark.parametrize("update", ["ema", "loss"])
def test_every_part_learns_from_the_loss(update):
    model = make(update)
    model(*batch()).loss.backward()
    for name, weights in model.named_parameters():
        assert weights.grad is not None, name
    for part in (model.encoder, model.decoder.conditioner, model.decoder.wavenet):
        assert sum(p.grad.abs().sum() for p in part.parameters()) > 0
    assert (model.quantizer.codebook.grad is not None) == (update == "loss")


def test_gradient_of_the_latents():
    """dL/dz_e is that of the likelihood at z_q, straight through, and of the commitment loss."""
    model, (waveform, speaker) = make("loss").eval(), batch()
    found = {}

    def keep(module, args, latents):
        latents.retain_grad()
        found["z_e"] = latents

    handle = model.encoder.register_forward_hook(keep)
    out = model(waveform, speaker)
    handle.remove()
    out.loss.backward()
    z_e = found["z_e"].detach()
    z_q = model.quantizer.lookup(out.codes).detach().requires_grad_()
    nll = -model.decoder.log_likelihood(waveform, z_q, speaker).mean()
    (through,) = torch.autograd.grad(nll, z_q)
    expected = through + BETA * 2 * (z_e - z_q.detach()) / z_e.numel()
    assert through.abs().sum() > 0
    torch.testing.assert_close(found["z_e"].grad, expected)


def test_gradient_of_the_codebook():
    """The codebook learns from the second term of equation 3 alone, not from the likelihood."""
    model, (waveform, speaker) = make("loss").eval(), batch()
    out = model(waveform, speaker)
    out.loss.backward()
    with torch.no_grad():
        z_e, e = model.encoder(waveform).flatten(0, 1), model.quantizer.codebook
        expected = torch.zeros_like(e)
        for z, k in zip(z_e, out.codes.flatten(), strict=True):
            expected[k] += 2 * (e[k] - z) / z_e.numel()
    torch.testing.assert_close(model.quantizer.codebook.grad, expected)


def test_gradient_of_the_decoder():
    """The decoder learns from the first term alone."""
    model, (waveform, speaker) = make().eval(), batch()
    out = model(waveform, speaker)
    whole = torch.autograd.grad(out.loss, list(model.decoder.parameters()), retain_graph=True)
    nll = torch.autograd.grad(out.nll, list(model.decoder.parameters()))
    for one, other in zip(whole, nll, strict=True):
        torch.testing.assert_close(one, other)


def test_the_decoder_is_given_input_noise_and_the_encoder_is_not(monkeypatch):
    model, (waveform, speaker) = make().eval(), batch()
    given = []
    whole = model.decoder.log_likelihood

    def spy(x, quantized, speaker, **rest):
        given.append((x, rest))
        return whole(x, quantized, speaker, **rest)

    monkeypatch.setattr(model.decoder, "log_likelihood", spy)
    clean, noisy = model(waveform, speaker), model(waveform, speaker, input_noise=3.0)
    assert [rest["input_noise"] for _, rest in given] == [0.0, 3.0]
    assert torch.equal(given[0][0], waveform) and torch.equal(given[1][0], waveform)
    assert torch.equal(clean.codes, noisy.codes) and clean.nll != noisy.nll


def test_only_training_moves_the_codebook():
    model = make()
    before = model.quantizer.codebook.clone()
    model.eval()(*batch())
    assert torch.equal(model.quantizer.codebook, before)
    model.train()(*batch())
    assert not torch.equal(model.quantizer.codebook, before)


def test_training_lowers_the_loss_and_the_codes_come_to_matter():
    """Two tones: after some steps the likelihood with the right codes is the higher one."""
    torch.manual_seed(0)
    model = make().train()
    time = torch.arange(10 * HOP)
    tones = torch.stack([0.5 * torch.sin(0.2 * time), 0.5 * torch.sin(1.9 * time)])
    speaker = torch.tensor([0, 0])
    model.quantizer.initialise(model.encoder(tones).detach().flatten(0, 1))
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for _ in range(150):
        out = model(tones, speaker)
        losses.append(out.loss.item())
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
    assert losses[-1] < 0.8 * losses[0]
    model.eval()
    z_q = model.quantizer.lookup(model.encode(tones))
    right = model.decoder.log_likelihood(tones, z_q, speaker).mean()
    wrong = model.decoder.log_likelihood(tones, z_q.flip(0), speaker).mean()
    assert right > wrong + 0.1
