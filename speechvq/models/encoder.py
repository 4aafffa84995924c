"""The encoder: a waveform becomes a slow sequence of latents z_e(x).

Tensors are (B, T, C), and a convolution whose window is twice its stride is one matrix product
over two neighbouring blocks of samples: on CPUs several times as fast as `Conv1d`.

Shapes: B batch, T samples, N codes, C channels, D codebook_dim.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import VQVAEConfig


class Encoder(nn.Module):
    """Strided convolutions, each with a window of twice its stride (section 4.3).

    The paper's VCTK encoder is `strides=(2, 2, 2, 2, 2, 2)`: six convolutions of stride 2 and
    window 4. `encoder_residual_layers` adds context at the rate of the codes.
    """

    def __init__(self, config: VQVAEConfig):
        super().__init__()
        self.hop_length = config.hop_length
        layers: list[nn.Module] = []
        channels = 1
        for stride, width in zip(config.strides, config.encoder_widths, strict=True):
            layers += [StridedConvolution(channels, width, stride), *_activation(width, config)]
            channels = width
        for _ in range(config.encoder_residual_layers):
            layers.append(ResidualLayer(channels, config))
        layers.append(nn.Linear(channels, config.codebook_dim))
        if config.encoder_norm:
            layers.append(nn.LayerNorm(config.codebook_dim, elementwise_affine=False))
        self.layers = nn.Sequential(*layers)

    def forward(self, waveform: Tensor) -> Tensor:
        """Latents (B, N, D) of a waveform (B, T); N = ceil(T / hop_length)."""
        T = waveform.shape[-1]
        padded = F.pad(waveform, (0, -T % self.hop_length))
        return self.layers(padded.unsqueeze(-1))


class StridedConvolution(nn.Module):
    """Convolution with a window of 2 · stride: (B, T, C) to (B, T / stride, C').

    The padding on both sides centres each output on its own block of `stride` inputs.
    """

    def __init__(self, channels: int, outputs: int, stride: int):
        super().__init__()
        self.stride = stride
        self.weights = nn.Linear(2 * stride * channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        s = self.stride
        x = F.pad(x, (0, 0, s // 2, s - s // 2))
        blocks = x.unflatten(1, (-1, s)).flatten(2)  # (B, T/s + 1, s·C)
        return self.weights(torch.cat([blocks[:, :-1], blocks[:, 1:]], dim=-1))


class ResidualLayer(nn.Module):
    """x + W relu(window of 3 * x), at the rate of the codes."""

    def __init__(self, channels: int, config: VQVAEConfig):
        super().__init__()
        self.window = nn.Linear(3 * channels, channels)
        self.activation = nn.Sequential(*_activation(channels, config))
        self.output = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, 1, 1))
        window = torch.cat([padded[:, :-2], x, padded[:, 2:]], dim=-1)
        return x + self.output(self.activation(self.window(window)))


def _activation(channels: int, config: VQVAEConfig) -> list[nn.Module]:
    return [nn.LayerNorm(channels), nn.ReLU()] if config.encoder_norm else [nn.ReLU()]
