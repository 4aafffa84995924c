import dataclasses
import math

import pytest
import torch

from speechvq.config import PriorConfig, WaveNetConfig
from speechvq.models.prior import Prior, delayed, undelayed

K = 7
CONFIG = PriorConfig(condition_channels=4, wavenet=WaveNetConfig(3, 3, 2, 8, 8, 16))


def make(codebooks=1, **settings) -> Prior:
    torch.manual_seed(0)
    prior = Prior(dataclasses.replace(CONFIG, **settings), K, ["a", "b"], codebooks).eval()
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


def test_dropout_is_of_training_alone():
    prior = make(wavenet=dataclasses.replace(CONFIG.wavenet, dropout=0.5))
    codes, speaker = torch.randint(K, (1, 40)), torch.tensor([0])
    assert torch.equal(prior.nll(codes, speaker), prior.nll(codes, speaker))
    prior.train()
    assert not torch.equal(prior.nll(codes, speaker), prior.nll(codes, speaker))


def test_the_delay_pattern():
    codes = torch.tensor([[[1, 2, 3], [4, 5, 6]]])
    steps = torch.tensor([[[1, K, K], [4, 2, K], [K, 5, 3], [K, K, 6]]])
    assert torch.equal(delayed(codes, start=K), steps)
    for shape in [(2, 5, 1), (3, 1, 4), (1, 0, 2), (2, 9, 3)]:
        codes = torch.randint(K, shape)
        assert torch.equal(undelayed(delayed(codes, start=K)), codes)
        if shape[2] == 1:
            assert torch.equal(delayed(codes, start=K), codes)


@pytest.mark.parametrize("G", [2, 4])
def test_the_likelihood_of_product_codes(G):
    """One step after the other, as the delay pattern is drawn."""
    prior, N = make(G), 6
    codes, speaker = torch.randint(K, (1, N, G)), torch.tensor([1])
    expected = torch.zeros(N)
    steps = torch.zeros(1, 0, G, dtype=torch.int64)
    with torch.no_grad():
        for t in range(N + G - 1):
            here = [codes[0, t - g, g].item() if 0 <= t - g < N else K for g in range(G)]
            steps = torch.cat([steps, torch.tensor([[here]])], dim=1)
            log_p = prior.wavenet(steps, prior.condition(speaker))[0, -1].log_softmax(-1)
            for g, code in enumerate(here):
                if code != K:
                    expected[t - g] -= log_p[g, code]
        found = prior.nll(codes, speaker)
        logits = prior(codes, prior.condition(speaker))
    torch.testing.assert_close(found, expected[None])
    assert logits.shape == (1, N, G, K)


def test_the_codes_of_a_frame_are_given_those_of_the_codebooks_before():
    prior, n, h = make(3), 8, 1
    codes = torch.randint(K, (1, 24, 3))
    other = codes.clone()
    other[0, n, h] = (codes[0, n, h] + 1) % K
    condition = prior.condition(torch.tensor([0]))
    changed = (prior(codes, condition) != prior(other, condition)).any(-1)[0]
    field = CONFIG.wavenet.receptive_field
    for g in range(3):
        first = n + h - g + 1
        assert changed[:, g].nonzero().flatten().tolist() == list(range(first, first + field))


def test_codes_after_the_end_of_a_row_count_nothing_and_change_nothing():
    prior = make(3)
    codes, speaker = torch.randint(K, (2, 12, 3)), torch.tensor([0, 1])
    codes[0, 7:] = K
    found = prior.nll(codes, speaker)
    torch.testing.assert_close(found[:1, :7], prior.nll(codes[:1, :7], speaker[:1]))
    assert not found[0, 7:].any() and found[1].all()


def test_what_stands_before_product_codes_is_never_drawn():
    prior = make(3)
    codes = torch.randint(K, (1, 20, 3))
    steps = delayed(codes, start=K)
    whole = prior.wavenet(steps, prior.condition(torch.tensor([0])))
    assert whole.softmax(-1)[..., K].max() == 0
    prior.nll(codes, torch.tensor([0])).sum().backward()
    for grad in (prior.wavenet.output.weight.grad, prior.wavenet.output.bias.grad):
        grad = grad.view(3, K + 1, -1)
        assert not grad[:, K].any() and grad[:, :K].any(-1).all()


def test_codes_that_follow_from_the_codebook_before_cost_nothing():
    """Codebook 0 is random, 1 a function of it: the delay alone lets the prior know this."""
    torch.manual_seed(0)
    prior = Prior(CONFIG, K, ["a"], codebooks=2)
    of_first, speaker = torch.randperm(K), torch.zeros(16, dtype=torch.int64)
    optimiser = torch.optim.Adam(prior.parameters(), lr=1e-2)
    for _ in range(200):
        first = torch.randint(K, (16, 32))
        nll = prior.nll(torch.stack([first, of_first[first]], dim=-1), speaker).mean()
        optimiser.zero_grad()
        nll.backward()
        optimiser.step()
    assert nll.item() == pytest.approx(math.log(K), rel=0.03)  # and not twice as much
