"""The spectral envelope of what codes say, in a speaker's voice.

What a small WaveNet draws is noisier than speech: words drown between the formants. But what the
log-mel spectrum is to be can be told from the codes by a network that learns it in minutes, and
what is drawn is filtered to have it (postfilter/filter.py). This is not in the paper.

Shapes: B batch, T samples, N codes, D codebook_dim, M condition vectors, F mel bands.
"""

import torch
from torch import Tensor, nn

from speechvq.config import VQVAEConfig
from speechvq.models.cepstra import LogMel
from speechvq.models.conditioner import Conditioner


class Envelope(nn.Module):
    """Log-mel frames from quantized latents and a speaker, one for each condition vector.

    A conditioner of its own, of the shape of the decoder's, which starts from it.
    """

    def __init__(self, config: VQVAEConfig, n_speakers: int):
        super().__init__()
        hop_length = config.hop_length // config.condition_upsample
        self.conditioner = Conditioner(config, n_speakers)
        self.mel = LogMel(config.sample_rate, hop_length, config.envelope_bands)
        self.of_condition = nn.Linear(config.condition_channels, config.envelope_bands)
        # Of the frames of the speech that is learned from
        self.register_buffer("mean", torch.zeros(config.envelope_bands))
        self.register_buffer("scale", torch.ones(config.envelope_bands))

    def forward(self, quantized: Tensor, speaker: Tensor) -> Tensor:
        """The log-mel frames (B, M, F), in nats, to expect of (B, N, D) and speakers (B,)."""
        return self._standard(quantized, speaker) * self.scale + self.mean

    @torch.no_grad()
    def fit(self, waveforms: Tensor) -> None:
        """Know mean and scale of the frames, from typical speech (B, T)."""
        frames = self.mel(waveforms).flatten(0, 1)
        self.mean.copy_(frames.mean(0))
        self.scale.copy_(frames.std(0, correction=0) + 1e-3)

    @torch.no_grad()
    def shrink(self, share: float) -> None:
        """Move every speaker's vector towards their mean, by so large a share of the way."""
        table = self.conditioner.speakers.weight
        table.lerp_(table.mean(0), share)

    def error(self, waveform: Tensor, quantized: Tensor, speaker: Tensor) -> Tensor:
        """How far (B, M, F) what is expected is from a waveform (B, T).

        The absolute error of standardised frames, of which a constant guess has about 0.8.
        """
        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            mel = (self.mel(waveform) - self.mean) / self.scale
        return (self._standard(quantized, speaker).float() - mel).abs()

    def _standard(self, quantized: Tensor, speaker: Tensor) -> Tensor:
        return self.of_condition(self.conditioner(quantized, speaker))
