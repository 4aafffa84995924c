"""The process group, the device and the precision."""

import pytest
import torch

from speechvq.distributed import broadcast_from_rank0, processes, sum_over_processes
from speechvq.training.precision import use_bfloat16

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


@pytest.mark.parametrize("device", ["gpu", "cuda"])
def test_a_device_that_is_not_there(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"device: '{device}'"), processes(device):
        pass


def test_precision_on_request():
    assert use_bfloat16("bfloat16", CPU)
    assert not use_bfloat16("float32", CPU)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"bf16": True}, True),  # ARM
        ({"avx512_bf16": False, "avx2": True}, False),
    ],
)
def test_precision_by_the_hardware(monkeypatch, capabilities, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert use_bfloat16("auto", CPU) == expected
