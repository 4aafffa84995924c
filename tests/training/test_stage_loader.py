"""The processes that load batches share a corpus, and get no copy of it."""

import multiprocessing
from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import Dataset

from speechvq.training.stage import Stage


class Shared(Dataset):
    """Batches that cannot be copied by pickle."""

    def __getitem__(self, step):
        return torch.tensor(step)

    def __len__(self):
        return 4

    def __reduce__(self):
        raise AssertionError("a copy was made")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_loading_process_copies_nothing(method):
    """Whatever the default of Python and of the system is."""
    before = multiprocessing.get_start_method()
    stage = SimpleNamespace(batches=Shared(), workers=1, config=SimpleNamespace(steps=4))
    try:
        multiprocessing.set_start_method(method, force=True)
        found = [int(batch) for batch in Stage.loader(stage, 1, torch.device("cpu"))]
    finally:
        multiprocessing.set_start_method(before, force=True)
    assert found == [1, 2, 3]
