"""A learned filterbank, in place of the encoder's first convolution.

A plain convolution spends most of a short training on learning that the energy of bands matters and
their phase does not. The filterbank begins with log powers, and learns on.

Shapes: B batch, T samples, C channels. After Zeghidour et al., "Learning Filterbanks from Raw
Speech for Phone Recognition", 2018, which starts from mel filters; these start evenly spaced.
"""

import math

import torch
from torch import Tensor, nn

from speechvq.features.log_mel import FLOOR
from speechvq.models.blocks import overlapping_blocks


class LearnedFilterbank(nn.Module):
    """Log power of C pairs of filters in quadrature: (B, T, 1) to (B, T / stride, C).

    The filters span twice the stride. They start as Hann-windowed cosines and sines, from 0 Hz to
    half the sample rate.
    """

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.stride = stride
        window = 2 * stride
        time = torch.arange(window) - window / 2 + 0.5
        phase = math.pi * torch.arange(channels).unsqueeze(1) / channels * time  # (C, window)
        hann = torch.hann_window(window, periodic=False)
        self.cosines = nn.Parameter(hann * torch.cos(phase))
        self.sines = nn.Parameter(hann * torch.sin(phase))

    def forward(self, x: Tensor) -> Tensor:
        return self._powers(overlapping_blocks(x, self.stride))

    def of_windows(self, waveform: Tensor) -> Tensor:
        """Log powers (B, n, C) of the n windows within (B, (n + 1) · stride), without padding."""
        return self._powers(waveform.unfold(1, 2 * self.stride, self.stride))

    def _powers(self, windows: Tensor) -> Tensor:
        """Log powers (B, n, C) of windows (B, n, 2 · stride)."""
        # The logarithm needs float32: in bfloat16 quiet bands would lose their power
        cosine, sine = (windows @ filters.T for filters in (self.cosines, self.sines))
        return torch.log(cosine.float().square() + sine.float().square() + FLOOR)
