"""An auxiliary objective that teaches encoder and codebook without running the WaveNet.

A WaveNet decoder is strong enough to ignore its codes, so that in short runs the likelihood alone
leaves the codebook unused. Here spectra are predicted instead, which nobody can without the codes,
at a small part of the WaveNet's cost; the WaveNet then learns on codes that already carry speech.
This is not in the paper, whose objective is `VQVAE.forward`.

It goes in two steps. First the latents learn to be the cepstra of their frames, less what a speaker
adds to all of them. Then the codebook starts (`start_codebook`), the encoder stays as it is, and
the conditioner learns to predict log-mel frames from the codes. Letting the encoder learn on
through the quantizer gave codes that fit the cepstra better and the phones worse.

Shapes: B batch, T samples, N codes, M condition vectors, C channels, D codebook_dim, F mel bands.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import SpectralPhaseConfig
from speechvq.models.filterbank import FLOOR
from speechvq.models.quantizer import take_from_first
from speechvq.models.vqvae import VQVAE


@dataclass
class SpectralOutput:
    """The auxiliary loss, for one batch."""

    loss: Tensor
    """Of the latents: mean squared error of the standardised cepstra, where a constant guess
    scores 1. Of the codes: mean absolute error of the standardised log-mel frames, where it scores
    about 0.8, and the codebook loss if the codebook learns by it."""
    codes: Tensor | None
    """(B, N); None before the quantizer starts."""


class SpectralObjective(nn.Module):
    """Make the latents cepstra, then predict log-mel frames from their codes.

    The D cepstra weigh the same, and a speaker only shifts them: a head that could bend the codes
    by speaker would let a code mean one sound for one voice and another for the next.

    Parameters
    ----------
    model : VQVAE
        Its encoder is trained by the first loss, its codebook and conditioner by the second; its
        decoder is not touched.
    config : SpectralPhaseConfig
    """

    def __init__(self, model: VQVAE, config: SpectralPhaseConfig):
        super().__init__()
        self.encoder = model.encoder
        self.quantizer = model.quantizer
        self.conditioner = model.conditioner
        D, bands = model.config.codebook_dim, config.mel_bands
        if bands < D:
            raise ValueError(
                f"training.spectral.mel_bands: {bands} bands have no {D} cepstra; raise it, or "
                "lower model.codebook_dim"
            )
        self.cepstra = FrameCepstra(model.sample_rate, model.hop_length, bands, D)
        self.standard_cepstra = nn.BatchNorm1d(D, affine=False)
        self.cepstra_of_speaker = nn.Embedding(len(model.speakers), D)
        nn.init.zeros_(self.cepstra_of_speaker.weight)

        condition_hop = model.hop_length // model.config.condition_upsample
        self.mel = LogMel(model.sample_rate, condition_hop, bands)
        self.standard_mel = nn.BatchNorm1d(bands, affine=False)
        self.mel_of_condition = nn.Linear(model.config.condition_channels, bands)

    def forward(self, waveform: Tensor, speaker: Tensor, quantize: bool = True) -> SpectralOutput:
        """Loss for a waveform (B, T), T a multiple of the hop length, and speakers (B,).

        With `quantize` the loss of the codes, else that of the latents.
        """
        if not quantize:
            with torch.no_grad():
                cepstra = _standardise(self.standard_cepstra, self.cepstra(waveform))  # (B, N, D)
            predicted = self.encoder(waveform) + self.cepstra_of_speaker(speaker).unsqueeze(1)
            return SpectralOutput(F.mse_loss(predicted.float(), cepstra), None)

        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            mel = _standardise(self.standard_mel, self.mel(waveform))  # (B, M, F)
            latents = self.encoder(waveform)
        z = self.quantizer(latents)
        predicted = self.mel_of_condition(self.conditioner(z.quantized.detach(), speaker))
        loss = F.l1_loss(predicted.float(), mel)
        return SpectralOutput(loss + z.codebook_loss, z.codes)


@torch.no_grad()
def start_codebook(model: VQVAE, latents: Tensor) -> None:
    """Start the codebook at clusters of latents (≥ K, D), and make these clusters round.

    Phones differ in some directions of the cepstra more than in others. A Gaussian mixture whose
    components share one covariance finds which: in the space that this covariance whitens, the
    nearest centre is the likeliest component. The whitening goes into the encoder's last layer.
    """
    from sklearn.mixture import GaussianMixture

    model.quantizer.initialise(latents)
    centres = model.quantizer.codebook.double().cpu().numpy()
    mixture = GaussianMixture(
        len(centres), covariance_type="tied", means_init=centres, reg_covar=1e-3, random_state=0
    )
    # Weights and covariance start from a k-means of its own; the centres are given
    mixture.fit(latents.double().cpu().numpy())
    whiten = torch.from_numpy(mixture.precisions_cholesky_).to(latents)  # (D, D), z @ whiten
    output = model.encoder.output
    output.weight.copy_(whiten.T @ output.weight)
    output.bias.copy_(output.bias @ whiten)
    for parameter in (output.weight, output.bias):  # rounding may differ between machines
        take_from_first(parameter.data)
    model.quantizer.start(torch.from_numpy(mixture.means_).to(latents) @ whiten)


class FrameCepstra(nn.Module):
    """Cepstra (B, N, D) of a waveform (B, T): means over each code's frame and half beyond."""

    def __init__(self, sample_rate: int, hop_length: int, bands: int, cepstra: int):
        super().__init__()
        # Windows every 10 ms or a little more, a whole number of them in a frame
        shortest = sample_rate // 100
        steps = range(max(1, hop_length // shortest), 0, -1)
        self.steps = next(s for s in steps if hop_length % s == 0)
        self.mel = LogMel(sample_rate, hop_length // self.steps, bands)
        # The orthonormal DCT-II
        band, order = torch.arange(bands) + 0.5, torch.arange(cepstra).unsqueeze(1)
        dct = torch.cos(math.pi * order * band / bands) * math.sqrt(2 / bands)
        dct[0] /= math.sqrt(2)
        self.register_buffer("dct", dct, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        with torch.autocast(waveform.device.type, enabled=False):
            cepstra = self.mel(waveform) @ self.dct.T
            margin = self.steps // 2
            means = F.avg_pool1d(
                cepstra.transpose(1, 2),
                self.steps + 2 * margin,
                self.steps,
                margin,
                count_include_pad=False,
            )
            return means.transpose(1, 2)


class LogMel(nn.Module):
    """Log-mel frames (B, T / hop_length, F) of a waveform (B, T), frame i centred on its own."""

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
            power = self.filters @ spectrum.abs().square()
            return torch.log(power + FLOOR).transpose(1, 2)


def _standardise(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    return norm(x.transpose(1, 2)).transpose(1, 2)
