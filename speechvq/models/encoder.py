"""The encoder: a waveform becomes a slow sequence of latents z_e(x).

Tensors are (B, T, C), and a convolution whose window is twice its stride is one matrix product
over two neighbouring blocks of samples: on CPUs several times as fast as `Conv1d`.

Shapes: B batch, T samples, N codes, C channels, D codebook_dim.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import VQVAEConfig
from speechvq.models.blocks import overlapping_blocks
from speechvq.models.filterbank import Filterbank


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
            if config.encoder_filterbank and not layers:
                layers.append(Filterbank(width, stride))
            else:
                layers.append(StridedConvolution(channels, width, stride))
            layers += _activation(width, config)
            channels = width
        for _ in range(config.encoder_residual_layers):
            layers.append(ResidualLayer(channels, config))
        self.layers = nn.Sequential(*layers)
        self.output = nn.Linear(channels, config.codebook_dim)

    def forward(self, waveform: Tensor) -> Tensor:
        """Latents (B, N, D) of a waveform (B, T); N = ceil(T / hop_length)."""
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
