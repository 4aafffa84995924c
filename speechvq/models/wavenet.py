"""WaveNet in its parallel, teacher-forced form.

Tensors are (B, T, C), so that every convolution is one matrix product over contiguous channels;
on CPUs this is faster than `Conv1d` on (B, C, T).

Shapes: B batch, T steps, J bands, M condition vectors, C residual_channels, S skip_channels, L
layers, V levels. Source: van den Oord et al., "WaveNet: A Generative Model for Raw Audio", 2016.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import WaveNetConfig
from speechvq.distributed import drawn_for_rows
from speechvq.models.long_term import LongTermPredictor


class WaveNet(nn.Module):
    """p(x_t | x_<t, condition) for a sequence x of integers in 0 … V-1, or J of them side by side.

    The J elements of a step are independent of each other, given all steps before.

    Parameters
    ----------
    config : WaveNetConfig
    levels : int
        V, the number of values that an element can take.
    condition_channels : int
        Width of the condition vectors.
    start : int
        The value taken to stand before the first element.
    bands : int
        J, the elements of a step: the sub-bands of a waveform, or 1.
    long_term : LongTermPredictor, optional
        Another input of the first layer.
    """

    def __init__(
        self,
        config: WaveNetConfig,
        levels: int,
        condition_channels: int,
        start: int,
        bands: int = 1,
        long_term: LongTermPredictor | None = None,
    ):
        super().__init__()
        self.config = config
        self.levels = levels
        self.start = start
        self.bands = bands
        C, S, L = config.residual_channels, config.skip_channels, config.layers
        self.embed = nn.Embedding(bands * levels, C)  # V rows for each band
        self.long_term = long_term
        self.condition = nn.Linear(condition_channels, L * 2 * C)
        layers = nn.ModuleList(
            GatedLayer(C, S, config.kernel_size, dilation, config.dropout)
            for dilation in config.dilations
        )
        self.layers = cast("Sequence[GatedLayer]", layers)
        self.dropout = Dropout(config.dropout)
        self.hidden = nn.Linear(S, config.output_channels)
        self.output = nn.Linear(config.output_channels, bands * levels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Logits (B, T, J, V); those at t depend on x before t only.

        Parameters
        ----------
        x : Tensor
            (B, T, J) int64.
        condition : Tensor
            (B, M, condition_channels), M a divisor of T: each vector holds for T / M steps.
        """
        L, C = self.config.layers, self.config.residual_channels
        before = F.pad(x[:, :-1], (0, 0, 1, 0), value=self.start)
        h = self.embedded(before)  # (B, T, C)
        if self.long_term is not None:
            h = h + self.long_term(before, x.shape[1] // condition.shape[1])
        conditions = self.condition(condition)  # (B, M, L·2C)
        h = h.to(conditions.dtype)
        conditions = conditions.unflatten(-1, (L, 2 * C)).unbind(2)
        skips = h.new_zeros(())
        for layer, layer_condition in zip(self.layers, conditions, strict=True):
            h, skip = layer(h, layer_condition)
            skips = skips + skip
        logits = self.output(F.relu(self.hidden(self.dropout(F.relu(skips)))))
        return logits.unflatten(-1, (self.bands, self.levels))

    def embedded(self, x: Tensor) -> Tensor:
        """The first layer's input (…, C) for the elements (…, J) of a step."""
        rows = x + self.levels * torch.arange(self.bands, device=x.device)
        if self.bands == 1:
            return self.embed(rows.squeeze(-1))
        flat = F.embedding_bag(rows.flatten(0, -2), self.embed.weight, mode="sum")
        return flat.unflatten(0, rows.shape[:-1])


class Dropout(nn.Dropout):
    """Dropout that drops in several processes what it drops in one, with the same whole batch."""

    def forward(self, x: Tensor) -> Tensor:
        """Drop elements of x (B, …), B the rows of this process."""
        if not (self.training and self.p):
            return x
        B, *shape = x.shape
        mask = drawn_for_rows(B, lambda rows: F.dropout(x.new_ones(rows, *shape), self.p))
        return x * mask


class GatedLayer(nn.Module):
    """z = tanh(W_f * h + V_f c) ⊙ σ(W_g * h + V_g c), with a residual and a skip output."""

    def __init__(
        self,
        residual_channels: int,
        skip_channels: int,
        kernel_size: int,
        dilation: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.dropout = Dropout(dropout)
        C, S = residual_channels, skip_channels
        self.dilation = dilation
        self.kernel_size = kernel_size
        # Inputs: kernel_size taps of C channels, oldest first. Outputs: filter, then gate.
        self.gates = nn.Linear(kernel_size * C, 2 * C)
        # Outputs: C for the residual path, then S for the skip path.
        self.outputs = nn.Linear(C, C + S)

    def forward(self, h: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Next h (B, T, C) and skip (B, T, S), given h and the condition (B, M, 2C)."""
        B, T, C = h.shape
        oldest = (self.kernel_size - 1) * self.dilation
        past = F.pad(self.dropout(h), (0, 0, oldest, 0))
        taps = [past[:, i * self.dilation :][:, :T] for i in range(self.kernel_size)]
        z = self.gates(torch.cat(taps, dim=-1))
        # Adding each condition vector to its T/M elements by broadcasting: no upsampled copy
        M = condition.shape[1]
        z = (z.view(B, M, T // M, 2 * C) + condition.unsqueeze(2)).view(B, T, 2 * C)
        filter_, gate = z.chunk(2, dim=-1)
        outputs = self.outputs(torch.tanh(filter_) * torch.sigmoid(gate))
        residual, skip = outputs.split([C, outputs.shape[-1] - C], dim=-1)
        return h + residual, skip
