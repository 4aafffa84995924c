"""Product quantization: several codebooks, each for its own part of a latent.

G codebooks of K codes have K^G code vectors, at the cost of G searches among K (Jégou et al.,
"Product Quantization for Nearest Neighbor Search", 2011). The paper has one codebook.

Shapes: B batch, N codes, G codebooks, D codebook_dim, K codebook_size.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from speechvq.config import QuantizerConfig
from speechvq.models.quantizer import Quantized, Quantizer


class ProductQuantizer(nn.Module):
    """G quantizers side by side: codes (B, N, G) of latents (B, N, D), D / G components each.

    It has the methods of `Quantizer`.
    """

    def __init__(self, config: QuantizerConfig):
        super().__init__()
        G = config.codebooks
        part = replace(config, codebook_dim=config.codebook_dim // G, codebooks=1)
        parts = nn.ModuleList(Quantizer(part) for _ in range(G))
        self.parts = cast(Sequence[Quantizer], parts)
        self.beta = config.beta

    @property
    def started(self) -> bool:
        """Whether every codebook has started."""
        return all(part.started for part in self.parts)

    @property
    def codebooks(self) -> list[Tensor]:
        """G codebooks (K, D / G)."""
        return [part.codebook for part in self.parts]

    def nearest(self, latents: Tensor) -> Tensor:
        """Equation 1 for each part: codes (B, N, G) of latents (B, N, D)."""
        pairs = zip(self.parts, self._split(latents), strict=True)
        return torch.stack([part.nearest(z) for part, z in pairs], dim=-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Equation 2: code vectors (B, N, D) of codes (B, N, G)."""
        pairs = zip(self.parts, codes.unbind(-1), strict=True)
        return torch.cat([part.lookup(k) for part, k in pairs], dim=-1)

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents z_e (B, N, D); in training also learn the codebooks from them."""
        found = [part(z) for part, z in zip(self.parts, self._split(latents), strict=True)]
        return Quantized(
            torch.cat([z.quantized for z in found], dim=-1),
            torch.stack([z.codes for z in found], dim=-1),
            torch.stack([z.codebook_loss for z in found]).mean(),
            torch.stack([z.commitment_loss for z in found]).mean(),
        )

    def initialise(self, z: Tensor) -> None:
        """Start each codebook at the k-means centres of its part of latents z (≥ K, D)."""
        for part, own in zip(self.parts, self._split(z), strict=True):
            part.initialise(own.contiguous())

    def _split(self, latents: Tensor) -> tuple[Tensor, ...]:
        return latents.chunk(len(self.parts), dim=-1)
