"""Codes drawn from a prior have exactly the distribution of the prior; and what is refused."""

import dataclasses

import numpy as np
import pytest
import torch

from speechvq.config import PriorConfig, WaveNetConfig
from speechvq.models.prior import Prior
from speechvq.sampling import SamplingOptions, generation
from speechvq.sampling.generation import longest_run, sample_codes

K = 9


@pytest.fixture(scope="module")
def prior():
    torch.manual_seed(0)
    wavenet = WaveNetConfig(3, 3, 2, 8, 8, 16)
    prior = Prior(PriorConfig(condition_channels=4, wavenet=wavenet), K, ["a", "b"]).eval()
    with torch.no_grad():
        for name, weights in prior.named_parameters():
            if name != "wavenet.output.bias":
                weights.mul_(4)
    return prior


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


def test_alone_or_beside_others_in_one_chunk_or_many(prior, monkeypatch):
    together = sample_codes(prior, 40, ["a", "b", "a"], seeds=[1, 2, 3])
    monkeypatch.setattr(generation, "CHUNK_CODES", 7)
    monkeypatch.setattr(generation, "PRIOR_BATCH", 2)
    for speaker, seed, expected in zip("aba", (1, 2, 3), together, strict=True):
        (alone,) = sample_codes(prior, 40, [speaker], seeds=[seed])
        np.testing.assert_array_equal(alone, expected)
        assert alone.dtype == np.int64 and alone.shape == (40,)
    for one, other in zip(
        sample_codes(prior, 40, ["a", "b", "a"], seeds=[1, 2, 3]), together, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    # A shorter sample is the beginning of a longer one
    np.testing.assert_array_equal(sample_codes(prior, 9, ["a"], seeds=[1])[0], together[0][:9])


def test_a_prompt_is_gone_on_from(prior, monkeypatch):
    monkeypatch.setattr(generation, "CHUNK_CODES", 7)
    prompt = np.array([3, 1, 4, 1, 5, 2, 6, 5, 3, 5])
    (drawn,) = sample_codes(prior, 50, ["a"], SamplingOptions(top_k=1), prompt=prompt)
    with torch.no_grad():
        whole = torch.from_numpy(np.concatenate([prompt, drawn]))[None]
        likeliest = prior(whole, prior.condition(torch.tensor([0])))[0].argmax(-1).numpy()
    np.testing.assert_array_equal(drawn, likeliest[len(prompt) :])


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
        ({"seeds": [-1]}, "seed: must be 0 or more, got -1"),
        ({"prompt": np.array([0, K])}, r"prompt: codes must be 0 … 8"),
    ],
)
def test_what_is_refused(prior, arguments, message):
    with pytest.raises(ValueError, match=message):
        sample_codes(prior, **({"length": 3, "speakers": ["a"]} | arguments))


def test_the_longest_run():
    assert longest_run(np.array([1, 1, 2, 2, 2, 1])) == 3
    assert longest_run(np.array([7])) == 1
    assert longest_run(np.zeros(0, np.int64)) == 0
