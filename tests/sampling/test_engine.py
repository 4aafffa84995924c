"""The compiled engine against the plain step, and both against the teacher-forced forward."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import speechvq
from speechvq.config import WaveNetConfig
from speechvq.models.long_term import LongTermPredictor
from speechvq.models.wavenet import WaveNet
from speechvq.sampling.engine import Engine
from speechvq.sampling.options import Distribution
from speechvq.sampling.reference_step import ReferenceSampler

V = 256

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


def make_decoder(layers, cycle, kernel, C, S, O, G, bands=1, gain=2.0, levels=V):  # noqa: E741
    torch.manual_seed(0)
    config = WaveNetConfig(layers, cycle, kernel, C, S, O)
    decoder = WaveNet(config, levels, G, start=levels // 2, bands=bands)
    with torch.no_grad():
        for weights in decoder.parameters():  # so large that gates saturate and logits differ
            weights.mul_(gain)
    return decoder


def make_long_term(bands, step_rate=400.0):
    """A decoder with a long-term predictor; the low step rate makes its history a short one."""
    torch.manual_seed(0)
    config, predictor = WaveNetConfig(3, 3, 2, 8, 8, 16), LongTermPredictor(8, bands, step_rate)
    decoder = WaveNet(config, V, 4, start=V // 2, bands=bands, long_term=predictor)
    with torch.no_grad():
        for weights in decoder.parameters():
            weights.mul_(2)
    return decoder


def make_input(G, period, T, count=1, bands=1, levels=V):
    rng = np.random.default_rng(1)
    M = -(-T // period)
    condition = rng.standard_normal((count, M, G)).astype(np.float32)
    shape = count, M * period, bands
    return condition, rng.integers(0, levels, shape), rng.random(shape)


def teacher_forced(decoder, condition, levels):
    with torch.no_grad():
        return decoder(torch.from_numpy(levels), torch.from_numpy(condition)).numpy()


@pytest.mark.parametrize("bands", [1, 4])
@pytest.mark.parametrize("count", [1, 6])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_logits_are_those_of_the_training_forward(shape, count, bands):
    *sizes, G, period = shape
    decoder = make_decoder(*sizes, G, bands)
    condition, levels, _ = make_input(G, period, 1200 if sizes[0] >= 10 else 300, count, bands)
    expected = teacher_forced(decoder, condition, levels)
    assert np.ptp(expected) > 1
    slots = range(count)
    engine = Engine(decoder).streams(count).score(slots, condition, period, levels)
    np.testing.assert_allclose(engine, expected, atol=1e-4)
    M = 100 // period + 1
    few = slots, condition[:, :M], period, levels[:, : M * period]
    step = ReferenceSampler(decoder).streams(count).score(*few)
    np.testing.assert_allclose(step, expected[:, : M * period], atol=1e-4)


@pytest.mark.parametrize("bands", [1, 4])
@pytest.mark.parametrize("count", [1, 6])
def test_logits_with_a_long_term_predictor(count, bands):
    decoder = make_long_term(bands)
    condition, levels, uniforms = make_input(4, 5, 200, count, bands)
    expected = teacher_forced(decoder, condition, levels)
    without, decoder.long_term = decoder.long_term, None
    assert np.abs(teacher_forced(decoder, condition, levels) - expected).max() > 0.1
    decoder.long_term = without
    slots = range(count)
    for sampler in (Engine(decoder), ReferenceSampler(decoder)):
        streams = sampler.streams(count)
        for _ in range(2):  # what is remembered of an utterance is forgotten
            for slot in slots:
                streams.restart(slot)
            parts = [
                streams.score(slots, condition[:, i : i + 8], 5, levels[:, 5 * i : 5 * i + 40])
                for i in range(0, 40, 8)
            ]
            np.testing.assert_allclose(np.concatenate(parts, axis=1), expected, atol=1e-4)
    drawn = Engine(decoder).streams(count).draw(slots, condition, 5, uniforms)
    step = ReferenceSampler(decoder).streams(count).draw(slots, condition, 5, uniforms)
    np.testing.assert_array_equal(drawn, step)


@pytest.mark.parametrize("bands", [1, 4])
def test_logits_over_thousands_of_steps(bands):
    """Longer than any ring, so that each wraps round; nothing adds up."""
    *sizes, G, period = SHAPES[-1]
    decoder = make_decoder(*sizes, G, bands)
    condition, levels, _ = make_input(G, period, 6000, bands=bands)
    expected = teacher_forced(decoder, condition, levels)
    scored = Engine(decoder).streams(1).score([0], condition, period, levels)
    np.testing.assert_allclose(scored, expected, atol=1e-4)


@pytest.fixture(scope="module")
def trained():
    """A decoder that has learned a little: to follow a tone whose level the condition tells."""
    torch.manual_seed(0)
    decoder = WaveNet(WaveNetConfig(6, 6, 2, 32, 32, 64), V, 2, V // 2)
    optimizer = torch.optim.Adam(decoder.parameters(), 3e-3)
    t = torch.arange(2000)
    first = None
    for step in range(60):
        condition = torch.rand(4, 20, 2)
        loudness = condition[..., 0].repeat_interleave(100, 1)
        levels = (128 + 100 * loudness * torch.sin(0.07 * t + step)).long()
        logits = decoder(levels.unsqueeze(-1), condition)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 2), levels.flatten())
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.7 * first
    return decoder.eval()


def test_trained_weights(trained):
    rng = np.random.default_rng(0)
    condition = rng.random((3, 20, 2)).astype(np.float32)
    uniforms = rng.random((3, 2000, 1))
    drawn = Engine(trained).streams(3).draw(range(3), condition, 100, uniforms)
    np.testing.assert_allclose(
        Engine(trained).streams(3).score(range(3), condition, 100, drawn),
        teacher_forced(trained, condition, drawn.astype(np.int64)),
        atol=1e-4,
    )
    step = (
        ReferenceSampler(trained)
        .streams(3)
        .draw(range(3), condition[:, :4], 100, uniforms[:, :400])
    )
    np.testing.assert_array_equal(drawn[:, :400], step)


@pytest.mark.parametrize("bands", [1, 4])
@pytest.mark.parametrize(
    ("shape", "distribution"),
    list(
        zip(
            SHAPES,
            [Distribution(), Distribution(0.5), Distribution(2.0, top_k=60, top_p=0.9)] * 3,
            strict=False,
        )
    ),
    ids=str,
)
def test_samples_are_those_of_the_plain_step(shape, distribution, bands):
    *sizes, G, period = shape
    decoder = make_decoder(*sizes, G, bands)
    condition, _, uniforms = make_input(G, period, 1000 // sizes[0], 2, bands)
    arguments = range(2), condition, period, uniforms, distribution
    engine = Engine(decoder).streams(2).draw(*arguments)
    np.testing.assert_array_equal(engine, ReferenceSampler(decoder).streams(2).draw(*arguments))
    for j in range(bands):
        assert len(set(engine[..., j].ravel().tolist())) > 10


@pytest.mark.parametrize("sampler", [Engine, ReferenceSampler])
def test_bands_hear_of_each_other_what_is_past(sampler):
    *sizes, G, period = SHAPES[4]
    sampler, t = sampler(make_decoder(*sizes, G, bands=4)), 50
    condition, levels, uniforms = make_input(G, period, 90, bands=4)
    one = sampler.streams(1).score([0], condition, period, levels)
    levels[0, t, 1] = (levels[0, t, 1] + V // 2) % V
    two = sampler.streams(1).score([0], condition, period, levels)
    np.testing.assert_array_equal(one[:, : t + 1], two[:, : t + 1])
    assert (np.abs(one - two)[0, t + 1].max(-1) > 0.1).all()  # in each band

    one = sampler.streams(1).draw([0], condition, period, uniforms)
    uniforms[0, t, 1] = (uniforms[0, t, 1] + 0.5) % 1
    two = sampler.streams(1).draw([0], condition, period, uniforms)
    np.testing.assert_array_equal(one[:, :t], two[:, :t])
    assert (one != two)[0, t].tolist() == [False, True, False, False]
    assert (one != two)[0, t + 1 :].any(0).all()


@pytest.mark.parametrize("bands", [1, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("shape", [SHAPES[4], SHAPES[6]], ids=str)
def test_an_utterance_does_not_depend_on_those_beside_it(shape, count, bands):
    """To the last bit, though others are multiplied in other blocks."""
    *sizes, G, period = shape
    engine = Engine(make_decoder(*sizes, G, bands))
    condition, levels, uniforms = make_input(G, period, 400, count, bands)
    together = engine.streams(count).score(range(count), condition, period, levels)
    drawn = engine.streams(count).draw(range(count), condition, period, uniforms)
    for slot in {0, count - 1}:
        mine = slice(slot, slot + 1)
        alone = engine.streams(1).score([0], condition[mine], period, levels[mine])
        np.testing.assert_array_equal(together[mine], alone)
        alone = engine.streams(1).draw([0], condition[mine], period, uniforms[mine])
        np.testing.assert_array_equal(drawn[mine], alone)


@pytest.mark.parametrize("bands", [1, 4])
@pytest.mark.parametrize("shape", [SHAPES[3], (10, 9, 2, 32, 32, 64, 16, 7)], ids=str)
@pytest.mark.parametrize("sampler", [Engine, ReferenceSampler])
def test_samples_do_not_depend_on_how_they_are_cut(sampler, shape, bands):
    """Nor when the cut falls between steps whose past taps are multiplied at once."""
    *sizes, G, period = shape
    sampler = sampler(make_decoder(*sizes, G, bands))
    condition, _, uniforms = make_input(G, period, 30 * period, bands=bands)
    whole = sampler.streams(1).draw([0], condition, period, uniforms)
    streams, parts = sampler.streams(1), []
    for first, last in [(0, 1), (1, 2), (2, 17), (17, 30)]:
        part = slice(first * period, last * period)
        parts.append(streams.draw([0], condition[:, first:last], period, uniforms[:, part]))
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)
    # One vector that holds for twice as long is the same as two alike
    few = uniforms[:, : 4 * period]
    doubled = sampler.streams(1).draw([0], condition[:, :1].repeat(4, 1), period, few)
    longer = sampler.streams(1).draw([0], condition[:, :1], 4 * period, few)
    np.testing.assert_array_equal(doubled, longer)


@pytest.mark.parametrize("bands", [1, 4])
@pytest.mark.parametrize("sampler", [Engine, ReferenceSampler])
def test_utterances_begin_pause_and_end_when_they_will(sampler, bands):
    *sizes, G, period = SHAPES[6]
    sampler = sampler(make_decoder(*sizes, G, bands))
    condition, _, uniforms = make_input(G, period, 6 * period, 3, bands)
    alone = [
        sampler.streams(1).draw([0], condition[i : i + 1], period, uniforms[i : i + 1])[0]
        for i in range(3)
    ]
    streams = sampler.streams(2)

    def draw(slots, utterances, first, last):
        part = slice(first * period, last * period)
        drawn = streams.draw(
            slots, condition[utterances, first:last], period, uniforms[utterances, part]
        )
        for utterance, row in zip(utterances, drawn, strict=True):
            np.testing.assert_array_equal(row, alone[utterance][part])

    draw([0, 1], [0, 1], 0, 2)
    draw([1], [1], 2, 6)  # 0 pauses, 1 ends
    streams.restart(1)
    draw([1], [2], 0, 2)  # another one in its place
    draw([0], [0], 2, 4)
    draw([1], [2], 2, 4)
    draw([1, 0], [2, 0], 4, 6)


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("levels", [5, 100, 256, 301])
def test_any_number_of_levels(levels, bands):
    """In a matrix whose columns are filled up after the last band only."""
    decoder = make_decoder(2, 2, 2, 8, 8, 8, 2, bands, levels=levels)
    condition, given, uniforms = make_input(2, 4, 200, 2, bands, levels)
    scored = Engine(decoder).streams(2).score(range(2), condition, 4, given)
    np.testing.assert_allclose(scored, teacher_forced(decoder, condition, given), atol=1e-4)
    arguments = range(2), condition, 4, uniforms
    drawn = Engine(decoder).streams(2).draw(*arguments)
    np.testing.assert_array_equal(drawn, ReferenceSampler(decoder).streams(2).draw(*arguments))
    assert levels * 0.6 < drawn.max() < levels


def constant_decoder(*logits):
    """Whatever came before, these are the logits, one array a band."""
    decoder = make_decoder(1, 1, 2, 4, 4, 4, 1, bands=len(logits))
    with torch.no_grad():
        decoder.output.weight.zero_()
        decoder.output.bias.copy_(torch.from_numpy(np.concatenate(logits)))
    return decoder


@pytest.mark.parametrize(
    "distribution",
    [
        Distribution(),
        Distribution(0.5),
        Distribution(3.0),
        Distribution(top_k=1),
        Distribution(top_k=7),
        Distribution(top_k=1000),
        Distribution(top_p=0.5),
        Distribution(top_p=1e-9),
        Distribution(1.5, top_k=20, top_p=0.9),
    ],
    ids=str,
)
def test_each_level_comes_as_often_as_the_softmax_says(distribution):
    """In each band; the oracle is the exact inverse of its cumulative distribution, in float64."""
    decoder = constant_decoder(*np.random.default_rng(2).normal(0, [[3], [2]], (2, V)))
    n = 20_000
    uniforms = (np.arange(n) + 0.5) / n
    uniforms = np.stack([uniforms, uniforms[::-1]], axis=-1)
    expected = np.empty((n, 2), np.int64)
    logits = decoder.output.bias.detach().double().reshape(2, V).numpy()
    for j, scaled in enumerate(logits / distribution.temperature):
        p = np.exp(scaled - scaled.max())
        p /= p.sum()
        order = np.argsort(-p)
        mass_before = np.cumsum(p[order]) - p[order]
        top_k, top_p = distribution.top_k or V, distribution.top_p or 1.0
        p[order[(mass_before >= top_p) | (np.arange(V) >= top_k)]] = 0
        p /= p.sum()
        expected[:, j] = np.searchsorted(np.cumsum(p), uniforms[:, j], side="right")
        np.testing.assert_allclose(np.bincount(expected[:, j], minlength=V) / n, p, atol=1e-4)

    condition = np.zeros((1, 1, 1), np.float32)
    drawn = Engine(decoder).streams(1).draw([0], condition, n, uniforms[None], distribution)[0]
    np.testing.assert_array_equal(drawn, expected)
    few = uniforms[None, ::20]
    drawn = ReferenceSampler(decoder).streams(1).draw([0], condition, n // 20, few, distribution)[0]
    np.testing.assert_array_equal(drawn, expected[::20])


@pytest.mark.parametrize("sampler", [Engine, ReferenceSampler])
def test_equal_levels_are_kept_from_the_lowest_on(sampler):
    streams = sampler(constant_decoder(np.zeros(V))).streams(1)
    uniforms = np.arange(512)[None, :, None] / 512
    for distribution, kept in (
        (Distribution(top_k=3), 3),
        (Distribution(top_p=0.25), 64),
        (Distribution(top_p=0.009), 3),
    ):
        drawn = streams.draw([0], np.zeros((1, 1, 1), np.float32), 512, uniforms, distribution)
        assert set(drawn.ravel().tolist()) == set(range(kept))


@pytest.mark.parametrize("sampler", [Engine, ReferenceSampler])
def test_the_last_random_number_below_one_is_a_level_that_can_come(sampler):
    logits = np.zeros(V)
    streams = sampler(constant_decoder(logits)).streams(1)
    uniforms = np.array([[[0.0], [np.nextafter(1.0, 0.0)]]])
    arguments = [0], np.zeros((1, 1, 1), np.float32), 2, uniforms
    assert streams.draw(*arguments).ravel().tolist() == [0, 255]
    assert streams.draw(*arguments, Distribution(top_k=9)).ravel().tolist() == [0, 8]


def test_tanh_exp_and_sigma_are_close_enough():
    """Over all that can come: through a layer of one channel, and through the distribution."""
    from speechvq.sampling import kernel

    x = np.linspace(-87, 0, 100_001).astype(np.float32)
    exp = np.array([kernel._exp(v) for v in x[::10]])
    np.testing.assert_allclose(exp, np.exp(x[::10].astype(np.float64)), rtol=3e-7)
    above, below = (np.polynomial.Polynomial(c) for c in (kernel._ABOVE, kernel._BELOW))
    x = np.linspace(-8, 8, 100_001)
    np.testing.assert_allclose(x * above(x * x) / below(x * x), np.tanh(x), atol=4e-7)
    assert 1 - np.tanh(8) < 4e-7  # where it is cut off


def test_bfloat16_keeps_what_its_weights_tell():
    """The same as a decoder whose layers' weights were rounded, and near to the exact one."""
    *sizes, G, period = SHAPES[6]
    decoder = make_decoder(*sizes, G, gain=1.0)
    condition, levels, _ = make_input(G, period, 400, count=2)
    arguments = range(2), condition, period, levels
    exact = Engine(decoder).streams(2).score(*arguments)
    rounded = Engine(decoder, "bfloat16").streams(2).score(*arguments)
    assert 1e-5 < np.abs(rounded - exact).max() < 0.02 * np.ptp(exact)
    with torch.no_grad():
        for name, weights in decoder.named_parameters():
            if not name.startswith(("embed", "condition")) and not name.endswith("bias"):
                weights.copy_(weights.bfloat16())
    np.testing.assert_allclose(rounded, teacher_forced(decoder, condition, levels), atol=1e-5)
    with pytest.raises(ValueError, match="precision: expected float32 or bfloat16, got 'int8'"):
        Engine(decoder, "int8")


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_weights_of_half_precision_give_the_same_in_half_the_memory(monkeypatch, rows):
    from speechvq.sampling import kernel

    if not kernel.HALVES:
        pytest.skip("this processor has no instruction for half precision")
    *sizes, G, period = SHAPES[6]
    decoder = make_decoder(*sizes, G, gain=1.0)
    with torch.no_grad():
        for weights in decoder.parameters():
            if weights.ndim > 1:
                weights.copy_(weights.half())
    condition, levels, _ = make_input(G, period, 400, count=rows)
    found = {}
    for halves in (True, False):
        monkeypatch.setattr(kernel, "HALVES", halves)
        engine = Engine(decoder)
        found[engine.weights.output.itemsize] = engine.streams(rows).score(
            range(rows), condition, period, levels
        )
    np.testing.assert_array_equal(found[2], found[4])
    with torch.no_grad():
        decoder.output.weight[0, 0] = 1 + 2**-12  # half precision has no such number
    monkeypatch.setattr(kernel, "HALVES", True)
    assert Engine(decoder).weights.output.itemsize == 4


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
    before = engine.streams(1).score([0], condition, period, levels)
    with torch.no_grad():
        for weights in decoder.parameters():
            weights.zero_()
    after = engine.streams(1).score([0], condition, period, levels)
    np.testing.assert_array_equal(after, before)


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
        "import numpy, speechvq.sampling.kernel as k\n"
        "print(k.compiled(numpy.float32).stats.cache_path, k.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["None", str(package / "sampling" / "kernel.py")]
    assert "the compiled sampler cannot be cached" in done.stderr


@pytest.mark.parametrize("cpu", ["haswell", "x86-64"])
def test_other_processors(cpu, tmp_path):
    """Without AVX-512, weights are packed and multiplied in narrower panels."""
    if platform.machine() != "x86_64":
        pytest.skip("the processors that are tried are of x86")
    program = (
        "import test_engine as t, speechvq.sampling.kernel as k\n"
        "assert k.PANEL == 4, k.PANEL\n"
        "for shape in (t.SHAPES[4], t.SHAPES[6]):\n"
        "    for count, bands in ((1, 1), (6, 1), (1, 4), (6, 4)):\n"
        "        t.test_logits_are_those_of_the_training_forward(shape, count, bands)\n"
        "t.test_an_utterance_does_not_depend_on_those_beside_it(t.SHAPES[6], 9, bands=4)\n"
        "print('right')"
    )
    features = "+avx2,+fma" if cpu == "haswell" else "+sse2"
    environment = os.environ | {
        "NUMBA_CPU_NAME": cpu,
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "right", done.stderr
