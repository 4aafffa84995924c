"""GMM mapping: speakers whose sounds lie in different places come together."""

import numpy as np
import pytest
import torch

from speechvq.config import SpeakerNormalisationConfig
from speechvq.features.gmm_mapping import GMMSpeakerMapping

D, KINDS, SHIFT = 4, 9, 0.4


def spoken(count: int, shift: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames (T, D) of a speaker, and the kind of sound of each; each kind lies elsewhere for each
    speaker, by `shift` in a random direction."""
    centres = 3 * np.random.default_rng(0).standard_normal((KINDS, D))
    rng = np.random.default_rng(seed)
    centres = centres + shift * rng.standard_normal((KINDS, D))
    kinds = rng.integers(KINDS, size=count)
    frames = centres[kinds] + 0.6 * rng.standard_normal((count, D))
    return torch.from_numpy(frames).float(), torch.from_numpy(kinds)


def apart(one, other):
    """Mean squared distance of the kinds of two speakers."""
    means = [
        torch.stack([x[kinds == k].mean(0) for k in range(KINDS)]) for x, kinds in (one, other)
    ]
    return (means[0] - means[1]).square().mean()


def make(speakers: int) -> GMMSpeakerMapping:
    return GMMSpeakerMapping(D, speakers, SpeakerNormalisationConfig())


def fitted(*speakers: torch.Tensor) -> GMMSpeakerMapping:
    mapping = make(len(speakers))
    mapping.fit(speakers, seed=0)
    return mapping


def mapped(mapping: GMMSpeakerMapping, x: torch.Tensor, speaker: int) -> torch.Tensor:
    return mapping(x[None], torch.tensor([speaker]))[0]


def test_kinds_come_together_without_labels():
    speakers = [spoken(3000, SHIFT, seed) for seed in (1, 2)]
    mapping = fitted(*(x for x, _ in speakers))
    after = [(mapped(mapping, x, s), kinds) for s, (x, kinds) in enumerate(speakers)]
    assert apart(*after) < 0.5 * apart(*speakers)
    for y, kinds in after:  # and each kind stays as wide as it is
        within = torch.stack([y[kinds == k].var(0) for k in range(KINDS)]).mean()
        assert within == pytest.approx(0.6**2, rel=0.1)


def test_each_row_of_a_batch_has_its_own_speaker():
    speakers = [spoken(3000, SHIFT, seed)[0] for seed in (1, 2)]
    mapping = fitted(*speakers)
    both = mapping(torch.stack([speakers[1], speakers[0]]), torch.tensor([1, 0]))
    torch.testing.assert_close(both[0], mapped(mapping, speakers[1], 1))
    torch.testing.assert_close(both[1], mapped(mapping, speakers[0], 0))


def test_a_speaker_like_the_others_is_not_moved():
    x, _ = spoken(3000, 0.0, 1)
    for mapping in (make(2), fitted(x, x)):
        torch.testing.assert_close(mapped(mapping, x, 1), x)


def test_one_speaker_alone_is_not_mapped():
    x, _ = spoken(500, 0.0, 1)
    assert torch.equal(mapped(fitted(x), x, 0), x)


def test_a_silent_speaker_is_left_out():
    speakers = [spoken(3000, SHIFT, seed)[0] for seed in (1, 2)]
    mapping = fitted(speakers[0], torch.zeros(3000, D), speakers[1])
    assert torch.equal(mapping.speaker_means[1], mapping.means)
    assert torch.equal(mapping.speaker_means[2], fitted(*speakers).speaker_means[1])


def test_few_frames_move_a_speaker_little():
    talker, other = spoken(4000, 0.0, 1)[0], spoken(4000, SHIFT, 2)[0]
    few = other[:20]
    little, much = (mapped(fitted(talker, other[:n]), few, 1) - few for n in (20, 4000))
    assert little.square().mean() < 0.3 * much.square().mean()


@pytest.mark.parametrize("count", [2, 50])
def test_few_frames(count):
    speakers = [spoken(count, SHIFT, seed)[0] for seed in (1, 2)]
    assert mapped(fitted(*speakers), speakers[1], 1).isfinite().all()
