import dataclasses

import pytest
import torch

from speechvq.config import PriorConfig, WaveNetConfig
from speechvq.models.prior import Prior

K = 7
CONFIG = PriorConfig(condition_channels=4, wavenet=WaveNetConfig(3, 3, 2, 8, 8, 16))


def make(**settings) -> Prior:
    torch.manual_seed(0)
    prior = Prior(dataclasses.replace(CONFIG, **settings), K, ["a", "b"]).eval()
    with torch.no_grad():
        for weights in prior.parameters():
            weights.mul_(3)
    return prior


def test_a_distribution_over_codes():
    prior = make()
    codes = torch.randint(K, (2, 20))
    logits = prior(codes, prior.condition(torch.tensor([0, 1])))
    assert logits.shape == (2, 20, K)
    log_p = logits.log_softmax(-1)
    expected = -log_p.gather(-1, codes.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(prior.nll(codes, torch.tensor([0, 1])), expected)


def test_what_stands_before_the_first_code_is_never_drawn():
    """Nor does training make it likelier: no gradient reaches its logit."""
    prior = make()
    codes = torch.randint(K, (1, 20))
    whole = prior.wavenet(codes.unsqueeze(-1), prior.condition(torch.tensor([0])))[:, :, 0]
    assert whole.shape[-1] == K + 1
    assert whole.softmax(-1)[..., K].max() == 0
    prior.nll(codes, torch.tensor([0])).sum().backward()
    assert not prior.wavenet.output.weight.grad[K].any()
    assert not prior.wavenet.output.bias.grad[K].any()


def test_a_code_depends_on_the_past_alone():
    prior = make()
    codes = torch.randint(K, (1, 30))
    other = codes.clone()
    other[0, 12] = (codes[0, 12] + 1) % K
    condition = prior.condition(torch.tensor([0]))
    changed = (prior(codes, condition) != prior(other, condition)).any(-1)[0]
    field = CONFIG.wavenet.receptive_field
    assert not changed[:13].any()
    assert changed[13 : 13 + field].all()
    assert not changed[13 + field :].any()


@pytest.mark.parametrize("by_speaker", [True, False])
def test_the_speaker_matters_if_by_speaker(by_speaker):
    prior = make(by_speaker=by_speaker)
    codes = torch.randint(K, (1, 10))
    one, other = (prior.nll(codes, torch.tensor([s])) for s in (0, 1))
    assert torch.equal(one, other) != by_speaker
    assert any("of_speaker" in name for name in prior.state_dict()) == by_speaker


def test_an_unknown_speaker_is_the_mean_of_all():
    prior = make()
    assert prior.speaker(["b", "nobody", "a"]).tolist() == [1, -1, 0]
    mean = prior.of_speaker.weight.mean(0)
    torch.testing.assert_close(prior.condition(torch.tensor([-1]))[0, 0], mean)


def test_a_condition_of_the_callers_own_is_added():
    prior = make()
    codes = torch.randint(K, (1, 12))
    extra = torch.randn(1, 3, 4)
    condition = prior.condition(torch.tensor([1]), extra)
    torch.testing.assert_close(condition, extra + prior.of_speaker.weight[1])
    logits = prior(codes, condition)
    plain = prior(codes, prior.condition(torch.tensor([1])))
    assert logits.shape == plain.shape and not torch.allclose(logits, plain)


def test_dropout_is_of_training_alone():
    prior = make(wavenet=dataclasses.replace(CONFIG.wavenet, dropout=0.5))
    codes, speaker = torch.randint(K, (1, 40)), torch.tensor([0])
    assert torch.equal(prior.nll(codes, speaker), prior.nll(codes, speaker))
    prior.train()
    assert not torch.equal(prior.nll(codes, speaker), prior.nll(codes, speaker))
