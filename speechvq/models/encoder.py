"""The encoder: a waveform becomes a downsampled sequence of latents z_e(x).

Tensors are (B, T, C), and a convolution whose window is twice its stride is one matrix product
over two neighbouring blocks of samples: on CPUs several times as fast as `Conv1d`.

Shapes: B batch, T samples, N codes, C channels, D codebook_dim.
"""

from collections.abc import Callable, Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.models.blocks import overlapping_blocks

Activation = Callable[[int], nn.Module]
"""Makes the activation after a layer of so many channels."""


def relu(channels: int) -> nn.Module:
    """The paper's activation."""
    return nn.ReLU()


class Encoder(nn.Module):
    """Strided convolutions, each with a window of twice its stride (section 4.3).

    The paper's VCTK encoder is `strides=(2, 2, 2, 2, 2, 2)`: six convolutions of stride 2 and
    window 4.

    Parameters
    ----------
    strides : sequence of int
        Of each convolution.
    channels : sequence of int
        Width of each convolution.
    codebook_dim : int
        D.
    first : Module, optional
        Takes the place of the first convolution: (B, T, 1) to (B, T / stride, C).
    residual_layers : int
        Residual convolutions at the rate of the codes.
    activation : callable
        Makes the activation of a layer.
    """

    def __init__(
        self,
        strides: Sequence[int],
        channels: Sequence[int],
        codebook_dim: int,
        first: nn.Module | None = None,
        residual_layers: int = 0,
        activation: Activation = relu,
    ):
        super().__init__()
        self.strides = tuple(strides)
        self.residual_layers = residual_layers
        layers: list[nn.Module] = []
        inputs = 1
        for stride, width in zip(strides, channels, strict=True):
            strided = StridedConvolution(inputs, width, stride) if layers or not first else first
            layers += [strided, activation(width)]
            inputs = width
        layers += [ResidualLayer(inputs, activation) for _ in range(residual_layers)]
        self.layers = nn.Sequential(*layers)
        self.output = nn.Linear(inputs, codebook_dim)

    @property
    def hop_length(self) -> int:
        """Samples per latent."""
        return prod(self.strides)

    @property
    def receptive_field(self) -> int:
        """Samples that a latent depends on."""
        samples, hop = 1, 1
        for stride in self.strides:
            samples += (2 * stride - 1) * hop
            hop *= stride
        return samples + 2 * self.hop_length * self.residual_layers

    def forward(self, waveform: Tensor) -> Tensor:
        """Latents z_e(x) (B, N, D) of a waveform (B, T); N = ceil(T / hop_length)."""
        T = waveform.shape[-1]
        padded = F.pad(waveform, (0, -T % self.hop_length))
        return self.output(self.layers(padded.unsqueeze(-1)))


class StridedConvolution(nn.Module):
    """Convolution with a window of 2 · stride: (B, T, C) to (B, T / stride, C')."""

    def __init__(self, channels: int, outputs: int, stride: int):
        super().__init__()
        self.stride = stride
        self.weights = nn.Linear(2 * stride * channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.weights(overlapping_blocks(x, self.stride))


class ResidualLayer(nn.Module):
    """x + W activation(window of 3 * x), at the rate of the codes."""

    def __init__(self, channels: int, activation: Activation = relu):
        super().__init__()
        self.window = nn.Linear(3 * channels, channels)
        self.activation = activation(channels)
        self.output = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, 1, 1))
        window = torch.cat([padded[:, :-2], x, padded[:, 2:]], dim=-1)
        return x + self.output(self.activation(self.window(window)))
