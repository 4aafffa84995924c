"""Voices that have their sounds in different places."""

import numpy as np
import pytest
import torch

from speechvq.models.sounds import SOUNDS, Sounds

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


def test_kinds_come_together_though_nobody_tells_them():
    voices = [spoken(3000, SHIFT, seed) for seed in (1, 2)]
    sounds = Sounds(D)
    own = sounds.fit([x for x, _ in voices], seed=0)
    assert own.shape == (2, SOUNDS, D)
    moved = [(sounds(x, o), kinds) for (x, kinds), o in zip(voices, own, strict=True)]
    assert apart(*moved) < 0.5 * apart(*voices)
    for y, kinds in moved:  # and each kind stays as wide as it is
        within = torch.stack([y[kinds == k].var(0) for k in range(KINDS)]).mean()
        assert within == pytest.approx(0.6**2, rel=0.1)


def test_what_lies_where_all_have_it_stays():
    sounds = Sounds(D)
    x, _ = spoken(500, 0.0, 1)
    assert torch.equal(sounds(x, sounds.means), x)  # before anything is known
    (own,) = sounds.fit([x], seed=0)
    torch.testing.assert_close(sounds(x, own), x)  # a voice alone
    torch.testing.assert_close(sounds.which(x, own).sum(1), torch.ones(500))


def test_who_says_little_is_moved_little():
    talker, other = spoken(4000, 0.0, 1)[0], spoken(4000, SHIFT, 2)[0]
    moves = []
    for count in (20, 4000):
        sounds = Sounds(D)
        own = sounds.fit([talker, other[:count]], seed=0)
        few = other[:20]
        moves.append((sounds(few, own[1]) - few).square().mean())
    assert moves[0] < 0.3 * moves[1]


@pytest.mark.parametrize("count", [1, 2, 50])
def test_few_frames(count):
    sounds = Sounds(D)
    x = torch.randn(count, D)
    (own,) = sounds.fit([x], seed=0)
    assert sounds(x, own).isfinite().all()
