"""An encoder that listens to voices: cepstra made alike between speakers.

Where `Encoder` learns from raw audio, this one computes the cepstra of a frame as any voice would
have them, and turns them so that distances between their clusters count alike in every direction.
These can be the latents, with nothing to train; or `Surroundings` learns what is around a frame to
say of it. Its codes mean the same whoever speaks, speakers among them whom no training has heard:
what has to be known of a voice is found in its recording, by what suits the clusters.

Shapes: B batch, T samples, N codes, C channels, D codebook_dim, K codebook_size, S speakers. After
Lee and Rose, "Speaker normalization using efficient frequency warping procedures", 1996.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import VQVAEConfig
from speechvq.models.cepstra import (
    FrameCepstra,
    SpeakerCepstra,
    Voice,
    above_floor,
    level_of_speech,
)
from speechvq.models.encoder import ResidualLayer

BANDS = 40
"""Mel bands of which the cepstra are."""
WARPS = torch.linspace(-0.32, 0.32, 17).exp()
"""What a voice's resonances are tried to be, as a multiple of a typical voice's."""
USUAL = 0.15
"""Standard deviation of the logarithm of voices' warps."""
KNOWN = 128
"""Voices of the training that the encoder keeps, at most: a recording may be of one of them."""
PRIOR = 20.0
"""Frames that the voice counts for from which the search starts, beside those of a recording."""
FRAMES = 2000
"""Of a recording, at most, in which its voice is sought."""
FEW = 200
"""Frames by which those voices are chosen that are tried with all."""
FINALISTS = 5
ROUNDS = 4


class _Found(NamedTuple):
    """A voice that was fitted to a recording."""

    nats: float
    """-log p of its cepstra in this voice, a frame."""
    start: tuple[Tensor, int]
    """The warp and the voice, 0 being the typical one, from which it was sought."""
    voice: Voice


class Surroundings(nn.Module):
    """y plus what is around y has to say of it, both (B, N, D); at first nothing."""

    def __init__(self, config: VQVAEConfig):
        super().__init__()
        C, D = config.encoder_widths[-1], config.codebook_dim
        layers = (ResidualLayer(C, config) for _ in range(config.encoder_residual_layers))
        self.layers = nn.Sequential(nn.Linear(D, C), *layers, nn.Linear(C, D))
        nn.init.zeros_(self.layers[-1].weight)
        nn.init.zeros_(self.layers[-1].bias)

    def forward(self, y: Tensor) -> Tensor:
        return y + self.layers(y)


class CepstralEncoder(nn.Module):
    """Latents (B, N, D) of a waveform (B, T) in a voice: z_e(x) = W c(x) + b.

    With `encoder_residual_layers`, what the surroundings say is added to these. Clusters of W c(x)
    + b have an identity covariance within, as `start_at_clusters` makes them.
    """

    def __init__(self, config: VQVAEConfig):
        super().__init__()
        D = config.codebook_dim
        self.frames = FrameCepstra(config.sample_rate, config.hop_length, BANDS, D)
        self.output = nn.Linear(D, D)
        with torch.no_grad():
            nn.init.eye_(self.output.weight)
            nn.init.zeros_(self.output.bias)
        self.surroundings = Surroundings(config) if config.encoder_residual_layers else None
        # The typical voice, and then those that are known
        self.register_buffer("warps", torch.ones(1 + KNOWN))
        self.register_buffer("means", torch.zeros(1 + KNOWN, D))
        self.register_buffer("matrices", torch.eye(D).repeat(1 + KNOWN, 1, 1))
        self.register_buffer("known", torch.zeros((), dtype=torch.long))
        self.register_buffer("clusters", torch.zeros(config.codebook_size, D))

    def forward(self, waveform: Tensor, voice: Voice) -> Tensor:
        """Latents of a waveform whose voice is known."""
        with torch.autocast(waveform.device.type, enabled=False):
            alike = self.output(self.frames(waveform, voice))
        return alike if self.surroundings is None else self.surroundings(alike)

    @torch.no_grad()
    def know(self, speakers: SpeakerCepstra, clusters: Tensor) -> None:
        """Know what voices are like, from those of a corpus, and the clusters (K, D) of theirs."""
        self.clusters.copy_(clusters)
        S = len(speakers.warp)
        some = torch.linspace(0, S - 1, min(S, KNOWN)).round().long()
        self.known.fill_(len(some))
        for ours, theirs in (
            (self.warps, speakers.warp),
            (self.means, speakers.mean),
            (self.matrices, speakers.matrix),
        ):
            ours[0] = theirs.mean(0)
            ours[1 : 1 + len(some)] = theirs[some]
        self.warps[0] = 1.0

    @torch.no_grad()
    def find_voice(self, waveform: Tensor) -> Voice:
        """The voice of a recording (T,): that in which its cepstra are likeliest.

        The typical voice is tried at all warps, and each that is known. From there, with cepstra
        Gaussian around their clusters, what is left of mean and scale follows from the recording's
        cepstra and the clusters that they fall to, in turn with these (expectation maximisation).
        So it matters little what is said.

        Returns
        -------
        Voice
            With B = 1.
        """
        waveform = F.pad(waveform, (0, -len(waveform) % self.frames.hop_length))
        power = self.frames.mel.power(waveform[None])
        turn_back = torch.linalg.inv(self.output.weight)
        # (K, D), cepstra of a voice made alike; and (D,), their variance in a cluster
        centres = (self.clusters - self.output.bias) @ turn_back.T
        within = (turn_back @ turn_back.T).diagonal()

        def likeliest(tried: list[tuple[Tensor, int]], most: int) -> list[_Found]:
            found = []
            for warp, v in tried:
                mel = self.frames.mel.of_power(power, warp[None])
                level = level_of_speech(mel[0])
                cepstra = self.frames.of_mel(above_floor(mel, level[None]))[0]
                start_mean, start = self.means[v], self.matrices[v]
                alike = (cepstra[:: -(-len(cepstra) // most)] - start_mean) @ start
                mean, scale, nats = self._fit(alike, centres, within)
                nats = nats - torch.linalg.slogdet(start).logabsdet  # all of the same cepstra
                if not v:
                    nats = nats + 0.5 * (warp.log() / USUAL).square() / len(alike)
                mean = start_mean + torch.linalg.solve(start.T, mean)
                voice = Voice(warp[None], level[None], mean[None], (start / scale)[None])
                found.append(_Found(nats.item(), (warp, v), voice))
            return sorted(found, key=lambda its: its.nats)

        tried = [(warp, 0) for warp in WARPS.to(power)]
        tried += [(self.warps[v], v) for v in range(1, 1 + int(self.known))]
        finalists = [its.start for its in likeliest(tried, FEW)[:FINALISTS]]
        return likeliest(finalists, FRAMES)[0].voice

    def _fit(
        self, cepstra: Tensor, centres: Tensor, within: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and scale (D,) for cepstra (N, D), and -log p of these, in nats a frame.

        Mean 0 and scale 1 where the recording's voice is the one that was tried.
        """
        N = len(cepstra)
        own_mean, own_variance = cepstra.mean(0), cepstra.var(0, correction=0)
        expected, variance = torch.zeros_like(own_mean), torch.ones_like(own_variance)
        for _ in range(ROUNDS):
            scale = ((N * own_variance / variance + PRIOR) / (N + PRIOR)).sqrt()
            mean = N * (own_mean - scale * expected) / (N + PRIOR)
            alike = self.output((cepstra - mean) / scale)
            distance, nearest = torch.cdist(alike, self.clusters).min(1)
            chosen = centres[nearest]
            expected, variance = chosen.mean(0), chosen.var(0, correction=0) + within
        return mean, scale, 0.5 * distance.square().mean() + scale.log().sum()
