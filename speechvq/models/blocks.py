"""Windows of a sequence, as the inputs of matrix products.

Shapes: B batch, T steps, C channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def overlapping_blocks(x: Tensor, stride: int) -> Tensor:
    """Windows of 2 · stride steps, one each stride: (B, T, C) to (B, T / stride, 2 · stride · C).

    The padding on both sides centres window n on steps n · stride to (n + 1) · stride.
    """
    x = F.pad(x, (0, 0, stride // 2, stride - stride // 2))
    blocks = x.unflatten(1, (-1, stride)).flatten(2)  # (B, T / stride + 1, stride · C)
    return torch.cat([blocks[:, :-1], blocks[:, 1:]], dim=-1)
