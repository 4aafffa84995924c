"""An encoder of the raw waveform that runs while the recording arrives.

    waveform -> learned filterbank -> - running mean -> residual convolutions -> latents

No latent depends on more than `lookahead` samples after its own, and all before it. So the codes
of a stream are those of the whole recording, a fixed time later. This is not in the paper.

Shapes: B batch, T samples, N codes, C channels, D codebook_dim.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import StreamingEncoderConfig
from speechvq.features.filterbank import LearnedFilterbank
from speechvq.features.running_mean import RunningMean, State
from speechvq.features.streaming_stack import StreamingStack

SCALE = 0.5
"""Factor of log powers around their mean: about their standard deviation's inverse, in speech."""


class StreamingEncoder(nn.Module):
    """Latents z_e of a waveform, by a filterbank, a running mean and residual convolutions.

    Parameters
    ----------
    config : StreamingEncoderConfig
    codebook_dim : int
        D.
    sample_rate : int
        Hz.
    """

    def __init__(self, config: StreamingEncoderConfig, codebook_dim: int, sample_rate: int):
        super().__init__()
        frame_rate = sample_rate / config.stride
        C = config.stack.channels
        self.hop_length = config.stride
        self.filterbank = LearnedFilterbank(config.bands, config.stride)
        self.running_mean = RunningMean(
            config.bands, config.memory * frame_rate, config.prior * frame_rate
        )
        self.input = nn.Linear(config.bands, C)
        self.stack = StreamingStack(config.stack)
        self.norm = nn.LayerNorm(C)
        self.output = nn.Linear(C, codebook_dim)

    @property
    def receptive_field(self) -> int:
        """Samples that a latent depends on, but for the running mean, which has all before it."""
        stack = self.stack
        return (stack.past + 1 + stack.lookahead + 1) * self.hop_length

    @property
    def lookahead(self) -> int:
        """Samples after those of its own hop that a latent depends on."""
        return self.stack.lookahead * self.hop_length + -(-self.hop_length // 2)

    def forward(self, waveform: Tensor) -> Tensor:
        """Latents z_e(x) (B, N, D) of a waveform (B, T); N = ceil(T / hop_length)."""
        padded = F.pad(waveform, (0, -waveform.shape[-1] % self.hop_length))
        with torch.autocast(waveform.device.type, enabled=False):
            powers = self.filterbank(padded.float().unsqueeze(-1))
        if self.training:
            self.running_mean.learn(powers)
        means, _ = self.running_mean(powers)
        return self._latents(self.stack(self.input(SCALE * (powers - means))))

    def stream(self) -> "EncoderStream":
        """The encoder on a recording that arrives in blocks; in eval mode."""
        return EncoderStream(self)

    def _latents(self, x: Tensor) -> Tensor:
        return self.output(self.norm(x)).float()


class EncoderStream:
    """An encoder on a recording that comes in blocks.

    All latents together are those of the whole recording, up to rounding.
    """

    def __init__(self, encoder: StreamingEncoder):
        self._encoder = encoder
        self._stack = encoder.stack.stream()
        self._mean: State = encoder.running_mean.begin(1)
        hop = encoder.hop_length
        self._held = encoder.output.weight.new_zeros(1, hop // 2)  # samples of the next window on
        self._samples = 0

    @torch.no_grad()
    def add(self, block: np.ndarray) -> Tensor:
        """Take samples (t,) float32; give the latents (1, n, D), n from 0, that are known now."""
        self._samples += len(block)
        return self._encoder._latents(self._stack.add(self._normalised(torch.tensor(block))))

    @torch.no_grad()
    def end(self) -> Tensor:
        """Give the remaining latents (1, n, D) when no more samples come."""
        hop = self._encoder.hop_length
        silence = torch.zeros(-self._samples % hop + hop - hop // 2)
        return self._encoder._latents(self._stack.end(self._normalised(silence)))

    def _normalised(self, samples: Tensor) -> Tensor:
        """Input of the stack (1, n, C) for the windows that are complete now."""
        encoder, hop = self._encoder, self._encoder.hop_length
        self._held = torch.cat([self._held, samples.to(self._held)[None]], dim=1)
        n = max(0, self._held.shape[1] // hop - 1)
        if not n:
            return self._held.new_zeros(1, 0, encoder.input.out_features)
        whole = self._held[:, : (n + 1) * hop]
        powers = encoder.filterbank.of_windows(whole)
        self._held = self._held[:, n * hop :]
        means, self._mean = encoder.running_mean(powers, self._mean)
        return encoder.input(SCALE * (powers - means))
