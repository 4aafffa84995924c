import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from speechvq import mu_law
from speechvq.config import VQVAEConfig, WaveNetConfig
from speechvq.models.vqvae import VQVAE

CONFIG = VQVAEConfig(
    strides=(4, 4),
    encoder_channels=6,
    codebook_size=8,
    codebook_dim=4,
    condition_channels=6,
    condition_upsample=2,
    condition_layers=1,
    wavenet=WaveNetConfig(3, 3, 2, 8, 8, 8),
)


@pytest.fixture
def model() -> VQVAE:
    torch.manual_seed(0)
    return VQVAE(CONFIG, ["p225", "p226", "p227"])


@pytest.mark.parametrize("T", [1, 15, 16, 17, 50])
def test_loss_is_equation_3_for_any_length(model, T):
    model.eval()
    waveform, speaker = 0.5 * torch.randn(2, T).clamp(-1, 1), torch.tensor([0, 2])
    out = model(waveform, speaker)
    assert out.codes.shape == (2, math.ceil(T / 16))
    assert torch.equal(out.codes, model.encode(waveform))
    torch.testing.assert_close(
        out.loss, out.nll + out.codebook_loss + CONFIG.beta * out.commitment_loss
    )
    # -log p(x | z_q), spelled out
    padded = F.pad(waveform, (0, -T % 16))
    levels = mu_law.encode(padded).unsqueeze(-1)
    log_p = model.decoder(levels, model.condition(out.codes, speaker)).log_softmax(-1)
    nll = -log_p.gather(-1, levels.unsqueeze(-1))[:, :T].mean()
    torch.testing.assert_close(out.nll, nll)
    torch.testing.assert_close(out.bits_per_sample, nll / math.log(2))


def test_every_part_learns_from_the_loss(model):
    model(torch.randn(2, 64).clamp(-1, 1), torch.tensor([0, 1])).loss.backward()
    for part in (model.encoder, model.conditioner, model.decoder):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())


def test_the_speaker_changes_the_decoder_and_not_the_codes(model):
    waveform = torch.randn(1, 64).clamp(-1, 1)
    codes = model.encode(waveform)
    one, other = (model.condition(codes, torch.tensor([s])) for s in (0, 1))
    assert one.shape == (1, 8, 6)
    assert not torch.allclose(one, other)


def test_rates(model):
    assert model.hop_length == 16 and model.frame_rate == 1000
    assert model.kl_bits_per_code == 3
    assert model.bitrate == 3000


def test_unknown_speaker_gets_the_list_and_the_nearest(model):
    assert model.speaker_index("p226") == 1
    with pytest.raises(ValueError, match=r"unknown speaker 'P226'.*p225, p226, p227.*mean p226"):
        model.speaker_index("P226")


def test_margins_make_a_crop_sound_as_in_the_whole_recording(model):
    model.eval()
    waveform, speaker = 0.3 * torch.randn(1, 320).clamp(-1, 1), torch.tensor([1])
    quantized = model.quantizer.lookup(model.encode(waveform))
    # Up to the middle the decoder has no past, in the crop; compare it on the same past
    widely = model.log_likelihood(
        waveform[:, 32:288], model.conditioner(quantized[:, 2:18], speaker), margin=4
    )
    hidden = model.conditioner(quantized, speaker)[:, 12:28]
    crop = waveform[:, 96:224]
    levels = mu_law.encode(crop).unsqueeze(-1)
    log_p = model.decoder(levels, hidden).log_softmax(-1)
    expected = log_p.gather(-1, levels.unsqueeze(-1)).flatten(1)
    torch.testing.assert_close(widely, expected)
    narrowly = model.log_likelihood(crop, model.conditioner(quantized[:, 6:14], speaker))
    assert not torch.allclose(narrowly, expected, atol=1e-4)


def test_sub_bands_are_scored_like_a_waveform():
    torch.manual_seed(0)
    model = VQVAE(replace(CONFIG, subbands=4), ["p225"]).eval()
    waveform, speaker = 0.1 * torch.randn(1, 320), torch.tensor([0])
    model.subbands.fit(waveform)
    condition = model.condition(model.encode(waveform), speaker)
    log_p = model.log_likelihood(waveform, condition)
    assert log_p.shape == waveform.shape
    within = model.log_likelihood(waveform, condition, margin=2)
    # The decoder starts anew in the crop; far from its beginning both hear the same past
    torch.testing.assert_close(within[:, 64:], log_p[:, 96:-32])


def test_noise_on_the_history_leaves_what_is_scored(model):
    """The decoder hears another past; without layers and taps it would make no difference."""
    model.eval()
    waveform, speaker = 0.3 * torch.randn(1, 320).clamp(-1, 1), torch.tensor([1])
    condition = model.condition(model.encode(waveform), speaker)
    clean, noisy, again = (
        model.log_likelihood(waveform, condition, history_noise=noise) for noise in (0.0, 2.0, 2.0)
    )
    assert torch.equal(clean[:, 0], noisy[:, 0])  # the first sample has no past
    assert not torch.equal(clean, noisy) and not torch.equal(noisy, again)
    seen = []
    model.decoder.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    for noise in (0.0, 2.0):
        model.log_likelihood(waveform, condition, history_noise=noise)
    assert (seen[1] - seen[0]).double().std() == pytest.approx(2.0, rel=0.15)
    assert seen[1].min() >= 0 and seen[1].max() <= 255
