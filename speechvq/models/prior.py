"""Autoregressive prior p(z) over codes: a WaveNet (section 4.3).

While the VQ-VAE learns, its prior over the codes is uniform; afterwards this one is fitted to them
(section 4.3), and ancestral sampling from it and then from the decoder is new speech.

Shapes: B batch, N codes, M condition vectors, C condition_channels, K codebook_size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import PriorConfig
from speechvq.models.wavenet import WaveNet

NEVER = -1e4
"""Logit of what is no code: no probability, whatever is added to it."""


class Prior(nn.Module):
    """p(z_n | z_<n, condition) for codes z in 0 … K-1.

    Parameters
    ----------
    config : PriorConfig
    codebook_size : int
        K.
    speakers : sequence of str
        Names; a speaker's place in the list is its index.
    """

    def __init__(self, config: PriorConfig, codebook_size: int, speakers: Sequence[str]):
        super().__init__()
        self.config = config
        self.codebook_size = K = codebook_size
        self.speakers = list(speakers)
        C = config.condition_channels
        self.of_speaker = nn.Embedding(len(self.speakers), C) if config.by_speaker else None
        # What stands before the first code is a value of its own, K, that is never drawn
        self.wavenet = WaveNet(config.wavenet, K + 1, C, start=K)
        with torch.no_grad():
            self.wavenet.output.weight[K] = 0.0
            self.wavenet.output.bias[K] = NEVER

    def condition(self, speaker: Tensor, extra: Tensor | None = None) -> Tensor:
        """Condition vectors (B, M, C) for speaker indices (B,), -1 being the mean of all.

        `extra`, (B, M, C) with M a divisor of N, is a condition of the caller's own; the speaker is
        added to it. Without either the condition is zero.
        """
        C = self.config.condition_channels
        if extra is None:
            weight = self.wavenet.condition.weight
            extra = torch.zeros(len(speaker), 1, C, device=weight.device, dtype=weight.dtype)
        if self.of_speaker is None:
            return extra
        vectors = self.of_speaker.weight
        vectors = torch.cat([vectors, vectors.mean(0, keepdim=True)])  # the last one is index -1
        return extra + vectors[speaker].unsqueeze(1)

    def speaker(self, names: Sequence[str]) -> Tensor:
        """Indices (B,) of speakers; one that is not known gets -1."""
        found = [self.speakers.index(n) if n in self.speakers else -1 for n in names]
        return torch.tensor(found, device=self.wavenet.embed.weight.device)

    def nll(self, codes: Tensor, speaker: Tensor) -> Tensor:
        """-log p(z_n | z_<n, speaker), nats of each code (B, N), for speakers (B,)."""
        logits = self(codes, self.condition(speaker)).float()
        return F.cross_entropy(logits.transpose(1, 2), codes, reduction="none")

    def forward(self, codes: Tensor, condition: Tensor) -> Tensor:
        """Logits (B, N, K) of codes (B, N), each given those before; condition (B, M, C)."""
        return self.wavenet(codes.unsqueeze(-1), condition)[:, :, 0, : self.codebook_size]
