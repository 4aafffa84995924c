"""The running mean: a slow loop in float64, the same in one piece and in many."""

import math

import numpy as np
import pytest
import torch

from speechvq.features import running_mean
from speechvq.features.running_mean import LEARNING_RATE, RunningMean

C, MEMORY, PRIOR = 5, 30.0, 4.0


def make(weight: float = 2.0) -> RunningMean:
    torch.manual_seed(0)
    norm = RunningMean(C, MEMORY, PRIOR)
    norm.mean.normal_()
    norm.weight.fill_(weight)
    return norm


def frames(n: int, rows: int = 2, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return 2 * torch.randn(rows, n, C) - 3 * torch.rand(rows, n, 1)  # some softer than others


def slow(norm: RunningMean, x: torch.Tensor) -> np.ndarray:
    """By the definition: an amplitude-weighted, exponentially fading mean, one frame at a time."""
    x, means = x.double().numpy(), np.zeros(x.shape)
    for row, found in zip(x, means, strict=True):
        weight = float(norm.weight) * norm.prior
        total = weight * norm.mean.double().numpy()
        for n, frame in enumerate(row):
            amplitude = math.sqrt(np.exp(frame).sum())
            fade = math.exp(-1 / MEMORY)
            total, weight = fade * total + amplitude * frame, fade * weight + amplitude
            found[n] = total / weight
    return means


@pytest.mark.parametrize("n", [1, 7, 8, 9, 16, 40])
def test_it_is_the_slow_loop(n, monkeypatch):
    """Over the borders of the chunks that are computed at once."""
    monkeypatch.setattr(running_mean, "CHUNK", 8)
    norm, x = make(), frames(n)
    means, _ = norm(x)
    np.testing.assert_allclose(means.numpy(), slow(norm, x), rtol=1e-4, atol=1e-4)


def test_long_recordings_keep_their_precision():
    norm, x = make(), frames(1700, 1)
    means, _ = norm(x)
    assert len(x[0]) > 3 * running_mean.CHUNK
    np.testing.assert_allclose(means.numpy(), slow(norm, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sizes", [[40], [1] * 40, [3, 0, 17, 20], [39, 1]], ids=len)
def test_a_state_goes_on(sizes, monkeypatch):
    monkeypatch.setattr(running_mean, "CHUNK", 8)
    norm, x = make(), frames(40)
    state, found = norm.begin(2), []
    for piece in x.split(sizes, dim=1):
        means, state = norm(piece, state)
        assert means.shape == piece.shape
        found.append(means)
    whole, end = norm(x)
    torch.testing.assert_close(torch.cat(found, dim=1), whole)
    for one, other in zip(state, end, strict=True):
        torch.testing.assert_close(one, other)


def test_a_recording_begins_with_the_mean_of_the_training_speech():
    """Which counts as so many frames of usual amplitude."""
    norm = make()
    x = torch.full((1, 1, C), 1.5)
    amplitude = math.sqrt(C * math.exp(1.5))
    fade = math.exp(-1 / MEMORY)
    for weight in (1e6, 0.7, 1e-6):
        norm.weight.fill_(weight)
        prior = fade * PRIOR * weight
        expected = (prior * norm.mean + amplitude * 1.5) / (prior + amplitude)
        torch.testing.assert_close(norm(x)[0][0, 0], expected)


def test_soft_frames_weigh_little():
    norm = make(1e-6)
    loud, soft = torch.full((1, 10, C), 0.0), torch.full((1, 10, C), -12.0)
    means, _ = norm(torch.cat([loud, soft], dim=1))
    assert means[0, -1].abs().max() < 0.05
    means, _ = norm(torch.cat([soft, loud], dim=1))
    assert means[0, -1].abs().max() < 0.05


def test_no_frame_depends_on_a_later_one():
    norm, x = make(), frames(20)
    other = x.clone()
    other[:, 12:] = 5.0
    assert torch.equal(norm(other)[0][:, :12], norm(x)[0][:, :12])
    assert not torch.allclose(norm(other)[0][:, 12], norm(x)[0][:, 12])


def test_learning_moves_the_prior_towards_the_batches():
    norm, x = make(), frames(50, 4)
    weights = x.exp().sum(-1, keepdim=True).sqrt()
    mean, weight = (weights * x).sum((0, 1)) / weights.sum(), weights.mean()
    before = norm.mean.clone(), norm.weight.clone()
    norm.learn(x)
    torch.testing.assert_close(norm.mean, before[0].lerp(mean, LEARNING_RATE))
    torch.testing.assert_close(norm.weight, before[1].lerp(weight, LEARNING_RATE))
    for _ in range(400):
        norm.learn(x)
    torch.testing.assert_close(norm.mean, mean, atol=2e-3, rtol=1e-3)
    torch.testing.assert_close(norm.weight, weight, atol=2e-3, rtol=1e-3)


def test_processes_learn_from_the_batches_of_all(monkeypatch):
    """Each of two, with one half of a batch, as one with the whole."""
    x = frames(30, 4)
    whole, half = make(), make()
    whole.learn(x)
    weights = x[2:].exp().sum(-1, keepdim=True).sqrt()

    def add_the_other_half(sums):
        own = [*(weights * x[2:]).sum((0, 1)), weights.sum(), torch.tensor(1.0)]
        sums += torch.stack(own)

    monkeypatch.setattr(running_mean, "sum_over_processes", add_the_other_half)
    half.learn(x[:2])
    torch.testing.assert_close(half.mean, whole.mean)
    torch.testing.assert_close(half.weight, whole.weight)
