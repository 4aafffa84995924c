"""GMM mapping of speakers: what a linear transform leaves, removed Gaussian by Gaussian.

The cepstra of a speaker are a mixture of Gaussians that share a covariance; the means are the
speaker's own. A frame moves by the posterior mean of the distance between the speaker's means and
the means over all speakers:

    c' = c + Σ_k p(k | c, speaker) (μ_k - μ_k(speaker))

The mixture is fitted to the speech of all speakers without transcripts, and each speaker's means
are MAP-adapted. After Reynolds, Quatieri and Dunn, "Speaker verification using adapted Gaussian
mixture models", 2000, and Stylianou, Cappé and Moulines, "Continuous probabilistic transform for
voice conversion", 1998.

Shapes: B batch, N or T frames, D cepstra, M Gaussians, S speakers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from speechvq.config import SpeakerNormalisationConfig
from speechvq.features.whitening import whitening

SPEECH_STD = 0.5
"""Standard deviation of standardised cepstra above which a speaker's recordings are not silent."""
KMEANS_FRAMES = 20000
"""Frames, at most, in which the first means are sought."""


class GMMSpeakerMapping(nn.Module):
    """Maps cepstra (B, N, D) of speakers (B,) to the means over all speakers."""

    means: Tensor
    speaker_means: Tensor
    whiten: Tensor

    def __init__(self, cepstra: int, speakers: int, config: SpeakerNormalisationConfig):
        super().__init__()
        self.config = config
        M = config.gmm_components
        self.register_buffer("means", torch.zeros(M, cepstra))  # over all speakers
        self.register_buffer("speaker_means", torch.zeros(speakers, M, cepstra))
        self.register_buffer("whiten", torch.eye(cepstra))

    def forward(self, cepstra: Tensor, speaker: Tensor) -> Tensor:
        with torch.autocast(cepstra.device.type, enabled=False):
            means = self.speaker_means[speaker]
            return cepstra + self.posteriors(cepstra, means) @ (self.means - means)

    def posteriors(self, cepstra: Tensor, means: Tensor) -> Tensor:
        """p(k | c, speaker), (B, N, M), for a speaker whose means are (B, M, D)."""
        x, means = cepstra @ self.whiten, means @ self.whiten
        log_likelihood = x @ means.mT - means.square().sum(-1).unsqueeze(-2) / 2
        return (self.config.gmm_likelihood_scale * log_likelihood).softmax(-1)

    @torch.no_grad()
    def fit(self, cepstra: Sequence[Tensor], seed: int) -> None:
        """Fit the mixture to the cepstra (T, D) of each speaker.

        Expectation maximisation of the posteriors, the MAP-adapted means of each speaker, and the
        shared covariance. A silent speaker gets the means over all; one speaker alone is not moved.
        """
        speaking = [s for s, x in enumerate(cepstra) if x.std() > SPEECH_STD]
        cepstra = [cepstra[s] for s in speaking]
        if len(cepstra) < 2:
            return
        relevance = self.config.gmm_relevance_factor
        frames = torch.cat(cepstra)
        adapted = self._first_means(frames, seed).expand(len(cepstra), -1, -1)
        self.whiten.copy_(whitening(frames - frames.mean(0)))
        for _ in range(self.config.gmm_iterations):
            weights = [self.posteriors(x, m) for x, m in zip(cepstra, adapted, strict=True)]
            counts = torch.stack([p.sum(0) for p in weights]).unsqueeze(-1)  # (S, M, 1)
            sums = torch.stack([p.T @ x for p, x in zip(weights, cepstra, strict=True)])
            common = sums.sum(0) / counts.sum(0).clamp(min=1e-3)
            adapted = (sums + relevance * common) / (counts + relevance)
            expected = torch.cat([p @ m for p, m in zip(weights, adapted, strict=True)])
            self.whiten.copy_(whitening(frames - expected))
        self.means.copy_(adapted.mean(0))
        self.speaker_means.copy_(self.means)
        self.speaker_means[speaking] = adapted

    def _first_means(self, frames: Tensor, seed: int) -> Tensor:
        """K-means centres (M, D) of frames (T, D); of few frames, some centres are the same."""
        from sklearn.cluster import KMeans

        M = len(self.means)
        random = np.random.default_rng(seed)
        some = random.permutation(len(frames))[:KMEANS_FRAMES]
        count = min(M, max(1, len(some) // 2))
        kmeans = KMeans(count, n_init=1, max_iter=20, random_state=seed)
        centres = kmeans.fit(frames[torch.from_numpy(some)].cpu().numpy()).cluster_centers_
        return torch.from_numpy(centres[np.arange(M) % count]).to(frames)
