"""The spectral envelope that a decoder's condition stands for.

What a small WaveNet draws is noisier than speech: words drown between the formants. Its conditioner
learns in passing what the log-mel spectrum is to be, and what is drawn is filtered to have it
(sampling/shaping.py). This is not in the paper.

Shapes: B batch, T samples, M condition vectors, C condition_channels, F mel bands.
"""

import torch
from torch import Tensor, nn

from speechvq.config import VQVAEConfig
from speechvq.models.cepstra import LogMel


class Envelope(nn.Module):
    """Log-mel frames, one for each condition vector."""

    def __init__(self, config: VQVAEConfig):
        super().__init__()
        hop_length = config.hop_length // config.condition_upsample
        self.mel = LogMel(config.sample_rate, hop_length, config.envelope_bands)
        # Of the frames of the speech that is learned from
        self.register_buffer("mean", torch.zeros(config.envelope_bands))
        self.register_buffer("scale", torch.ones(config.envelope_bands))
        self.of_condition = nn.Linear(config.condition_channels, config.envelope_bands)

    def forward(self, condition: Tensor) -> Tensor:
        """The log-mel frames (B, M, F) to expect of condition vectors (B, M, C), in nats."""
        return self.of_condition(condition) * self.scale + self.mean

    @torch.no_grad()
    def fit(self, waveforms: Tensor) -> None:
        """Know mean and scale of the frames, from typical speech (B, T)."""
        frames = self.mel(waveforms).flatten(0, 1)
        self.mean.copy_(frames.mean(0))
        self.scale.copy_(frames.std(0, correction=0) + 1e-3)

    def error(self, waveform: Tensor, condition: Tensor) -> Tensor:
        """How far (B, M, F) what is expected is from a waveform (B, T).

        The absolute error of standardised frames, of which a constant guess has about 0.8.
        """
        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            mel = (self.mel(waveform) - self.mean) / self.scale
        return (self.of_condition(condition).float() - mel).abs()
