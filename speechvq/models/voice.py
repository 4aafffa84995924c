"""An encoder that listens to voices: cepstra made alike between speakers, with nothing to train.

Where `Encoder` learns from raw audio, this one computes the cepstra of a frame as any voice would
have them, and turns them so that distances between codes count alike in every direction. Its codes
mean the same whoever speaks, speakers among them whom no training has heard: what has to be known
of a voice is found in its recording, by what suits the codebook.

Shapes: B batch, T samples, N codes, D codebook_dim, K codebook_size, W warps. After Lee and Rose,
"Speaker normalization using efficient frequency warping procedures", 1996.
"""

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

BANDS = 40
"""Mel bands of which the cepstra are."""
WARPS = torch.linspace(-0.32, 0.32, 17).exp()
"""What a voice's resonances are tried to be, as a multiple of a typical voice's."""
USUAL = 0.15
"""Standard deviation of the logarithm of voices' warps."""
PRIOR = 20.0
"""Frames that the typical voice counts for, beside those of a recording."""
FRAMES = 2000
"""Of a recording, at most, in which its voice is sought."""
ROUNDS = 4


class CepstralEncoder(nn.Module):
    """Latents (B, N, D) of a waveform (B, T) in a voice: z_e(x) = W c(x) + b.

    The codes of its latents have an identity covariance within, as `start_at_clusters` makes them.
    """

    def __init__(self, config: VQVAEConfig):
        super().__init__()
        D = config.codebook_dim
        self.frames = FrameCepstra(config.sample_rate, config.hop_length, BANDS, D)
        self.output = nn.Linear(D, D)
        with torch.no_grad():
            nn.init.eye_(self.output.weight)
            nn.init.zeros_(self.output.bias)
        # The typical voice
        self.register_buffer("mean", torch.zeros(D))
        self.register_buffer("scale", torch.ones(D))

    def forward(self, waveform: Tensor, voice: Voice) -> Tensor:
        """Latents of a waveform whose voice is known."""
        return self.output(self.frames(waveform, voice))

    @torch.no_grad()
    def take_typical(self, speakers: SpeakerCepstra) -> None:
        """Know what voices are like, from those of a corpus."""
        self.mean.copy_(speakers.mean.mean(0))
        self.scale.copy_(speakers.scale.log().mean(0).exp())

    @torch.no_grad()
    def find_voice(self, waveform: Tensor, codebook: Tensor) -> Voice:
        """The voice of a recording (T,): that in which its codes are likeliest.

        With a code's latents Gaussian around it, mean and scale follow from those of the
        recording's cepstra and of the codes that they fall to, in turn with these (expectation
        maximisation, with the typical voice as the prior). So it matters little what is said.

        Returns
        -------
        Voice
            With B = 1.
        """
        waveform = F.pad(waveform, (0, -len(waveform) % self.frames.hop_length))
        power = self.frames.mel.power(waveform[None])
        turn_back = torch.linalg.inv(self.output.weight)
        # (K, D), cepstra of a voice made alike; and (D,), their variance around a code
        centres = (codebook - self.output.bias) @ turn_back.T
        within = (turn_back @ turn_back.T).diagonal()
        found = []
        for warp in WARPS.to(power):
            mel = self.frames.mel.of_power(power, warp[None])
            level = level_of_speech(mel[0])
            cepstra = self.frames.of_mel(above_floor(mel, level[None]))[0]
            cepstra = cepstra[:: -(-len(cepstra) // FRAMES)]
            mean, scale, nats = self._fit(cepstra, codebook, centres, within)
            nats = nats + 0.5 * (warp.log() / USUAL).square() / len(cepstra)
            found.append((nats, Voice(warp[None], level[None], mean[None], scale[None])))
        return min(found, key=lambda entry: entry[0])[1]

    def _fit(
        self, cepstra: Tensor, codebook: Tensor, centres: Tensor, within: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and scale (D,) for cepstra (N, D), and -log p of these, in nats a frame."""
        N = len(cepstra)
        own_mean, own_variance = cepstra.mean(0), cepstra.var(0, correction=0)
        expected, variance = torch.zeros_like(own_mean), torch.ones_like(own_variance)
        for _ in range(ROUNDS):
            squared = N * own_variance / variance + PRIOR * self.scale.square()
            scale = (squared / (N + PRIOR)).sqrt()
            mean = (N * (own_mean - scale * expected) + PRIOR * self.mean) / (N + PRIOR)
            latents = self.output((cepstra - mean) / scale)
            distance, codes = torch.cdist(latents, codebook).min(1)
            chosen = centres[codes]
            expected, variance = chosen.mean(0), chosen.var(0, correction=0) + within
        return mean, scale, 0.5 * distance.square().mean() + scale.log().sum()
