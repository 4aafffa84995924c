"""The compiled engine against the plain step, and both against the teacher-forced forward."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import speechvq
from speechvq.config import WaveNetConfig
from speechvq.models.wavenet import WaveNet
from speechvq.sampling.engine import Engine
from speechvq.sampling.step import Step

V, START = 256, 128

# layers, dilation_cycle, kernel_size, residual, skip, output channels; condition channels; period
SHAPES = [
    (1, 1, 2, 1, 1, 1, 1, 1),
    (3, 10, 2, 8, 8, 16, 4, 16),
    (7, 3, 2, 16, 8, 16, 5, 7),  # cycles that end in the middle
    (4, 2, 3, 8, 24, 8, 3, 10),
    (5, 4, 4, 5, 7, 9, 6, 3),  # widths that no vector register divides
    (6, 2, 5, 13, 16, 31, 1, 64),
    (10, 9, 2, 32, 32, 64, 16, 40),  # dilations up to 256, passed several times
    (20, 10, 2, 64, 64, 256, 64, 40),
]


def make_decoder(layers, cycle, kernel, C, S, O, G, seed=0, gain=2.0):  # noqa: E741
    torch.manual_seed(seed)
    config = WaveNetConfig(layers, cycle, kernel, C, S, O)
    decoder = WaveNet(config, V, G, START)
    with torch.no_grad():
        for weights in decoder.parameters():  # so large that gates saturate and logits differ
            weights.mul_(gain)
    return decoder


def make_input(G, period, T):
    rng = np.random.default_rng(1)
    M = -(-T // period)
    condition = rng.standard_normal((M, G)).astype(np.float32)
    return condition, rng.integers(0, V, M * period), rng.random(M * period)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logits_are_those_of_the_training_forward(shape):
    *sizes, G, period = shape
    decoder = make_decoder(*sizes, G)
    condition, levels, _ = make_input(G, period, 1200 if sizes[0] >= 10 else 300)
    with torch.no_grad():
        batch = torch.from_numpy(levels)[None], torch.from_numpy(condition)[None]
        expected = decoder(*batch)[0].numpy()
    assert np.ptp(expected) > 1
    engine = Engine(decoder).stream().score(condition, period, levels)
    np.testing.assert_allclose(engine, expected, atol=1e-4)
    short = 150 // period + 1
    step = Step(decoder).stream().score(condition[:short], period, levels[: short * period])
    np.testing.assert_allclose(step, expected[: len(step)], atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "temperature"), list(zip(SHAPES, [1.0, 0.5] * 4, strict=True)), ids=str
)
def test_samples_are_those_of_the_plain_step(shape, temperature):
    *sizes, G, period = shape
    decoder = make_decoder(*sizes, G)
    condition, _, uniforms = make_input(G, period, 1000 // sizes[0])
    engine = Engine(decoder).stream().draw(condition, period, uniforms, temperature)
    step = Step(decoder).stream().draw(condition, period, uniforms, temperature)
    np.testing.assert_array_equal(engine, step)
    assert len(set(engine.tolist())) > 10


@pytest.mark.parametrize("sampler", [Engine, Step])
def test_samples_do_not_depend_on_how_they_are_cut(sampler):
    *sizes, G, period = SHAPES[3]
    sampler = sampler(make_decoder(*sizes, G))
    condition, levels, uniforms = make_input(G, period, 300)
    whole = sampler.stream().draw(condition, period, uniforms)
    stream, parts = sampler.stream(), []
    for first, last in [(0, 1), (1, 2), (2, 17), (17, 30)]:
        part = slice(first * period, last * period)
        parts.append(stream.draw(condition[first:last], period, uniforms[part]))
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    # One vector that holds for twice as long is the same as two alike
    doubled = sampler.stream().draw(condition[:1].repeat(4, 0), period, uniforms[: 4 * period])
    longer = sampler.stream().draw(condition[:1], 4 * period, uniforms[: 4 * period])
    np.testing.assert_array_equal(doubled, longer)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_each_level_comes_as_often_as_the_softmax_says(temperature):
    """The oracle is the exact inverse of the cumulative distribution, in float64."""
    decoder = make_decoder(1, 1, 2, 4, 4, 4, 1)
    logits = np.random.default_rng(2).normal(0, 3, V)
    with torch.no_grad():
        decoder.output.weight.zero_()
        decoder.output.bias.copy_(torch.from_numpy(logits))
    scaled = decoder.output.bias.detach().numpy().astype(np.float64) / temperature
    p = np.exp(scaled - scaled.max())
    p /= p.sum()
    uniforms = (np.arange(20_000) + 0.5) / 20_000
    expected = np.searchsorted(np.cumsum(p), uniforms, side="right")
    condition = np.zeros((1, 1), np.float32)
    for sampler in (Engine(decoder), Step(decoder)):
        few = uniforms if isinstance(sampler, Engine) else uniforms[::20]
        drawn = sampler.stream().draw(condition, len(few), few, temperature)
        np.testing.assert_array_equal(drawn, expected if len(few) == 20_000 else expected[::20])
    counts = np.bincount(expected, minlength=V) / 20_000
    np.testing.assert_allclose(counts, p, atol=1e-4)


@pytest.mark.parametrize("sampler", [Engine, Step])
def test_the_last_random_number_below_one_is_a_level(sampler):
    decoder = make_decoder(1, 1, 2, 4, 4, 4, 1)
    uniforms = np.array([0.0, np.nextafter(1.0, 0.0)])
    drawn = sampler(decoder).stream().draw(np.zeros((1, 1), np.float32), 2, uniforms)
    assert drawn.tolist() == [0, 255]


def test_broken_weights_are_refused():
    decoder = make_decoder(*SHAPES[1][:-1])
    decoder.layers[1].gates.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="weights hold NaN"):
        Engine(decoder)


def test_the_engine_keeps_its_own_weights():
    *sizes, G, period = SHAPES[1]
    decoder = make_decoder(*sizes, G)
    condition, levels, _ = make_input(G, period, 50)
    engine = Engine(decoder)
    before = engine.stream().score(condition, period, levels)
    with torch.no_grad():
        for weights in decoder.parameters():
            weights.zero_()
    np.testing.assert_array_equal(engine.stream().score(condition, period, levels), before)


def test_no_folder_for_the_cache(tmp_path):
    """A read-only installation, a home that is not there: compiled for the run, nothing broken."""
    package = tmp_path / "speechvq"
    shutil.copytree(
        Path(speechvq.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    (package / "sampling" / "__pycache__").touch()  # no folder can be made of it
    nowhere = "/dev/null/nowhere"
    environment = os.environ | {
        "PYTHONPATH": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_CACHE_DIR": nowhere,
        "HOME": nowhere,
        "XDG_CACHE_HOME": nowhere,
        "NUMBA_OPT": "0",  # compiles in half the time
    }
    program = (
        "import logging; logging.basicConfig(level=logging.INFO)\n"
        "import speechvq.sampling.kernel as k; print(k.draw.stats.cache_path, k.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["None", str(package / "sampling" / "kernel.py")]
    assert "the compiled sampler cannot be cached" in done.stderr
