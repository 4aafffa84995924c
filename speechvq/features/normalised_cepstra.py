"""Speaker-normalised cepstra as the encoder's input, for speakers in no training, too.

The transform of a recording is estimated from the recording itself: the one under which its cepstra
are likeliest, given clusters of normalised cepstra. So codes mean the same whoever speaks.

Shapes: B batch, T samples, N codes, D cepstra, K codebook_size. After Lee and Rose, "Speaker
normalization using efficient frequency warping procedures", 1996.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import NormalisedCepstraConfig
from speechvq.data.segments import Waveforms
from speechvq.features.log_mel import speech_level_nats
from speechvq.features.mfcc import MFCC, SpeakerTransform, SpeakerTransforms
from speechvq.features.speaker_normalisation import fit_speaker_transforms
from speechvq.features.vtln import warp_factors


class _Hypothesis(NamedTuple):
    """A transform that was fitted to a recording."""

    nats: float
    """-log p of the recording's cepstra under the transform, per frame."""
    start: tuple[Tensor, int]
    """The warp factor and the stored speaker, 0 being the mean, where the search began."""
    transform: SpeakerTransform


class NormalisedCepstra(nn.Module):
    """Normalised cepstra (B, N, D) of waveforms (B, T).

    Parameters
    ----------
    config : NormalisedCepstraConfig
    sample_rate : int
        Hz.
    codebook_size : int
        K, the number of clusters.
    """

    needs_transform = True

    def __init__(self, config: NormalisedCepstraConfig, sample_rate: int, codebook_size: int):
        super().__init__()
        self.config = config
        D, stored = config.cepstra, 1 + config.stored_speakers
        normalisation = config.normalisation
        self.mfcc = MFCC(
            sample_rate,
            config.frame_length,
            normalisation.mel_bands,
            D,
            normalisation.dynamic_range,
        )
        # Starting points of the search: the mean over speakers, then stored speakers
        self.register_buffer("warps", torch.ones(stored))
        self.register_buffer("means", torch.zeros(stored, D))
        self.register_buffer("matrices", torch.eye(D).repeat(stored, 1, 1))
        self.register_buffer("stored", torch.zeros((), dtype=torch.long))
        # Clusters of whitened cepstra, within which the covariance is the identity
        self.register_buffer("clusters", torch.zeros(codebook_size, D))
        self.register_buffer("whiten_weight", torch.eye(D))
        self.register_buffer("whiten_bias", torch.zeros(D))

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return self.mfcc.hop_length

    @property
    def receptive_field(self) -> int:
        """Samples that a frame depends on."""
        return self.mfcc.receptive_field

    def forward(self, waveform: Tensor, transform: SpeakerTransform | None = None) -> Tensor:
        """Normalised cepstra; without a transform, by that estimated from each recording."""
        if transform is None:
            found = [self.estimate(x) for x in waveform]
            transform = SpeakerTransform(*(torch.cat(parts) for parts in zip(*found, strict=True)))
        return self.mfcc(waveform, transform)

    @property
    def has_priors(self) -> bool:
        """Whether `set_speaker_priors` was called, so that `estimate` can be."""
        return bool(self.clusters.any())  # no speaker at all may be stored

    def speaker_transforms(self, speakers: int) -> SpeakerTransforms:
        """Room for the transforms of so many training speakers."""
        return SpeakerTransforms(self.config.cepstra, speakers)

    def fit_transforms(
        self,
        transforms: SpeakerTransforms,
        waveforms: Waveforms,
        speakers: Sequence[str],
        seed: int,
    ) -> None:
        """Estimate the transforms of training speakers from a corpus, all speakers together."""
        config = self.config.normalisation
        fit_speaker_transforms(transforms, self.mfcc, waveforms, speakers, config, seed)

    @torch.no_grad()
    def set_speaker_priors(
        self, speakers: SpeakerTransforms, clusters: Tensor, whiten: nn.Linear
    ) -> None:
        """Store what a search needs: transforms of training speakers, and clusters.

        Parameters
        ----------
        speakers : SpeakerTransforms
            Of the training speakers.
        clusters : Tensor
            (K, D), of whitened cepstra.
        whiten : Linear
            Maps normalised cepstra to whitened ones.
        """
        self.clusters.copy_(clusters)
        self.whiten_weight.copy_(whiten.weight)
        self.whiten_bias.copy_(whiten.bias)
        S = len(speakers.warp)
        some = torch.linspace(0, S - 1, min(S, self.config.stored_speakers)).round().long()
        self.stored.fill_(len(some))
        for stored, corpus in (
            (self.warps, speakers.warp),
            (self.means, speakers.mean),
            (self.matrices, speakers.matrix),
        ):
            stored[0] = corpus.mean(0)
            stored[1 : 1 + len(some)] = corpus[some]
        self.warps[0] = 1.0

    @torch.no_grad()
    def estimate(self, waveform: Tensor) -> SpeakerTransform:
        """Estimate the transform of a recording (T,) by maximum likelihood; B = 1.

        The mean transform is tried at all warp factors, and each stored speaker's at its own. From
        there, with cepstra Gaussian around their clusters, the remaining mean and scale follow by
        expectation maximisation: the result hardly depends on what is said.
        """
        config = self.config
        waveform = F.pad(waveform, (0, -len(waveform) % self.hop_length))
        power = self.mfcc.mel.power(waveform[None])
        unwhiten = torch.linalg.inv(self.whiten_weight)
        # (K, D), clusters of normalised cepstra; and (D,), the variance within a cluster
        centres = (self.clusters - self.whiten_bias) @ unwhiten.T
        within = (unwhiten @ unwhiten.T).diagonal()

        def search(starts: list[tuple[Tensor, int]], most: int) -> list[_Hypothesis]:
            found = []
            for warp, v in starts:
                mel = self.mfcc.mel.of_power(power, warp[None])
                level = speech_level_nats(mel[0])
                cepstra = self.mfcc.of_mel(self.mfcc.floored(mel, level[None]))[0]
                start_mean, start = self.means[v], self.matrices[v]
                normalised = (cepstra[:: -(-len(cepstra) // most)] - start_mean) @ start
                mean, scale, nats = self._fit(normalised, centres, within)
                nats = nats - torch.linalg.slogdet(start).logabsdet  # all of the same cepstra
                if not v:
                    prior = (warp.log() / config.log_warp_std).square()
                    nats = nats + 0.5 * prior / len(normalised)
                mean = start_mean + torch.linalg.solve(start.T, mean)
                transform = SpeakerTransform(
                    warp[None], level[None], mean[None], (start / scale)[None]
                )
                found.append(_Hypothesis(nats.item(), (warp, v), transform))
            return sorted(found, key=lambda hypothesis: hypothesis.nats)

        normalisation = config.normalisation
        warps = warp_factors(normalisation.warps, normalisation.largest_log_warp).to(power)
        starts = [(warp, 0) for warp in warps]
        starts += [(self.warps[v], v) for v in range(1, 1 + int(self.stored))]
        beam = [h.start for h in search(starts, config.coarse_frames)[: config.beam]]
        return search(beam, config.frames)[0].transform

    def _fit(
        self, cepstra: Tensor, centres: Tensor, within: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and scale (D,) for cepstra (N, D), and -log p of these in nats per frame.

        Mean 0 and scale 1 where the transform that was tried fits the recording already.
        """
        N, prior = len(cepstra), self.config.prior_frames
        mean_found, variance_found = cepstra.mean(0), cepstra.var(0, correction=0)
        expected, variance = torch.zeros_like(mean_found), torch.ones_like(variance_found)
        for _ in range(self.config.rounds):
            scale = ((N * variance_found / variance + prior) / (N + prior)).sqrt()
            mean = N * (mean_found - scale * expected) / (N + prior)
            whitened = F.linear((cepstra - mean) / scale, self.whiten_weight, self.whiten_bias)
            distance, nearest = torch.cdist(whitened, self.clusters).min(1)
            chosen = centres[nearest]
            expected, variance = chosen.mean(0), chosen.var(0, correction=0) + within
        return mean, scale, 0.5 * distance.square().mean() + scale.log().sum()
