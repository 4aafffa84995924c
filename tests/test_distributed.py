"""The process group and the device."""

import pytest
import torch

from speechvq.distributed import broadcast_from_rank0, processes, sum_over_processes

CPU = torch.device("cpu")


def test_alone_without_torchrun():
    with processes("cpu") as group:
        assert (group.rank, group.world_size, group.device, group.first) == (0, 1, CPU, True)
        x = torch.arange(3)
        assert group.sum(x) is x
        assert group.gather(x) is x
        assert group.gather_objects({"a": 1.0}) == [{"a": 1.0}]
        for collective in (broadcast_from_rank0, sum_over_processes):
            collective(x)
            assert x.tolist() == [0, 1, 2]
        assert group.any(True)
        assert not group.any(False)


@pytest.mark.parametrize("device", ["gpu", "cuda", "cuda:99", "mps", "meta"])
def test_a_device_that_is_not_there(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"device '{device}' cannot be used"), processes(device):
        pass
