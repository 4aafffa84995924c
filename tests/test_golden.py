"""Numbers that stay true: across releases, instruction sets of x86 and numbers of threads.

The folders and numbers beside tests/golden/tiny.py are those of an earlier release. That a folder
is still read is part of the test. tests/test_pretrained.py does the same for the packaged model.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import speechvq
from speechvq.model_folder import PRETRAINED

GOLDEN = Path(__file__).parent / "golden"
MODELS = ("streaming", "paper")
BOUND = 1e-4
"""Largest difference of what is computed, in its standard deviation."""
PROCESSORS = {
    "sse2": (
        {
            "ATEN_CPU_CAPABILITY": "default",
            "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
            "ONEDNN_MAX_CPU_ISA": "SSE41",
            "NUMBA_CPU_NAME": "x86-64",
            "NUMBA_CPU_FEATURES": "+sse2",
        },
        "DEFAULT 4",
    ),
    "avx2": (
        {
            "ATEN_CPU_CAPABILITY": "avx2",
            "MKL_ENABLE_INSTRUCTIONS": "AVX2",
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "NUMBA_CPU_NAME": "haswell",
            "NUMBA_CPU_FEATURES": "+avx2,+fma",
        },
        "AVX2 4",
    ),
    "avx512": (
        {
            "ATEN_CPU_CAPABILITY": "avx512",
            "MKL_ENABLE_INSTRUCTIONS": "AVX512",
            "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
            "NUMBA_CPU_NAME": "skylake-avx512",
            "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx512f,+avx512bw,+avx512dq,+avx512vl,+avx512cd",
        },
        "AVX512 8",
    ),
}
"""Variables that choose a set, and what the program then says of PyTorch and of the sampler."""


@pytest.fixture(scope="module")
def tiny():
    spec = importlib.util.spec_from_file_location("tiny", GOLDEN / "tiny.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def threads():
    """Sets the number of threads."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def check(found, expected, least_sample: float) -> None:
    """Codes are the same, levels within one, samples within `least_sample`, the rest in BOUND."""
    assert set(found) == set(expected)
    for name in expected:
        if "codes" in name:
            atol = 0.0
        elif name == "levels":
            atol = 1.0  # and that only where a level lies between two
            assert (found[name] != expected[name]).mean() < 0.001
        else:
            atol = least_sample if "samples" in name else BOUND * expected[name].std()
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=atol, err_msg=name)


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as record:
        return dict(record)


@pytest.mark.parametrize("name", MODELS)
def test_numbers_are_those_of_earlier_releases(name, tiny, threads):
    threads(1)
    record = golden(name)
    check(tiny.numbers(GOLDEN / name, pinned=record["levels"]), record, 1 / 32768)


@pytest.mark.parametrize("name", MODELS)
def test_the_numbers_say_something(name):
    """So that the tests do not compare silence with silence."""
    record = golden(name)
    assert len(np.unique(record["codes"])) > 8 and len(np.unique(record["codes_prior"])) > 12
    for samples in (record["samples"], record["conversion_samples"]):
        assert len(samples) >= 1200 and samples.std() > 0.01
    for by in ("forward", "engine", "prior"):
        assert record[f"logits_{by}"].std() > 0.5


@pytest.mark.parametrize("name", MODELS)
def test_no_code_depends_on_rounding(name):
    """The second nearest vector of a codebook is farther than latents differ within BOUND."""
    record, quantizer = golden(name), speechvq.load(GOLDEN / name).vqvae.quantizer
    parts = np.split(record["latents"], len(quantizer.codebooks), axis=1)
    for latents, codebook in zip(parts, quantizer.codebooks, strict=True):
        distances = np.linalg.norm(latents[:, None] - codebook.numpy(), axis=2)
        nearest, second = np.sort(distances, axis=1)[:, :2].T
        error = BOUND * record["latents"].std() * np.sqrt(latents.shape[1])
        assert (second - nearest).min() > 2 * error


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A folder for compiled code that processors share, as a home on several machines."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    "processor", ["sse2", *(pytest.param(p, marks=pytest.mark.slow) for p in ("avx2", "avx512"))]
)
def test_numbers_are_those_of_other_processors(processor, cache, tmp_path):
    """And none of them runs what was compiled for another one."""
    variables, expected = PROCESSORS[processor]
    best, known = torch.backends.cpu.get_cpu_capability(), ["DEFAULT", "AVX2", "AVX512"]
    if best not in known or known.index(best) < known.index(expected.split()[0]):
        pytest.skip(f"{processor} cannot be tried here: PyTorch finds {best}")
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    unwanted = {"sse2": ("",), "avx2": ("512", "V4"), "avx512": ("no such",)}[processor]
    disabled = [f for f in found if any(part in f for part in unwanted)]
    compiled = set(cache.rglob("*.nbc"))
    done = subprocess.run(
        [sys.executable, GOLDEN / "tiny.py", tmp_path],
        env=os.environ
        | variables
        | {
            "NPY_DISABLE_CPU_FEATURES": " ".join(disabled),
            "NUMBA_CACHE_DIR": str(cache),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == expected, done.stderr
    assert len(set(cache.rglob("*.nbc")) - compiled) == 1
    for name in MODELS:
        with np.load(tmp_path / f"{name}.npz") as numbers:
            check(dict(numbers), golden(name), 1 / 32768)


def test_numbers_are_those_of_any_number_of_threads(tiny, threads):
    """Of the packaged model, which is large enough for PyTorch to share its sums out.

    What is drawn is the same to the last bit.
    """
    threads(1)
    alone = tiny.numbers(PRETRAINED, seconds=2)
    for count in (2, 3, 4):
        threads(count)
        check(tiny.numbers(PRETRAINED, seconds=2), alone, 0.0)
