"""Nearest neighbours between frames, with their context."""

import numpy as np
import pytest
import torch

from speechvq.features.neighbours import mean_distance, nearest, sample_frames, std, with_context


def test_context_is_of_the_utterance_and_a_fifth_of_a_second():
    frames = torch.arange(80.0)[:, None]
    found = with_context(frames, [50, 30], rate=200, context=0.09)
    assert found[20].tolist() == [2, 8, 14, 20, 26, 32, 38]
    assert found[50].tolist() == [50, 50, 50, 50, 56, 62, 68]


def test_nearest_is_the_naive_loop():
    torch.manual_seed(0)
    query, reference = torch.randn(1203, 3), torch.randn(40, 3)
    found = nearest(query, reference)
    assert found.shape == (1203,)
    distances = (query[:, None] - reference).square().sum(-1)
    assert torch.equal(found, distances.argmin(1))
    assert mean_distance(query, reference) == pytest.approx(
        distances.amin(1).mean().item(), rel=1e-4
    )


def test_frames_are_drawn_without_repetition():
    frames = torch.zeros(50, 2)
    found = sample_frames(frames, 20, np.random.default_rng(0))
    assert len(found.unique()) == 20 and found.max() < 50
    assert sorted(sample_frames(frames, 100, np.random.default_rng(0)).tolist()) == list(range(50))


def test_std_of_a_constant_dimension_is_one():
    frames = torch.stack([torch.zeros(1000), 3 * torch.randn(1000)], dim=1)
    found = std(frames)
    assert found[0] == 1 and found[1] == pytest.approx(frames[:, 1].std().item(), rel=0.01)
