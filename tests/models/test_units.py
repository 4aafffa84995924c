"""Acoustic units: found where they are known, by Viterbi that is the exhaustive search."""

import itertools

import pytest
import torch

from speechvq.models import units as units_of
from speechvq.models.units import CHANGE, SHARPNESS, Units, discover


def random_units(K: int, S: int, F: int) -> Units:
    torch.manual_seed(0)
    return Units(
        torch.randn(2, K * S, F),
        torch.eye(F) + 0.1 * torch.randn(F, F),
        torch.randn(K).log_softmax(0),
        torch.randn(K, K).log_softmax(1),
    )


def score(units: Units, x: torch.Tensor, speaker: int, path: tuple[int, ...], S: int) -> float:
    """Log-probability of a path of states, up to what all paths share; -inf if it cannot be."""
    if path[0] % S:
        return -torch.inf
    total = units.first[path[0] // S].item()
    for before, state in itertools.pairwise(path):
        if state == before or (state == before + 1 and state % S):
            continue
        if before % S != S - 1 or state % S:
            return -torch.inf
        total += units.follow[before // S, state // S].item() + CHANGE
    distance = ((x - units.means[speaker, list(path)]) @ units.whiten).square().sum()
    return total - SHARPNESS * distance.item() / 2


@pytest.mark.parametrize("K, S", [(2, 2), (3, 1), (1, 3)])
def test_viterbi_is_the_best_of_all_paths(K, S):
    units = random_units(K, S, 4)
    utterances = [3 * torch.randn(n, 4) for n in (5, 1, 6, 4)]
    speakers = [0, 1, 1, 0]
    states = units.states(utterances, speakers)
    for x, speaker, found in zip(utterances, speakers, states, strict=True):
        paths = itertools.product(range(K * S), repeat=len(x))
        best = max(paths, key=lambda path: score(units, x, speaker, path, S))
        assert score(units, x, speaker, tuple(found.tolist()), S) == pytest.approx(
            score(units, x, speaker, best, S), abs=1e-4
        )


def test_an_utterance_has_its_units_whatever_stands_beside_it():
    units = random_units(4, 3, 5)
    utterances = [torch.randn(n, 5) for n in (30, 7, 100, 1, 64)]
    speakers = [0, 1, 0, 0, 1]
    together = units.states(utterances, speakers)
    for x, speaker, states in zip(utterances, speakers, together, strict=True):
        assert len(states) == len(x)
        assert torch.equal(units.states([x], [speaker])[0], states)


def test_units_that_are_there_are_found():
    """Three-part sounds in random order: each becomes one unit, and the units tell them apart.

    Two speakers say them differently, by an offset that is each sound's own.
    """
    torch.manual_seed(0)
    K, F = 5, 6
    sounds = 3 * torch.randn(K, 3, F)
    speakers = [i % 2 for i in range(40)]
    others = sounds + 0.8 * torch.randn(K, 3, F)
    utterances, truth = [], []
    for speaker in speakers:
        order = torch.randint(K, (12,)).tolist()
        said = others if speaker else sounds
        parts = [said[k].repeat_interleave(4, dim=0) for k in order]
        utterances.append(torch.cat(parts) + 0.3 * torch.randn(12 * len(order), F))
        truth.append(torch.tensor(order).repeat_interleave(12))
    units = discover(utterances, speakers, count=8)
    states = torch.cat(units.states(utterances, speakers))
    found = states // units_of.STATES
    table = torch.zeros(8, K).index_put_(
        (found, torch.cat(truth)), torch.ones(len(found)), accumulate=True
    )
    assert table.max(dim=1).values.sum() / table.sum() > 0.9
    # The speakers' means are where they say the sounds, not half-way
    x, by_second = torch.cat(utterances), torch.tensor(speakers).repeat_interleave(144) == 1
    for speaker, its in ((0, ~by_second), (1, by_second)):
        off = (x[its] - units.means[speaker, states[its]]).square().mean()
        from_common = (x[its] - units.means.mean(0)[states[its]]).square().mean()
        assert off < 0.85 * from_common
    one_frame = torch.cdist(torch.cat(utterances), sounds.flatten(0, 1)).argmin(1) // 3
    assert (one_frame == torch.cat(truth)).float().mean() > 0.9  # the task can be solved
    for again in (discover(utterances, speakers, 8), discover(utterances, speakers, 8, seed=0)):
        assert torch.equal(again.means, units.means)


def test_too_little_speech():
    with pytest.raises(ValueError, match=r"segments of speech cannot start 50 units"):
        discover([torch.randn(40, 4)], [0], count=50)


def test_what_is_too_short_to_change_is_left_out():
    with pytest.raises(ValueError, match=r"^0 segments of speech"):
        discover([torch.randn(4, 4), torch.randn(1, 4)], [0, 0], count=5)
