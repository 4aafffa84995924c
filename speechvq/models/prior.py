"""Autoregressive prior p(z) over codes: a WaveNet (section 4.3).

While the VQ-VAE learns, its prior over the codes is uniform; afterwards this one is fitted to them
(section 4.3), and ancestral sampling from it and then from the decoder is new speech.

Of a product code the WaveNet draws a code of each codebook at each step, independently of each
other given the steps before. In the delay pattern codebook g lags by g steps (Copet et al., "Simple
and Controllable Music Generation", 2023), so that each code of a frame is drawn given those of the
codebooks before it::

    step         0      1      2      3
    codebook 0   z_00   z_10   z_20   K
    codebook 1   K      z_01   z_11   z_21

Shapes: B batch, N codes, G codebooks, T = N + G - 1 steps, M condition vectors, C
condition_channels, K codebook_size.
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
    """p(z_n | z_<n, condition) for codes z in 0 … K-1, or for product codes of G of them.

    Parameters
    ----------
    config : PriorConfig
    codebook_size : int
        K.
    speakers : sequence of str
        Names; a speaker's place in the list is its index.
    codebooks : int
        G.
    """

    def __init__(
        self,
        config: PriorConfig,
        codebook_size: int,
        speakers: Sequence[str],
        codebooks: int = 1,
    ):
        super().__init__()
        self.config = config
        self.codebook_size = K = codebook_size
        self.codebooks = codebooks
        self.speakers = list(speakers)
        C = config.condition_channels
        self.of_speaker = nn.Embedding(len(self.speakers), C) if config.by_speaker else None
        # What stands before the first code is a value of its own, K, that is never drawn
        self.wavenet = WaveNet(config.wavenet, K + 1, C, start=K, bands=codebooks)
        with torch.no_grad():
            self.wavenet.output.weight[K :: K + 1] = 0.0
            self.wavenet.output.bias[K :: K + 1] = NEVER

    def condition(self, speaker: Tensor) -> Tensor:
        """Condition vectors (B, 1, C) for speaker indices (B,), -1 being the mean of all.

        They are zero in a prior that does not know speakers.
        """
        if self.of_speaker is None:
            weight = self.wavenet.condition.weight
            return weight.new_zeros(len(speaker), 1, self.config.condition_channels)
        vectors = self.of_speaker.weight
        vectors = torch.cat([vectors, vectors.mean(0, keepdim=True)])  # the last one is index -1
        return vectors[speaker].unsqueeze(1)

    def speaker(self, names: Sequence[str]) -> Tensor:
        """Indices (B,) of speakers; one that is not known gets -1."""
        found = [self.speakers.index(n) if n in self.speakers else -1 for n in names]
        return torch.tensor(found, device=self.wavenet.embed.weight.device)

    def nll(self, codes: Tensor, speaker: Tensor) -> Tensor:
        """-log p(z_n | z_<n, speaker), nats of each code (B, N), for speakers (B,).

        Of product codes (B, N, G) the sums over the codebooks. K stands where there is no code,
        after the end of a row, and counts 0.
        """
        logits = self(codes, self.condition(speaker)).float()
        nats = F.cross_entropy(
            logits.movedim(-1, 1), codes, reduction="none", ignore_index=self.codebook_size
        )
        return nats.view(*nats.shape[:2], self.codebooks).sum(-1)

    def forward(self, codes: Tensor, condition: Tensor) -> Tensor:
        """Logits (B, N, K) of codes (B, N), each given those before; condition (B, M, C).

        Of product codes (B, N, G) logits (B, N, G, K): those of codebook g at n are given each
        codebook h at 0 … n + g - h - 1.
        """
        K = self.codebook_size
        steps = delayed(codes.reshape(*codes.shape[:2], self.codebooks), start=K)
        logits = undelayed(self.wavenet(steps, condition)[..., :K])
        return logits.view(*codes.shape, K)


def delayed(codes: Tensor, start: int) -> Tensor:
    """Steps (B, T, G) of codes (B, N, G), T = N + G - 1: codebook g lags by g steps.

    `start` stands before the beginning and after the end.
    """
    B, N, G = codes.shape
    steps = codes.new_full((B, N + G - 1, G), start)
    for g in range(G):
        steps[:, g : g + N, g] = codes[:, :, g]
    return steps


def undelayed(steps: Tensor) -> Tensor:
    """Codes (B, N, G, …) of steps (B, T, G, …), T = N + G - 1: the inverse of `delayed`."""
    N, G = steps.shape[1] - steps.shape[2] + 1, steps.shape[2]
    return torch.stack([steps[:, g : g + N, g] for g in range(G)], dim=2)
