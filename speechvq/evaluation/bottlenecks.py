"""Bottlenecks that a VQ-VAE is compared with, in the quantizer's place.

Each has the quantizer's interface: latents z_e (B, N, D) in, what the decoder is given out, and the
loss that is added to the negative log likelihood. None has codes.

Shapes: B batch, N codes, D codebook_dim.
"""

import torch
from torch import Tensor, nn

from speechvq.models.quantizer import Quantized


class Bottleneck(nn.Module):
    """Passes latents on as they are: a plain autoencoder.

    `started` and `beta` are those of a quantizer: there is no codebook to start, and no commitment
    loss to weigh.
    """

    started = True
    beta = 0.0

    def forward(self, latents: Tensor) -> Quantized:
        """What the decoder is given of latents z_e (B, N, D)."""
        return _quantized(latents.float())


class NoLatents(Bottleneck):
    """Passes nothing on: the decoder is a WaveNet that knows the speaker alone."""

    def forward(self, latents: Tensor) -> Quantized:
        """Zeros (B, N, D), whose gradient is zero, too."""
        return _quantized(0 * latents.float())


class GaussianBottleneck(Bottleneck):
    """The posterior q(z | x) = N(μ, σ²) of a VAE, and its KL divergence from the prior N(0, 1).

    The divergence is added with the weight 1, so that the loss is the negative ELBO, in nats per
    sample as the likelihood is. Source: Kingma and Welling, "Auto-Encoding Variational Bayes",
    2014, appendix B.

    Parameters
    ----------
    codebook_dim : int
        D.
    hop_length : int
        Samples per code.
    """

    def __init__(self, codebook_dim: int, hop_length: int):
        super().__init__()
        self.hop_length = hop_length
        self.moments = nn.Linear(codebook_dim, 2 * codebook_dim)

    def forward(self, latents: Tensor) -> Quantized:
        """Samples z (B, N, D) of the posterior, in eval mode, too; the KL per sample as the loss.

        A mean would tell more than the KL divergence says, as it has no noise.
        """
        mean, log_variance = self.moments(latents).float().chunk(2, dim=-1)
        z = mean + torch.exp(log_variance / 2) * torch.randn_like(mean)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)  # (B, N)
        return _quantized(z, kl.mean() / self.hop_length)


def _quantized(z: Tensor, loss: Tensor | None = None) -> Quantized:
    none = z.new_zeros(())
    codes = torch.zeros(z.shape[:2], dtype=torch.int64, device=z.device)
    return Quantized(z, codes, none if loss is None else loss, none)
