"""When a codebook has collapsed, and when too little was scored to tell."""

import numpy as np
import pytest
import torch

from speechvq.training.validate import Validation


def collapse(counts, codebooks=1, **few):
    return Validation({}, 0.0, torch.as_tensor(counts).reshape(codebooks, -1)).collapse(**few)


def test_the_numbers():
    fault = collapse([90, 10, 50, 50, 20, 20, 60] + 9 * [0])
    assert fault.startswith("9 of 16 codes were never used on the validation data (300 codes, perp")
    p = np.array([90, 10, 50, 50, 20, 20, 60]) / 300
    assert f"perplexity {np.exp(-(p * np.log(p)).sum()):.1f})" in fault


@pytest.mark.parametrize("counts", [[], 8 * [5] + 8 * [0], 16 * [1], [1] + 15 * [0]])
def test_well_used(counts):
    """No codes at all, half of them, all of them, and one scored code, which can be but one."""
    assert collapse(counts) is None


@pytest.mark.parametrize("scored", [20, 500, 4096, 50000])
def test_equally_likely_codes_are_no_collapse(scored):
    """However few are scored; and half as many different ones are just none."""
    random = np.random.default_rng(scored)
    drawn = random.integers(4096, size=scored)
    assert collapse(np.bincount(drawn, minlength=4096)) is None
    assert collapse(np.bincount(drawn % 1500, minlength=4096)) is None or scored > 1500
    assert collapse(np.bincount(drawn % 5, minlength=4096)) is not None


def test_another_threshold():
    assert collapse([50, 50, 0, 0, 0, 0, 0, 0]) is not None
    assert collapse([50, 50, 0, 0, 0, 0, 0, 0], few=0.2) is None


def test_one_of_several_codebooks():
    """As told of that one alone; the others do not make up for it."""
    well, bad = 8 * [20], [150, 10] + 6 * [0]
    assert collapse(well + well, 2) is None
    for both in (well + bad, bad + well):
        assert collapse(both, 2) == collapse(bad)
    assert collapse(bad).startswith("6 of 8 codes were never used on the validation data (160 co")
