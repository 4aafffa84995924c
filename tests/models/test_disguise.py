import pytest
import torch

from speechvq.models.disguise import of_disguised

HOP = 16


def test_a_disguised_voice_keeps_its_pace():
    """What is found is as long as before, and where it was, however fast the voice is played."""
    torch.manual_seed(0)
    lengths, places = [], []

    def find(x):
        lengths.append(x.shape[1])
        frames = x[:, : x.shape[1] // HOP * HOP].view(len(x), -1, HOP)
        return frames.square().mean(-1)

    waveform = 0.001 * torch.randn(2, 100 * HOP)
    waveform[:, 60 * HOP : 62 * HOP] += 1.0
    for _ in range(20):
        found = of_disguised(find, waveform, 0.3, HOP)
        assert found.shape == (2, 100)
        places += found.argmax(1).tolist()
    speeds = waveform.shape[1] / torch.tensor(lengths).float()
    assert 1 / 1.3 - 0.01 <= speeds.min() < 0.9 and 1.1 < speeds.max() <= 1.31
    assert all(58 <= place <= 63 for place in places)


def test_each_disguise_is_another():
    torch.manual_seed(0)
    waveform = torch.randn(1, 10 * HOP)
    one, other = (of_disguised(lambda x: x[:, ::HOP], waveform, 0.2, HOP) for _ in range(2))
    assert not torch.equal(one, other)


def test_no_disguise():
    waveform = torch.randn(1, 10 * HOP)
    assert of_disguised(lambda x: x, waveform, 0.0, HOP) is waveform


@pytest.mark.parametrize("amount", [0.1, 0.5])
def test_levels_change_by_decibels_and_not_more(amount):
    torch.manual_seed(0)
    waveform = torch.randn(1, 400 * HOP)

    def level(x):
        return x.square().mean(1)

    levels = torch.cat([of_disguised(level_of(level), waveform, amount, HOP) for _ in range(20)])
    decibels = 10 * (levels[:, 0] / waveform.square().mean()).log10()
    assert decibels.abs().max() < 10 and decibels.std() > 0.3


def level_of(level):
    """As a finder of one number a code."""
    return lambda x: level(x)[:, None].expand(-1, x.shape[1] // HOP)
