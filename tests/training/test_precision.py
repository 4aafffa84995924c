"""Precision: bfloat16 on request, or where the hardware has it."""

import pytest
import torch

from speechvq.training.precision import use_bfloat16

CPU = torch.device("cpu")


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
