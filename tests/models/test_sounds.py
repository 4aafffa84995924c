"""Voices that have their sounds in different places."""

import numpy as np
import pytest
import torch

from speechvq.models.sounds import Sounds

D, KINDS, SHIFT = 4, 9, 0.4


def spoken(count: int, shift: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames (T, D) of a voice, and of which kind each is; each kind lies elsewhere in each voice,
    by `shift` in a direction of its own."""
    centres = 3 * np.random.default_rng(0).standard_normal((KINDS, D))
    rng = np.random.default_rng(seed)
    centres = centres + shift * rng.standard_normal((KINDS, D))
    kinds = rng.integers(KINDS, size=count)
    frames = centres[kinds] + 0.6 * rng.standard_normal((count, D))
    return torch.from_numpy(frames).float(), torch.from_numpy(kinds)


def apart(one, other):
    """Mean squared distance of the kinds of two voices."""
    means = [
        torch.stack([x[kinds == k].mean(0) for k in range(KINDS)]) for x, kinds in (one, other)
    ]
    return (means[0] - means[1]).square().mean()


def fitted(*voices: torch.Tensor) -> Sounds:
    sounds = Sounds(D, len(voices))
    sounds.fit(voices, seed=0)
    return sounds


def moved(sounds: Sounds, x: torch.Tensor, speaker: int) -> torch.Tensor:
    return sounds(x[None], torch.tensor([speaker]))[0]


def test_kinds_come_together_though_nobody_tells_them():
    voices = [spoken(3000, SHIFT, seed) for seed in (1, 2)]
    sounds = fitted(*(x for x, _ in voices))
    after = [(moved(sounds, x, s), kinds) for s, (x, kinds) in enumerate(voices)]
    assert apart(*after) < 0.5 * apart(*voices)
    for y, kinds in after:  # and each kind stays as wide as it is
        within = torch.stack([y[kinds == k].var(0) for k in range(KINDS)]).mean()
        assert within == pytest.approx(0.6**2, rel=0.1)


def test_each_row_is_its_speaker_s():
    voices = [spoken(3000, SHIFT, seed)[0] for seed in (1, 2)]
    sounds = fitted(*voices)
    both = sounds(torch.stack([voices[1], voices[0]]), torch.tensor([1, 0]))
    torch.testing.assert_close(both[0], moved(sounds, voices[1], 1))
    torch.testing.assert_close(both[1], moved(sounds, voices[0], 0))


def test_who_says_the_same_is_not_moved():
    x, _ = spoken(3000, 0.0, 1)
    for sounds in (Sounds(D, 2), fitted(x, x)):
        torch.testing.assert_close(moved(sounds, x, 1), x)


def test_one_speaker_alone_is_not_moved():
    x, _ = spoken(500, 0.0, 1)
    assert torch.equal(moved(fitted(x), x, 0), x)


def test_the_silent_spoil_nothing():
    voices = [spoken(3000, SHIFT, seed)[0] for seed in (1, 2)]
    sounds = fitted(voices[0], torch.zeros(3000, D), voices[1])
    assert torch.equal(sounds.own[1], sounds.means)
    assert torch.equal(sounds.own[2], fitted(*voices).own[1])


def test_who_says_little_is_moved_little():
    talker, other = spoken(4000, 0.0, 1)[0], spoken(4000, SHIFT, 2)[0]
    few = other[:20]
    little, much = (moved(fitted(talker, other[:n]), few, 1) - few for n in (20, 4000))
    assert little.square().mean() < 0.3 * much.square().mean()


@pytest.mark.parametrize("count", [2, 50])
def test_few_frames(count):
    voices = [spoken(count, SHIFT, seed)[0] for seed in (1, 2)]
    assert moved(fitted(*voices), voices[1], 1).isfinite().all()
