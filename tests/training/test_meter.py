import math

import pytest
import torch

from speechvq.distributed import Processes
from speechvq.training.meter import Meter, code_use

ALONE = Processes(torch.device("cpu"))


@pytest.mark.parametrize(
    ("counts", "perplexity", "dead"),
    [([5, 5, 5, 5], 4.0, 0), ([9, 0, 0, 0], 1.0, 3), ([1, 1, 2, 0], 2**1.5, 1), ([0, 0], 1.0, 2)],
)
def test_code_use(counts, perplexity, dead):
    use = code_use(torch.tensor(counts))
    assert use["perplexity"] == pytest.approx(perplexity)
    assert use["dead_codes"] == dead


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
