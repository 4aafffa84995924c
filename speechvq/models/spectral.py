"""An auxiliary objective that teaches encoder and codebook without running the WaveNet.

A WaveNet decoder is strong enough to ignore its codes, so that in short runs the likelihood alone
leaves the codebook unused. Here spectra are predicted instead, which nobody can without the codes,
at a small part of the WaveNet's cost; the WaveNet then learns on codes that already carry speech.
This is not in the paper, whose objective is `VQVAE.forward`.

It goes in two steps. First the latents learn to be the cepstra of their frames, made alike between
speakers; or to be near the vector of the acoustic unit that is being spoken. Then the
codebook starts, at clusters of the latents or at the vectors of the units, both stay as they are,
and the envelope, log-mel frames, is learned from the codes: with it the decoder's conditioner
begins. Letting the encoder learn on through the quantizer gave codes that fit the cepstra better
and the phones worse.

An encoder that computes cepstra has them already. If it has layers that learn, these learn in the
first step what the envelope needs, together with it, through noise as large as the quantizer's
error.

Shapes: B batch, T samples, N codes, D codebook_dim, K codebook_size.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import SpectralPhaseConfig
from speechvq.models.cepstra import FrameCepstra, SpeakerCepstra, Voice
from speechvq.models.quantizer import take_from_first
from speechvq.models.sounds import Sounds
from speechvq.models.voice import BANDS
from speechvq.models.vqvae import VQVAE

WHITENINGS = 3
"""Times that the codebook's clusters are made round; more change nothing."""


@dataclass
class SpectralOutput:
    """The auxiliary loss, for one batch."""

    loss: Tensor
    """Of the latents: mean squared error of the standardised cepstra, where a constant guess
    scores about 1; or the cross-entropy of the units, in nats, and a tenth of the squared distance
    to their vectors. Of the codes, and of latents with noise: mean absolute error of the
    standardised log-mel frames, where a constant guess scores about 0.8."""
    codes: Tensor | None
    """(B, N); None before the quantizer starts."""


class SpectralObjective(nn.Module):
    """Teach the latents, then predict log-mel frames from their codes.

    Parameters
    ----------
    model : VQVAE
        Its encoder is trained by the first loss, its envelope by the second; the rest is not
        touched.
    config : SpectralPhaseConfig
    """

    def __init__(self, model: VQVAE, config: SpectralPhaseConfig):
        super().__init__()
        self.encoder = model.encoder
        self.quantizer = model.quantizer
        self.gain_range = config.gain_range
        if model.hears_voices:  # and computes cepstra
            self.target = None
        else:
            self.target = UnitTarget(model) if config.target == "units" else CepstralTarget(model)
        self.envelope = model.envelope

    def forward(
        self,
        waveform: Tensor,
        speaker: Tensor,
        quantize: bool = True,
        units: Tensor | None = None,
        voice: Voice | None = None,
        among: Tensor | None = None,
    ) -> SpectralOutput:
        """Loss for a waveform (B, T), T a multiple of the hop length, and speakers (B,).

        With `quantize` the loss of the codes, else that of the latents; where they are to be units,
        these must be given, (B, N), below 0 for none. An encoder that listens to voices needs
        `voice`; `among`, (B, K) bool, are the codes that each row may have.
        """
        if not quantize and self.target is None and self.training:
            noisy = self.quantizer.with_noise(self.encoder(waveform, voice))
            return SpectralOutput(self.envelope.error(waveform, noisy, speaker).mean(), None)
        if not quantize and self.target is not None:
            latents = self.encoder(self._at_some_level(waveform)).float()
            if isinstance(self.target, UnitTarget):
                return SpectralOutput(self.target(latents, units), None)
            return SpectralOutput(self.target(latents, waveform, speaker), None)

        with torch.no_grad(), torch.autocast(waveform.device.type, enabled=False):
            latents = self.encoder(waveform) if voice is None else self.encoder(waveform, voice)
            codes = self.quantizer.nearest(latents, among)
            quantized = self.quantizer.lookup(codes)
        return SpectralOutput(self.envelope.error(waveform, quantized, speaker).mean(), codes)

    def _at_some_level(self, waveform: Tensor) -> Tensor:
        """Each of (B, T) louder or softer, in training."""
        if not (self.training and self.gain_range):
            return waveform
        share = 2 * torch.rand(len(waveform), 1, device=waveform.device) - 1
        return waveform * 10 ** (self.gain_range * share / 20)


class CepstralTarget(nn.Module):
    """Mean squared error of latents as the cepstra of their frames, made alike between speakers.

    The D cepstra weigh about the same. The speaker is in the target alone: a head that could bend
    the codes by speaker would let a code mean one sound for one voice and another for the next.
    """

    def __init__(self, model: VQVAE):
        super().__init__()
        D = model.config.codebook_dim
        frames = FrameCepstra(model.sample_rate, model.hop_length, BANDS, D)
        self.cepstra = SpeakerCepstra(frames, len(model.speakers))
        self.sounds = Sounds(D, len(model.speakers))

    def forward(self, latents: Tensor, waveform: Tensor, speaker: Tensor) -> Tensor:
        with torch.no_grad():
            cepstra = self.sounds(self.cepstra(waveform, speaker), speaker)  # (B, N, D)
        return F.mse_loss(latents, cepstra)


class UnitTarget(nn.Module):
    """Cross-entropy of acoustic units, a latent being likelier the nearer it is to a unit's vector.

    p(k | z_e) ∝ exp(-‖z_e - e_k‖²): the nearest vector, which the quantizer will take, is the
    likeliest unit. By a small weight on ‖z_e - e_k‖² itself the vectors also lie in the middle of
    their latents, as codes do.
    """

    NEARNESS = 0.1

    def __init__(self, model: VQVAE):
        super().__init__()
        self.vectors = nn.Embedding(model.config.codebook_size, model.config.codebook_dim)

    def forward(self, latents: Tensor, units: Tensor) -> Tensor:
        known = units >= 0  # a crop may reach beyond its recording
        z, units, e = latents[known], units[known], self.vectors.weight
        if not len(units):
            return 0.0 * latents.sum()
        logits = 2 * z @ e.T - e.square().sum(1)  # (…, K), without ‖z_e‖²
        distance = (z - e[units]).square().sum(1).mean()
        return F.cross_entropy(logits, units) + self.NEARNESS * distance


@torch.no_grad()
def start_at_clusters(model: VQVAE, latents: Tensor) -> None:
    """Start the codebook at clusters of latents (≥ K, D), and make these clusters round.

    Phones differ in some directions of the cepstra more than in others. So the latents are
    clustered, whitened by the covariance that the clusters have within, and clustered anew, until
    it settles: what expectation maximisation does for a mixture of Gaussians of one covariance, in
    a hundredth of the time. The whitening goes into the encoder's last layer.
    """
    from sklearn.cluster import KMeans

    model.quantizer.initialise(latents)
    z, centres = latents.double().cpu().numpy(), model.quantizer.codebook.double().cpu().numpy()
    K, D = centres.shape
    whiten = np.eye(D)
    for _ in range(WHITENINGS):
        kmeans = KMeans(K, init=centres @ whiten, n_init=1).fit(z @ whiten)
        centres = kmeans.cluster_centers_ @ np.linalg.inv(whiten)
        within = np.cov(z - centres[kmeans.labels_], rowvar=False)
        whiten = np.linalg.cholesky(np.linalg.inv(within + 1e-3 * np.eye(D)))
    whiten_ = torch.from_numpy(whiten).to(latents)  # (D, D), z @ whiten
    output = model.encoder.output
    output.weight.copy_(whiten_.T @ output.weight)
    output.bias.copy_(output.bias @ whiten_)
    for parameter in (output.weight, output.bias):  # rounding may differ between machines
        take_from_first(parameter.data)
    model.quantizer.start(torch.from_numpy(centres @ whiten).to(latents))
