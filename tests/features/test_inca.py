"""INCA alignment of speakers whose cepstra differ by a linear transform."""

import numpy as np
import pytest
import torch

from speechvq.config import SpeakerNormalisationConfig
from speechvq.features.inca import _least_squares, inca_transforms, speaker_distance_ratio

CONFIG = SpeakerNormalisationConfig()


def transforms(spoken: list[torch.Tensor], **settings) -> list[torch.Tensor]:
    config = SpeakerNormalisationConfig(**settings)
    lengths = [10 * [320]] * len(spoken)
    return inca_transforms(spoken, lengths, rate=100, config=config, seed=0)


def two_speakers(distorted: float) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Frames of two speakers with the same sounds in other orders, one linearly distorted; and the
    sound of each frame."""
    rng = np.random.default_rng(0)
    D, sounds = 6, 12
    centres = 2 * rng.standard_normal((sounds, D))
    distortion = np.eye(D) + distorted * rng.standard_normal((D, D))
    spoken, said = [], []
    for distort in (np.eye(D), distortion):
        labels = np.repeat(rng.integers(sounds, size=400), 8)  # each sound for eight frames
        frames = (centres[labels] + 0.5 * rng.standard_normal((len(labels), D))) @ distort
        frames = torch.from_numpy((frames - frames.mean(0)) / frames.std(0)).float()
        spoken.append(frames)
        said.append(torch.from_numpy(labels))
    return spoken, said


def test_transforms_bring_the_same_sounds_together():
    spoken, said = two_speakers(distorted=0.35)

    def apart(matrices):
        means = [
            torch.stack([(x @ m)[labels == k].mean(0) for k in range(12)])
            for x, m, labels in zip(spoken, matrices, said, strict=True)
        ]
        return (means[0] - means[1]).square().mean() / means[0].square().mean()

    found = transforms(spoken)
    assert apart(found) < 0.5 * apart([torch.eye(6)] * 2)
    for x, matrix in zip(spoken, found, strict=True):
        spread = (x @ matrix).std(0)
        torch.testing.assert_close(spread, torch.ones(6), atol=0.02, rtol=0)


def test_speakers_near_each_other_are_left_alone():
    spoken, _ = two_speakers(distorted=0.02)
    for matrix in transforms(spoken):
        assert matrix.equal(torch.eye(6))


def test_a_threshold_decides_by_the_distance_ratio():
    """Distorted speakers are left alone below the threshold, similar ones mapped above it."""
    distorted, _ = two_speakers(distorted=0.35)
    similar, _ = two_speakers(distorted=0.02)
    assert all(m.equal(torch.eye(6)) for m in transforms(distorted, inca_threshold=1e6))
    assert not any(m.equal(torch.eye(6)) for m in transforms(similar, inca_threshold=0.0))


def test_distance_ratio_of_one_for_the_same_speech():
    rng = np.random.default_rng(0)
    frames = [torch.from_numpy(rng.standard_normal((3000, 4))).float() for _ in range(3)]
    assert speaker_distance_ratio(frames, CONFIG, seed=0) == pytest.approx(1, abs=0.1)
    moved = [frames[0], frames[1] + 2.0, frames[2] - 2.0]
    assert speaker_distance_ratio(moved, CONFIG, seed=0) > 2


def test_least_squares_is_numpys_and_shrinks_to_the_identity():
    torch.manual_seed(0)
    x, matrix = torch.randn(500, 4), torch.eye(4) + 0.3 * torch.randn(4, 4)
    y = x @ matrix + 0.1 * torch.randn(500, 4)
    expected = np.linalg.lstsq(x.numpy(), y.numpy(), rcond=None)[0]
    np.testing.assert_allclose(_least_squares(x, y, 0.0), expected, atol=1e-4)
    torch.testing.assert_close(_least_squares(x, y, 1e6), torch.eye(4), atol=1e-3, rtol=0)


def test_a_silent_speaker_keeps_the_identity():
    spoken, _ = two_speakers(distorted=0.35)
    found = transforms([spoken[0], torch.zeros(3200, 6), spoken[1]], inca_threshold=0.0)
    assert found[1].equal(torch.eye(6))
    for matrix, expected in zip(found[::2], transforms(spoken, inca_threshold=0.0), strict=True):
        assert matrix.isfinite().all() and not matrix.equal(torch.eye(6))
        assert (matrix - expected).abs().max() < 0.3
