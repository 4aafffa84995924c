"""The mel predictor: log-mel frames, a spectral envelope, from codes and a speaker.

A small WaveNet draws more noise between the formants than speech has, and words drown in it. The
log-mel spectrum can be predicted from the codes by a network that learns in minutes, and drawn
speech is filtered to it (`filter.py`). This is not in the paper.

Shapes: B batch, T samples, N codes, D codebook_dim, M condition vectors, F mel bands.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import ConditionerConfig
from speechvq.features.log_mel import LogMel
from speechvq.models.conditioner import Conditioner


class MelPredictor(nn.Module):
    """Log-mel frames from quantized latents and a speaker, one for each condition vector.

    Parameters
    ----------
    conditioner : ConditionerConfig
        Shape of the predictor's own conditioner.
    codebook_dim : int
        D.
    hop_length : int
        Samples per code.
    n_speakers : int
    sample_rate : int
        Hz.
    bands : int
        F.
    """

    def __init__(
        self,
        conditioner: ConditionerConfig,
        codebook_dim: int,
        hop_length: int,
        n_speakers: int,
        sample_rate: int,
        bands: int,
    ):
        super().__init__()
        self.conditioner = Conditioner(conditioner, codebook_dim, n_speakers)
        self.mel = LogMel(sample_rate, hop_length // conditioner.upsample, bands)
        self.output = nn.Linear(conditioner.channels, bands)
        # Of the log-mel frames of the training speech
        self.register_buffer("mean", torch.zeros(bands))
        self.register_buffer("std", torch.ones(bands))

    def forward(self, quantized: Tensor, speaker: Tensor) -> Tensor:
        """Log-mel frames (B, M, F), in nats, for z_q (B, N, D) and speaker indices (B,)."""
        return self._standardised(quantized, speaker) * self.std + self.mean

    @property
    def fitted(self) -> bool:
        """Whether mean and standard deviation of the frames are set."""
        return bool(self.mean.any())

    @torch.no_grad()
    def fit(self, waveforms: Tensor) -> None:
        """Set mean and standard deviation of the frames by typical speech (B, T)."""
        frames = self.mel(waveforms).flatten(0, 1)
        self.mean.copy_(frames.mean(0))
        self.std.copy_(frames.std(0, correction=0) + 1e-3)

    @torch.no_grad()
    def shrink_speakers(self, share: float) -> None:
        """Move every speaker vector towards their mean, by this share of the way."""
        table = self.conditioner.speakers.weight
        table.lerp_(table.mean(0), share)

    def error(self, waveform: Tensor, quantized: Tensor, speaker: Tensor) -> Tensor:
        """Absolute error (B, M, F) of standardised log-mel frames of a waveform (B, T).

        The negative log-likelihood under a Laplace distribution of scale 1, up to a constant. A
        constant prediction has an error of about 0.8. A waveform that ends within a code is padded
        with silence.
        """
        predicted = self._standardised(quantized, speaker).float()
        samples = predicted.shape[1] * self.mel.hop_length
        waveform = F.pad(waveform, (0, samples - waveform.shape[-1]))
        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            mel = (self.mel(waveform) - self.mean) / self.std
        return (predicted - mel).abs()

    def _standardised(self, quantized: Tensor, speaker: Tensor) -> Tensor:
        return self.output(self.conditioner(quantized, speaker))
