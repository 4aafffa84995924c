"""Where each voice has its sounds: what is left between voices after one linear map for all of it.

A voice's cepstra are a mixture of Gaussians of one covariance, each of them a sound, and the means
are the voice's own. So a frame moves by as far as the sounds that it may be lie from where voices
have them in the mean:

    c' = c + Σ_k p(k | c, voice) (μ_k - μ_k(voice))

Nobody tells which sounds there are: the mixture is fitted to the speech of all, and each voice's
means lean on those of all where it has said little. After Reynolds, Quatieri and Dunn, "Speaker
verification using adapted Gaussian mixture models", 2000, and Stylianou, Cappé and Moulines,
"Continuous probabilistic transform for voice conversion", 1998.

Shapes: B batch, N or T frames, D cepstra, M sounds, S speakers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

SOUNDS = 128
"""M."""
SHARPNESS = 0.5
"""Weight of a frame's log-likelihood: neighbouring frames tell much the same."""
LEANING = 30.0
"""Frames that a voice's mean leans on that of all with."""
ITERATIONS = 15
SPEAKING = 0.5
"""Standard deviation over which standardised cepstra are of more than silence."""
CLUSTERED = 20000
"""Frames, at most, in which the first means are sought."""


class Sounds(nn.Module):
    """Moves cepstra (B, N, D) of speakers (B,) from where each has its sounds to where all do."""

    def __init__(self, cepstra: int, speakers: int):
        super().__init__()
        self.register_buffer("means", torch.zeros(SOUNDS, cepstra))  # of all
        self.register_buffer("own", torch.zeros(speakers, SOUNDS, cepstra))
        self.register_buffer("whiten", torch.eye(cepstra))

    def forward(self, cepstra: Tensor, speaker: Tensor) -> Tensor:
        with torch.autocast(cepstra.device.type, enabled=False):
            own = self.own[speaker]
            return cepstra + self.which(cepstra, own) @ (self.means - own)

    def which(self, cepstra: Tensor, own: Tensor) -> Tensor:
        """p(k | c, voice), (B, N, M), for a voice that has its sounds at (B, M, D)."""
        x, means = cepstra @ self.whiten, own @ self.whiten
        nearness = x @ means.mT - means.square().sum(-1).unsqueeze(-2) / 2
        return (SHARPNESS * nearness).softmax(-1)

    @torch.no_grad()
    def fit(self, spoken: Sequence[Tensor], seed: int) -> None:
        """Learn the sounds of all speakers' cepstra, (T, D) each.

        In turn what each frame may be, where each speaker has that (MAP adaptation), and the
        covariance of what these means leave. Who says nothing has the sounds of all, and one
        speaker alone is not moved.
        """
        speaking = [s for s, x in enumerate(spoken) if x.std() > SPEAKING]
        spoken = [spoken[s] for s in speaking]
        if len(spoken) < 2:
            return
        everything = torch.cat(spoken)
        own = _clusters(everything, seed).expand(len(spoken), -1, -1)
        self.whiten.copy_(_whitening(everything - everything.mean(0)))
        for _ in range(ITERATIONS):
            weights = [self.which(x, means) for x, means in zip(spoken, own, strict=True)]
            uses = torch.stack([p.sum(0) for p in weights]).unsqueeze(-1)  # (S, M, 1)
            sums = torch.stack([p.T @ x for p, x in zip(weights, spoken, strict=True)])
            common = sums.sum(0) / uses.sum(0).clamp(min=1e-3)
            own = (sums + LEANING * common) / (uses + LEANING)
            expected = torch.cat([p @ means for p, means in zip(weights, own, strict=True)])
            self.whiten.copy_(_whitening(everything - expected))
        self.means.copy_(own.mean(0))
        self.own.copy_(self.means)
        self.own[speaking] = own


def _clusters(frames: Tensor, seed: int) -> Tensor:
    """First means (M, D) from frames (T, D); with fewer frames than these, some are the same."""
    from sklearn.cluster import KMeans

    random = np.random.default_rng(seed)
    some = random.permutation(len(frames))[:CLUSTERED]
    count = min(SOUNDS, max(1, len(some) // 2))
    clusters = KMeans(count, n_init=1, max_iter=20, random_state=seed)
    centres = clusters.fit(frames[torch.from_numpy(some)].cpu().numpy()).cluster_centers_
    return torch.from_numpy(centres[np.arange(SOUNDS) % count]).to(frames)


def _whitening(within: Tensor) -> Tensor:
    """(D, D) that makes the covariance of (T, D), mean 0, the identity."""
    covariance = within.T @ within / len(within)
    covariance.diagonal().add_(1e-3)  # what does not vary is no reason to divide by zero
    return torch.linalg.cholesky(torch.linalg.inv(covariance))
