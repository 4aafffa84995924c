import math

import pytest
import torch

from speechvq.distributed import Processes
from speechvq.training.meter import Meter, code_use, count_codes

ALONE = Processes(torch.device("cpu"))


@pytest.mark.parametrize(
    ("counts", "perplexity", "dead"),
    [([5, 5, 5, 5], 4.0, 0), ([9, 0, 0, 0], 1.0, 3), ([1, 1, 2, 0], 2**1.5, 1), ([0, 0], 1.0, 2)],
)
def test_code_use(counts, perplexity, dead):
    use = code_use(torch.tensor(counts))
    assert use["perplexity"] == pytest.approx(perplexity)
    assert use["dead_codes"] == dead


def test_code_use_of_several_codebooks():
    """The mean perplexity, and all dead codes."""
    use = code_use(torch.tensor([[5, 5, 5, 5], [9, 0, 0, 0], [1, 1, 2, 0]]))
    assert use["perplexity"] == pytest.approx((4 + 1 + 2**1.5) / 3)
    assert use["dead_codes"] == 4


def test_codes_are_counted_for_each_codebook():
    codes = torch.randint(5, (3, 20, 2), generator=torch.Generator().manual_seed(0))
    counts = count_codes(codes, 2, 6)
    assert counts.shape == (2, 6) and not counts[:, 5].any()
    for g in range(2):
        assert counts[g].tolist() == [int((codes[..., g] == k).sum()) for k in range(6)]
    assert torch.equal(count_codes(codes[..., 0], 1, 6), counts[:1])
    meter, other = Meter(ALONE, 6, 2), Meter(ALONE, 6, 2)
    meter.add({}, codes[:1])
    other.restore(meter.saved())
    other.add({}, codes[1:])
    assert other.end_epoch() == code_use(counts)


def test_means_over_a_window():
    meter = Meter(ALONE, 4)
    for loss in (1.0, 2.0, 6.0):
        meter.add({"loss": torch.tensor(loss)}, None)
    assert meter.means() == {"loss": 3.0}
    meter.clear()
    meter.add({"loss": torch.tensor(7.0)}, None)
    assert meter.means() == {"loss": 7.0}


def test_a_metric_that_comes_later_is_averaged_over_its_own_steps():
    meter = Meter(ALONE, 4)
    meter.add({"loss": torch.tensor(1.0)}, None)
    meter.add({"loss": torch.tensor(2.0), "commitment_loss": torch.tensor(5.0)}, None)
    assert meter.means() == {"loss": 1.5, "commitment_loss": 5.0}


def test_an_epoch_counts_codes_over_windows():
    meter = Meter(ALONE, 4)
    meter.add({}, torch.tensor([[0, 1]]))
    meter.clear()
    meter.add({}, torch.tensor([[1, 0]]))
    assert meter.end_epoch() == {"perplexity": pytest.approx(2.0), "dead_codes": 2}
    assert meter.end_epoch() == {}


def test_saved_and_restored():
    meter = Meter(ALONE, 3)
    meter.add({"loss": torch.tensor(math.pi)}, torch.tensor([2, 2, 0]))
    other = Meter(ALONE, 3)
    other.restore(meter.saved())
    for m in (meter, other):
        m.add({"loss": torch.tensor(math.e)}, torch.tensor([1]))
    assert other.saved() == meter.saved()


def test_without_a_codebook_nothing_is_counted():
    meter = Meter(ALONE)
    meter.add({"loss": torch.tensor(1.0)}, torch.tensor([2]))
    assert meter.end_epoch() == {}
    other = Meter(ALONE)
    other.restore(meter.saved())
    assert other.means() == {"loss": 1.0}
