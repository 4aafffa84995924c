"""Codes to speech: determinism, batches, threads, interrupts, and what is refused."""

import threading
import time

import numpy as np
import pytest
import torch

import speechvq
from speechvq import mu_law, sampling
from speechvq.models.vqvae import VQVAE
from speechvq.sampling import draw


@pytest.fixture(scope="module")
def model(tiny_config):
    torch.manual_seed(0)
    model = VQVAE(tiny_config, ["p225", "p226"]).eval()
    with torch.no_grad():
        for weights in model.decoder.parameters():
            weights.mul_(3)
    return model


@pytest.fixture(scope="module")
def codes(model):
    rng = np.random.default_rng(0)
    return [rng.integers(0, model.config.codebook_size, n) for n in (30, 1, 7, 200, 12)]


def test_a_waveform(model, codes):
    waveform = sampling.sample(model, codes[0], "p225")
    assert waveform.shape == (30 * model.hop_length,)
    assert waveform.dtype == np.float32
    amplitudes = mu_law.decode(torch.arange(256)).numpy()
    assert np.isin(waveform, amplitudes).all()


def test_the_samples_are_those_of_the_definition(model, codes):
    """Teacher forcing on the drawn samples gives the distributions they were drawn from."""
    waveform = sampling.sample(model, codes[0], "p226", seed=5, temperature=0.8)
    levels = mu_law.encode(torch.from_numpy(waveform))[None]
    with torch.no_grad():
        condition = model.condition(torch.from_numpy(codes[0])[None], torch.tensor([1]))
        logits = model.decoder(levels, condition)[0].double().numpy() / 0.8
    p = np.exp(logits - logits.max(1, keepdims=True))
    cumulative = np.cumsum(p / p.sum(1, keepdims=True), axis=1)
    uniforms = np.random.Generator(np.random.PCG64(5)).random(len(waveform))
    expected = [
        np.searchsorted(c, u, side="right") for c, u in zip(cumulative, uniforms, strict=True)
    ]
    np.testing.assert_array_equal(levels[0].numpy(), expected)


def test_seed_speaker_codes_and_temperature_matter_and_nothing_else(model, codes):
    base = sampling.sample(model, codes[0], "p225", seed=1)
    np.random.seed(3)
    torch.manual_seed(3)
    np.testing.assert_array_equal(sampling.sample(model, codes[0], "p225", seed=1), base)
    np.testing.assert_array_equal(
        sampling.sample(model, torch.from_numpy(codes[0]), "p225", seed=1), base
    )
    for other in (
        sampling.sample(model, codes[0], "p225", seed=2),
        sampling.sample(model, codes[0], "p226", seed=1),
        sampling.sample(model, codes[3][:30], "p225", seed=1),
        sampling.sample(model, codes[0], "p225", seed=1, temperature=0.5),
    ):
        assert not np.array_equal(other, base)


@pytest.mark.parametrize("threads", [1, 2, 5, None])
def test_a_batch_is_its_single_runs(model, codes, threads):
    speakers, seeds = ["p225", "p226", "p225", "p226", "p225"], [3, 1, 4, 1, 5]
    batch = sampling.sample_batch(model, codes, speakers, seeds=seeds, threads=threads)
    for waveform, *arguments in zip(batch, codes, speakers, seeds, strict=True):
        one, speaker, seed = arguments
        np.testing.assert_array_equal(waveform, sampling.sample(model, one, speaker, seed=seed))


def test_the_plain_step_stands_behind_the_same_call(model, codes, monkeypatch):
    """What draws on a GPU, here on the CPU."""
    expected = sampling.sample(model, codes[2], "p225")
    monkeypatch.setattr(draw, "_sampler", lambda model: draw.Step(model.decoder))
    np.testing.assert_array_equal(sampling.sample(model, codes[2], "p225"), expected)


def test_smooth_conditions(tiny_config):
    """Several condition vectors a code, and convolutions over them."""
    import dataclasses

    torch.manual_seed(1)
    config = dataclasses.replace(tiny_config, condition_upsample=4, condition_layers=1)
    model = VQVAE(config, ["a"]).eval()
    assert len(sampling.sample(model, np.array([1, 2, 3]), "a")) == 3 * model.hop_length


def test_progress_adds_up(model, codes):
    told = []
    sampling.sample_batch(model, codes, ["p225"] * 5, threads=3, progress=told.append)
    assert sum(told) == model.hop_length * sum(map(len, codes))
    told.clear()
    sampling.sample(model, np.tile(codes[3], 10), "p225", progress=told.append)
    assert len(told) > 10  # a quarter of a second at a time


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_ends_it_soon(model, threads):
    long = [np.zeros(100_000, np.int64)] * 4
    before = threading.active_count()

    def interrupt(samples):
        raise KeyboardInterrupt

    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        sampling.sample_batch(model, long, ["p225"] * 4, threads=threads, progress=interrupt)
    assert time.perf_counter() - began < 2
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": np.array([8])}, r"codes: 8 is out of range; this model's codes are 0 … 7"),
        ({"codes": np.array([3, -1])}, "codes: -1 is out of range"),
        ({"codes": np.array([], np.int64)}, r"codes: expected integers of shape \(N,\)"),
        ({"codes": np.array([[1]])}, r"got torch.int64 of shape \(1, 1\)"),
        ({"codes": np.array([1.5])}, "got torch.float64"),
        (
            {"speaker": "p22"},
            "unknown speaker 'p22'; this model knows p225, p226; did you mean p22",
        ),
        (
            {"temperature": 0.0},
            "temperature: must be above 0, got 0.0; .* argmax, which is not samp",
        ),
        ({"temperature": -1.0}, "temperature: must be above 0"),
        ({"temperature": float("nan")}, "temperature: must be above 0"),
        ({"temperature": float("inf")}, "temperature: must be above 0"),
        ({"seed": -1}, "seed: must be 0 or more, got -1"),
    ],
)
def test_what_is_refused(model, change, message):
    arguments = {"codes": np.array([1, 2]), "speaker": "p225"} | change
    with pytest.raises(ValueError, match=message):
        sampling.sample(model, **arguments)


def test_a_batch_whose_parts_do_not_fit(model, codes):
    with pytest.raises(ValueError, match="5 utterances, 2 speakers and 5 seeds"):
        sampling.sample_batch(model, codes, ["p225", "p226"])
    with pytest.raises(ValueError, match="one name an utterance expected"):
        sampling.sample_batch(model, codes, "p225")
    assert sampling.sample_batch(model, [], []) == []


@pytest.mark.parametrize("T", [1, 15, 16, 17, 500])
def test_a_conversion_is_as_long_as_its_source(model, T):
    waveform = np.sin(np.arange(T)).astype(np.float32) / 2
    converted = speechvq.convert(model, waveform, "p226", seed=2)
    assert converted.shape == (T,)
    codes = speechvq.encode(model, waveform)
    np.testing.assert_array_equal(converted, speechvq.sample(model, codes, "p226", seed=2)[:T])
