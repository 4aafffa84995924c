"""An auxiliary objective that teaches encoder and codebook without running the WaveNet.

A WaveNet decoder is strong enough to ignore its codes, so that in short runs the likelihood alone
leaves the codebook unused. A linear head on the condition vectors predicts log-mel frames instead:
it cannot do so without the codes, and it costs a small part of the WaveNet's time. The WaveNet then
learns on codes that already carry speech. This is not in the paper, whose objective is
`VQVAE.forward`.

Shapes: B batch, T samples, N codes, M condition vectors, C channels, D codebook_dim, F mel bands.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.models.vqvae import VQVAE


@dataclass
class SpectralOutput:
    """The auxiliary loss and its terms, for one batch."""

    loss: Tensor
    """spectral_loss + codebook_loss + beta · commitment_loss, a scalar."""
    spectral_loss: Tensor
    """Mean absolute error of the standardised log-mel frames; a constant guess scores about 0.8."""
    codebook_loss: Tensor
    commitment_loss: Tensor
    codes: Tensor
    """(B, N)."""


class SpectralObjective(nn.Module):
    """Predict the log-mel frames of the audio from its codes and speaker.

    Parameters
    ----------
    model : VQVAE
        Its encoder, quantizer and conditioner are trained; its decoder is not touched.
    mel_bands : int
    """

    def __init__(self, model: VQVAE, mel_bands: int = 40):
        super().__init__()
        self.encoder = model.encoder
        self.quantizer = model.quantizer
        self.conditioner = model.conditioner
        self.beta = model.config.beta
        self.mel = LogMel(model.sample_rate, model.hop_length // model.config.condition_upsample, mel_bands)
        self.standardise = nn.BatchNorm1d(mel_bands, affine=False)
        self.head = nn.Linear(model.config.condition_channels, mel_bands)

    def forward(self, waveform: Tensor, speaker: Tensor, quantize: bool = True) -> SpectralOutput:
        """Loss for a waveform (B, T), T a multiple of the hop length, and speakers (B,).

        With `quantize` false the latents pass as they are: the warm-up before the codebook starts.
        """
        with torch.no_grad():
            target = self.standardise(self.mel(waveform).transpose(1, 2)).transpose(1, 2)
        latents = self.encoder(waveform)
        if quantize:
            z = self.quantizer(latents)
            quantized, codes = z.quantized, z.codes
            codebook_loss, commitment_loss = z.codebook_loss, z.commitment_loss
        else:
            quantized, codes = latents, self.quantizer.nearest(latents)
            codebook_loss = commitment_loss = latents.new_zeros(())
        predicted = self.head(self.conditioner(quantized, speaker))  # (B, M, F)
        spectral_loss = F.l1_loss(predicted.float(), target)
        loss = spectral_loss + codebook_loss + self.beta * commitment_loss
        return SpectralOutput(loss, spectral_loss, codebook_loss, commitment_loss, codes)


class LogMel(nn.Module):
    """Log-mel frames (B, T / hop_length, F) of a waveform (B, T), frame i centred on its samples."""

    def __init__(self, sample_rate: int, hop_length: int, bands: int):
        super().__init__()
        from librosa.filters import mel

        self.hop_length = hop_length
        self.window_length = max(2 * hop_length, sample_rate // 40)  # at least 25 ms
        self.n_fft = 2 ** (self.window_length - 1).bit_length()
        filters = torch.from_numpy(mel(sr=sample_rate, n_fft=self.n_fft, n_mels=bands))
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(self.window_length), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        with torch.autocast(waveform.device.type, enabled=False):
            margin = self.n_fft - self.hop_length
            padded = F.pad(waveform.float(), (margin // 2, margin - margin // 2))
            spectrum = torch.stft(
                padded,
                self.n_fft,
                self.hop_length,
                self.window_length,
                self.window,
                center=False,
                return_complex=True,
            )
            return torch.log(self.filters @ spectrum.abs().square() + 1e-5).transpose(1, 2)
