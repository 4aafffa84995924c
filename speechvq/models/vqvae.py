"""The VQ-VAE of section 4.3: encoder, quantizer and speaker-conditioned decoder put together.

Shapes: B batch, T samples, N codes, D codebook_dim, K codebook_size.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.models.product_quantizer import ProductQuantizer
from speechvq.models.quantizer import Quantizer


@dataclass
class VQVAEOutput:
    """The loss of equation 3 and its terms, for one batch."""

    loss: Tensor
    """nll + codebook_loss + beta · commitment_loss, a scalar."""
    nll: Tensor
    """-log p(x | z_q), nats per sample."""
    codebook_loss: Tensor
    commitment_loss: Tensor
    codes: Tensor
    """(B, N)."""

    @property
    def bits_per_sample(self) -> Tensor:
        """Reconstruction term of the ELBO."""
        return self.nll / math.log(2)


class VQVAE(nn.Module):
    """A VQ-VAE of the parts that are handed to it.

    Parameters
    ----------
    encoder : Module
        With `hop_length`, `receptive_field` and `forward`: x (B, T) to latents (B, N, D).
    quantizer : Quantizer or ProductQuantizer
    decoder : Module
        With `log_likelihood(waveform, quantized, speaker, margin=0, input_noise=0.0)`, in nats for
        each sample, as in `WaveNetDecoder`.
    """

    # Modules with the members above: a protocol cannot say that it is a module, too
    encoder: Any
    decoder: Any
    quantizer: Quantizer | ProductQuantizer

    def __init__(
        self, encoder: nn.Module, quantizer: Quantizer | ProductQuantizer, decoder: nn.Module
    ):
        super().__init__()
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """Codes of x (B, T), by equation 1: (B, N), of a product code (B, N, G)."""
        return self.quantizer.nearest(self.encoder(x))

    def forward(self, waveform: Tensor, speaker: Tensor, input_noise: float = 0.0) -> VQVAEOutput:
        """The paper's objective, equation 3.

        Parameters
        ----------
        waveform : Tensor
            (B, T) float in [-1, 1]; any T, padded with silence to a whole number of codes, the
            padding not scored.
        speaker : Tensor
            Indices (B,) int64.
        input_noise : float
            As in `WaveNetDecoder.log_likelihood`.
        """
        T = waveform.shape[-1]
        x = F.pad(waveform, (0, -T % self.encoder.hop_length))
        z = self.quantizer(self.encoder(x))
        log_p = self.decoder.log_likelihood(x, z.quantized, speaker, input_noise=input_noise)

        # Equation 3: -log p(x | z_q(x)) + ‖sg[z_e(x)] - e‖² + β ‖z_e(x) - sg[e]‖², with means over
        # samples in the first term, and over codes and D in the others
        nll = -log_p[:, :T].mean()
        loss = nll + z.codebook_loss + self.quantizer.beta * z.commitment_loss
        return VQVAEOutput(loss, nll, z.codebook_loss, z.commitment_loss, z.codes)
