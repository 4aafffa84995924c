"""Codes drawn from a prior have exactly the distribution of the prior; and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch

from speechvq.config import PriorConfig, WaveNetConfig
from speechvq.models.prior import Prior, delayed, undelayed
from speechvq.sampling import SamplingOptions, generation
from speechvq.sampling.engine import Engine
from speechvq.sampling.generation import longest_run, sample_codes
from speechvq.sampling.reference_step import ReferenceSampler

K = 9


def make(codebooks, codebook_size=K) -> Prior:
    torch.manual_seed(0)
    config = PriorConfig(condition_channels=4, wavenet=WaveNetConfig(3, 3, 2, 8, 8, 16))
    prior = Prior(config, codebook_size, ["a", "b"], codebooks).eval()
    with torch.no_grad():
        for name, weights in prior.named_parameters():
            if name != "wavenet.output.bias":
                weights.mul_(4)
    return prior


@pytest.fixture(scope="module")
def prior():
    return make(1)


@pytest.fixture(scope="module", params=[1, 3], ids=["codebook", "codebooks"])
def any_prior(request):
    return make(request.param)


def test_the_codes_are_those_of_the_definition(prior):
    """Teacher forcing on the drawn codes gives the distributions they were drawn from."""
    (drawn,) = sample_codes(prior, 300, ["b"], SamplingOptions(seed=5, temperature=0.8))
    with torch.no_grad():
        condition = prior.condition(torch.tensor([1]))
        logits = prior(torch.from_numpy(drawn)[None], condition)[0].double() / 0.8
    gathered = logits.softmax(-1).cumsum(-1).numpy()
    u = np.random.Generator(np.random.PCG64(5)).random((300, 1))
    expected = (gathered < u).sum(1)
    assert (expected == drawn).mean() > 0.99  # rounding may move one that falls on an edge


def test_product_codes_are_those_of_the_definition():
    prior, N, G = make(3), 300, 3
    (drawn,) = sample_codes(prior, N + G - 1, ["b"], SamplingOptions(seed=5, temperature=0.8))
    with torch.no_grad():
        condition = prior.condition(torch.tensor([1]))
        logits = prior(torch.from_numpy(drawn)[None], condition)[0].double() / 0.8
    gathered = logits.softmax(-1).cumsum(-1)
    # No code depends on one that is G or more frames later, nor on the end
    u = np.random.Generator(np.random.PCG64(5)).random((N + 2 * (G - 1), G))
    u = undelayed(torch.from_numpy(u)[None])[0]
    expected = (gathered < u.unsqueeze(-1)).sum(-1).numpy()
    assert (expected == drawn)[:N].mean() > 0.99
    assert drawn.shape == (N + G - 1, G) and (drawn.max(0) == K - 1).all()


@pytest.mark.parametrize("codebook_size", [K, 512])
@pytest.mark.parametrize("prompted", [0, 2, 20])
def test_the_engine_draws_product_codes_as_the_reference_does(prompted, codebook_size, monkeypatch):
    prior = make(4, codebook_size)
    prompt = np.random.default_rng(0).integers(0, codebook_size, (prompted, 4))
    arguments = prior, 60, ["a", "b"], SamplingOptions(seed=2)
    compiled = sample_codes(*arguments, prompt=prompt)
    monkeypatch.setattr("speechvq.sampling.engine.Engine", lambda w, _: ReferenceSampler(w))
    for one, other in zip(compiled, sample_codes(*arguments, prompt=prompt), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_engine_knows_what_stands_before_the_beginning():
    prior = make(4, 512)
    codes = torch.randint(512, (2, 30, 4))
    steps = delayed(codes, start=512)
    with torch.no_grad():
        condition = prior.condition(torch.tensor([0, 1]))
        expected = prior(codes, condition)
    for sampler in (Engine(prior.wavenet), ReferenceSampler(prior.wavenet)):
        scores = sampler.streams(2).score(range(2), condition.numpy(), 33, steps.numpy())
        found = undelayed(torch.from_numpy(scores))[..., :512]
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        assert scores[..., 512].max() < -1000


def test_alone_or_beside_others_in_one_chunk_or_many(any_prior, monkeypatch):
    prior = any_prior
    together = sample_codes(prior, 40, ["a", "b", "a"], seeds=[1, 2, 3])
    monkeypatch.setattr(generation, "CHUNK_CODES", 7)
    monkeypatch.setattr(generation, "PRIOR_BATCH", 2)
    for speaker, seed, expected in zip("aba", (1, 2, 3), together, strict=True):
        (alone,) = sample_codes(prior, 40, [speaker], seeds=[seed])
        np.testing.assert_array_equal(alone, expected)
        assert alone.dtype == np.int64 and alone.shape == (
            (40,) if prior.codebooks == 1 else (40, 3)
        )
    for one, other in zip(
        sample_codes(prior, 40, ["a", "b", "a"], seeds=[1, 2, 3]), together, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    # A shorter sample is the beginning of a longer one
    np.testing.assert_array_equal(sample_codes(prior, 9, ["a"], seeds=[1])[0], together[0][:9])


@pytest.mark.parametrize("length", [1, 10])
def test_a_prompt_is_gone_on_from(any_prior, monkeypatch, length):
    prior = any_prior
    monkeypatch.setattr(generation, "CHUNK_CODES", 7)
    prompt = np.array([3, 1, 4, 1, 5, 2, 6, 5, 3, 5] * 3).reshape(10, 3)[:length]
    prompt = prompt[:, 0] if prior.codebooks == 1 else prompt
    (drawn,) = sample_codes(prior, 52, ["a"], SamplingOptions(top_k=1), prompt=prompt)
    with torch.no_grad():
        whole = torch.from_numpy(np.concatenate([prompt, drawn]))[None]
        likeliest = prior(whole, prior.condition(torch.tensor([0])))[0].argmax(-1).numpy()
    np.testing.assert_array_equal(drawn[:50], likeliest[length:][:50])


def test_a_prior_that_does_not_know_who_speaks():
    torch.manual_seed(0)
    wavenet = WaveNetConfig(1, 1, 2, 4, 4, 4)
    config = PriorConfig(by_speaker=False, condition_channels=2, wavenet=wavenet)
    prior = Prior(config, K, ["a", "b"]).eval()
    one, other = sample_codes(prior, 20, ["a", "nobody"], seeds=[4, 4])
    np.testing.assert_array_equal(one, other)
    knows = Prior(dataclasses.replace(config, by_speaker=True), K, ["a", "b"]).eval()
    assert len(sample_codes(knows, 5, ["nobody"])[0]) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"length": 0}, "length: must be at least 1 code, got 0"),
        ({"seeds": [1, 2]}, "1 speakers and 2 seeds"),
        ({"seeds": [-1]}, "seed: must be a whole number, 0 or more, got -1"),
        ({"prompt": np.array([0, K])}, r"prompt: codes must be 0 … 8"),
    ],
)
def test_what_is_refused(prior, arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_codes(prior, **({"length": 3, "speakers": ["a"]} | arguments))


def test_a_prompt_of_another_number_of_codebooks():
    with pytest.raises(ValueError, match=r"prompt: expected codes of shape \(n,\), got \(4, 3\)"):
        sample_codes(make(1), 3, ["a"], prompt=np.zeros((4, 3), int))
    with pytest.raises(ValueError, match=r"prompt: expected codes of shape \(n, 3\), got \(4,\)"):
        sample_codes(make(3), 3, ["a"], prompt=np.zeros(4, int))


def test_the_longest_run():
    assert longest_run(np.array([1, 1, 2, 2, 2, 1])) == 3
    assert longest_run(np.array([7])) == 1
    assert longest_run(np.zeros(0, np.int64)) == 0
    # Of product codes: a run in which no codebook changes
    assert longest_run(np.array([[1, 2], [1, 3], [1, 3], [1, 3], [2, 3]])) == 3
    assert longest_run(np.zeros((0, 2), np.int64)) == 0
