"""The decoder's likelihood: by its definition, within margins, with sub-bands and input noise."""

import pytest
import torch

from speechvq.config import ConditionerConfig, WaveNetConfig, WaveNetDecoderConfig
from speechvq.models import mu_law
from speechvq.models.decoder import WaveNetDecoder

D, HOP = 4, 16


def make(**settings) -> WaveNetDecoder:
    torch.manual_seed(0)
    config = WaveNetDecoderConfig(
        conditioner=ConditionerConfig(channels=6, upsample=2, layers=1),
        wavenet=WaveNetConfig(3, 3, 2, 8, 8, 8),
        **settings,
    )
    return WaveNetDecoder(config, D, HOP, n_speakers=3, sample_rate=16000)


@pytest.fixture
def decoder() -> WaveNetDecoder:
    return make()


def batch(codes: int = 20, rows: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    waveform = (0.3 * torch.randn(rows, codes * HOP)).clamp(-1, 1)
    return waveform, torch.randn(rows, codes, D), torch.arange(rows) % 3


@pytest.mark.parametrize("long_term", [False, True])
@pytest.mark.parametrize("subbands", [1, 4])
def test_likelihood_is_the_products_of_the_softmaxes(subbands, long_term):
    decoder = make(subbands=subbands, long_term=long_term)
    waveform, quantized, speaker = batch(rows=2)
    log_p = decoder.log_likelihood(waveform, quantized, speaker)
    levels = decoder.pqmf.encode(waveform)
    logits = decoder.wavenet(levels, decoder.conditioner(quantized, speaker))
    expected = logits.log_softmax(-1).gather(-1, levels.unsqueeze(-1)).flatten(1)
    assert log_p.shape == waveform.shape
    torch.testing.assert_close(log_p, expected)


def test_probabilities_of_all_levels_add_up_to_one(decoder):
    waveform, quantized, speaker = batch(codes=1)
    total, t = 0.0, 5
    for level in range(256):
        waveform[0, t] = mu_law.decode(torch.tensor(level))
        total += decoder.log_likelihood(waveform, quantized, speaker)[0, t].exp().item()
    assert total == pytest.approx(1, abs=1e-4)


def test_scores_do_not_depend_on_later_samples(decoder):
    waveform, quantized, speaker = batch()
    other = waveform.clone()
    other[0, 100:] = -waveform[0, 100:]
    one, two = (decoder.log_likelihood(x, quantized, speaker) for x in (waveform, other))
    torch.testing.assert_close(one[:, :100], two[:, :100])
    assert ((one - two)[0, 100:].abs() > 1e-4).float().mean() > 0.5


def test_every_weight_gets_a_gradient(decoder):
    decoder.log_likelihood(*batch(rows=3)).sum().backward()
    for name, weights in decoder.named_parameters():
        # The last layer's residual output leads nowhere, and so is no part of the likelihood
        assert weights.grad is not None and weights.grad.abs().sum() > 0, name


def test_likelihood_gives_the_codes_a_gradient(decoder):
    """So that an encoder can learn from it; only codes near a sample have an influence on it."""
    waveform, quantized, speaker = batch()
    quantized.requires_grad_()
    decoder.log_likelihood(waveform, quantized, speaker)[0, 10 * HOP].backward()
    used = quantized.grad[0].abs().sum(-1).nonzero().flatten()
    # 8 samples of receptive field lie in codes 9 and 10; the conditioner sees 1 or 2 codes more
    assert 10 in used and used.min() >= 7 and used.max() <= 12


def test_with_margins_a_crop_is_scored_as_in_the_whole_recording(decoder):
    """The condition vectors in the middle are those of the whole; the WaveNet starts anew."""
    waveform, quantized, speaker = batch()
    inner = decoder.log_likelihood(
        waveform[:, 2 * HOP : 18 * HOP], quantized[:, 2:18], speaker, margin=4
    )
    condition = decoder.conditioner(quantized, speaker)[:, 12:28]
    crop = waveform[:, 6 * HOP : 14 * HOP]
    levels = mu_law.encode(crop).unsqueeze(-1)
    log_p = decoder.wavenet(levels, condition).log_softmax(-1)
    expected = log_p.gather(-1, levels.unsqueeze(-1)).flatten(1)
    torch.testing.assert_close(inner, expected)
    without = decoder.log_likelihood(crop, quantized[:, 6:14], speaker)
    assert not torch.allclose(without, expected, atol=1e-4)


@pytest.mark.parametrize("margin", [1, 2, 5])
def test_margins_of_sub_bands(margin):
    decoder, (waveform, quantized, speaker) = make(subbands=4), batch()
    decoder.fit(waveform)
    log_p = decoder.log_likelihood(waveform, quantized, speaker)
    inner = decoder.log_likelihood(waveform, quantized, speaker, margin=margin)
    left = margin * HOP
    assert inner.shape == (1, waveform.shape[1] - 2 * left)
    # Past the receptive field, 8 steps of 4 samples, both are given the same past
    torch.testing.assert_close(inner[:, 32:], log_p[:, left + 32 : -left])


def test_input_noise_changes_the_past_and_not_what_is_scored(decoder):
    waveform, quantized, speaker = batch()
    clean, noisy, again = (
        decoder.log_likelihood(waveform, quantized, speaker, input_noise=noise)
        for noise in (0.0, 2.0, 2.0)
    )
    assert torch.equal(clean[:, 0], noisy[:, 0])  # the first sample has no past
    assert not torch.equal(clean, noisy) and not torch.equal(noisy, again)
    inputs, scored = [], []
    decoder.wavenet.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    cross_entropy = torch.nn.functional.cross_entropy

    def spy(logits, levels, **rest):
        scored.append(levels)
        return cross_entropy(logits, levels, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.functional, "cross_entropy", spy)
        for noise in (0.0, 2.0):
            decoder.log_likelihood(waveform, quantized, speaker, input_noise=noise)
    assert torch.equal(scored[0], scored[1])
    assert (inputs[1] - inputs[0]).double().std() == pytest.approx(2.0, rel=0.15)
    assert inputs[1].min() >= 0 and inputs[1].max() <= 255


def test_input_noise_stays_within_the_levels(decoder):
    _, quantized, speaker = batch()
    inputs = []
    decoder.wavenet.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    loud = torch.ones(1, 20 * HOP)
    loud[:, ::2] = -1
    decoder.log_likelihood(loud, quantized, speaker, input_noise=10.0)
    assert inputs[0].min() == 0 and inputs[0].max() == 255
    assert len(inputs[0].unique()) > 10


def test_the_embedding_starts_in_order_of_the_levels(decoder):
    """Neighbouring levels have similar rows, unlike those of a random start."""
    rows = decoder.wavenet.embed.weight
    step = (rows[1:] - rows[:-1]).norm(dim=1).mean()
    apart = (rows[128:] - rows[:128]).norm(dim=1).mean()
    assert step < 0.1 * apart
