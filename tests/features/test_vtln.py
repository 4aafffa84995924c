"""VTLN: a warped filterbank undoes a stretch of the frequency axis."""

import pytest
import torch

from speechvq.features.log_mel import LogMel
from speechvq.features.vtln import KNEE, warp_factors, warp_filters


def test_a_warp_undoes_higher_resonances():
    """A speaker with resonances 1.2 times as high has, after the warp, the spectrum of others."""
    bins = torch.arange(257.0)

    def spectrum(peak: float) -> torch.Tensor:
        return (-0.5 * ((bins - peak) / 12) ** 2).exp()

    filters = LogMel(16000, 160, 20).filters
    here = filters @ spectrum(60.0)
    there = warp_filters(filters, torch.tensor([1.0, 1.2])) @ spectrum(72.0)  # (2, 20)
    torch.testing.assert_close(there[0], filters @ spectrum(72.0))
    assert there[1].argmax() == here.argmax() != there[0].argmax()
    similarity = torch.nn.functional.cosine_similarity(there, here[None])
    assert similarity[1] > 0.98 > 0.9 > similarity[0]


@pytest.mark.parametrize("warp", [0.75, 1.3])
def test_a_warped_filterbank_keeps_its_ends(warp):
    """No filter is empty, their order stays, and the band's last bins stay the last."""
    filters = LogMel(16000, 160, 20).filters
    warped = warp_filters(filters, torch.tensor([warp]))[0]
    assert (warped.sum(1) > 0).all() and (warped >= 0).all()
    peaks = warped.argmax(1)
    assert (peaks.diff() > 0).all()
    assert warped[-1].nonzero().max() >= filters[-1].nonzero().max() - 1
    # In the middle of the band the frequencies are in proportion
    assert peaks[10] == pytest.approx(warp * filters.argmax(1)[10].item(), abs=2)


@pytest.mark.parametrize("warp", [0.75, 1.0, 1.3])
def test_the_warp_is_piecewise_linear(warp):
    """Of filters that each take the power at one place the map of frequencies can be read."""
    places = torch.arange(101.0)
    warped = warp_filters(places[None], torch.tensor([warp]))[0, 0]  # (101,): where each bin went
    knee = KNEE * 100 * min(warp, 1.0)
    expected = [
        b / warp if b < knee else 100 - (100 - b) * (100 - knee / warp) / (100 - knee)
        for b in range(101)
    ]
    torch.testing.assert_close(warped, torch.tensor(expected), atol=1e-3, rtol=0)
    assert warped[0] == 0 and warped[-1] == pytest.approx(100)


def test_warp_factors_are_symmetric_around_one():
    factors = warp_factors(5, 0.3)
    torch.testing.assert_close(factors * factors.flip(0), torch.ones(5))
    torch.testing.assert_close(factors.log().diff(), torch.full((4,), 0.15))
