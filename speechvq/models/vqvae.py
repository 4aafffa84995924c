"""The VQ-VAE of section 4.3: encoder, quantizer and speaker-conditioned WaveNet put together.

Shapes: B batch, T samples, J sub-bands, N codes, M condition vectors, C channels, D codebook_dim,
K codebook_size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq import mu_law
from speechvq.config import VQVAEConfig
from speechvq.models.cepstra import Voice
from speechvq.models.conditioner import Conditioner
from speechvq.models.encoder import Encoder
from speechvq.models.envelope import Envelope
from speechvq.models.quantizer import Quantizer
from speechvq.models.subbands import Subbands
from speechvq.models.voice import CepstralEncoder
from speechvq.models.wavenet import WaveNet


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
    """A raw-audio VQ-VAE that speaks in the voices of `speakers`.

    Parameters
    ----------
    config : VQVAEConfig
    speakers : sequence of str
        Names; a speaker's place in the list is its index in the embedding.
    """

    def __init__(self, config: VQVAEConfig, speakers: Sequence[str]):
        super().__init__()
        self.config = config
        self.speakers = list(speakers)
        by_cepstra = config.encoder_input == "cepstra"
        self.encoder = CepstralEncoder(config) if by_cepstra else Encoder(config)
        self.quantizer = Quantizer(config)
        self.conditioner = Conditioner(config, len(self.speakers))
        self.subbands = Subbands(config.subbands)
        self.decoder = WaveNet(
            config.wavenet,
            mu_law.LEVELS,
            config.condition_channels,
            start=mu_law.SILENCE,
            bands=config.subbands,
        )
        _start_in_order(self.decoder.embed, config.subbands)
        self.envelope = None
        if config.envelope_bands:
            self.envelope = Envelope(config, len(self.speakers))

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return self.config.hop_length

    @property
    def frame_rate(self) -> float:
        """Codes per second."""
        return self.config.frame_rate

    @property
    def kl_bits_per_code(self) -> float:
        """KL(q(z|x) ‖ p(z)) = log K for a one-hot q and a uniform p (section 3.1), in bits."""
        return math.log2(self.config.codebook_size)

    @property
    def bitrate(self) -> float:
        """Bits per second of the codes under the uniform prior."""
        return self.frame_rate * self.kl_bits_per_code

    def speaker_index(self, speaker: str) -> int:
        """Index of a speaker's name; ValueError names the known ones."""
        if speaker in self.speakers:
            return self.speakers.index(speaker)
        raise ValueError(unknown_speaker(speaker, self.speakers))

    @property
    def hears_voices(self) -> bool:
        """Whether the codes of a recording depend on whose voice it is, a `Voice`."""
        return isinstance(self.encoder, CepstralEncoder)

    def find_voice(self, waveform: Tensor) -> Voice | None:
        """The voice of each recording (B, T) of a batch; None for a model that needs none."""
        if not self.hears_voices:
            return None
        found = [self.encoder.find_voice(x) for x in waveform]
        return Voice(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def latents(self, waveform: Tensor, voice: Voice | None = None) -> Tensor:
        """z_e(x): (B, N, D) for a waveform (B, T), N = ceil(T / hop_length).

        An encoder that listens to voices finds that of each recording, unless it is given.
        """
        if not self.hears_voices:
            return self.encoder(waveform)
        return self.encoder(waveform, self.find_voice(waveform) if voice is None else voice)

    @torch.no_grad()
    def encode(self, waveform: Tensor, voice: Voice | None = None) -> Tensor:
        """Codes (B, N) of a waveform (B, T) float in [-1, 1]; `voice` as in `latents`."""
        return self.quantizer.nearest(self.latents(waveform, voice))

    def condition(self, codes: Tensor, speaker: Tensor) -> Tensor:
        """Condition vectors (B, M, C) for codes (B, N) and speaker indices (B,)."""
        return self.conditioner(self.quantizer.lookup(codes), speaker)

    def log_likelihood(
        self,
        waveform: Tensor,
        condition: Tensor,
        margin: int = 0,
        history_noise: float = 0.0,
    ) -> Tensor:
        """log p(x | z_q, speaker), nats for each sample.

        Parameters
        ----------
        waveform : Tensor
            (B, T), T a multiple of hop_length.
        condition : Tensor
            (B, M, C), what the conditioner makes of z_q and the speaker.
        margin : int
            Codes at the beginning and at the end whose samples are not scored; they are there for
            what is next to them, as their neighbours are in a longer recording.
        history_noise : float
            Standard deviation of noise on the past that the decoder hears, in mu-law levels.

        Returns
        -------
        Tensor
            (B, T - 2 · margin · hop_length); with sub-bands, of each of their samples.
        """
        levels = self.subbands.encode(waveform)  # (B, T / J, J)
        if margin:
            levels = _within(levels, margin * self.hop_length // self.config.subbands)
            condition = _within(condition, margin * self.config.condition_upsample)
        heard = levels
        if history_noise:
            noise = history_noise * torch.randn(levels.shape, device=levels.device)
            heard = (levels + noise.round().long()).clamp(0, mu_law.LEVELS - 1)
        logits = self.decoder(heard, condition)  # (B, T / J, J, 256)
        nll = F.cross_entropy(logits.float().flatten(0, 2), levels.flatten(), reduction="none")
        return -nll.view(len(levels), -1)

    def forward(self, waveform: Tensor, speaker: Tensor, history_noise: float = 0.0) -> VQVAEOutput:
        """The paper's objective, equation 3.

        Parameters
        ----------
        waveform : Tensor
            (B, T) float in [-1, 1]; any T, padded with silence to a whole number of codes, the
            padding not scored.
        speaker : Tensor
            (B,) int64.
        history_noise : float
            As in `log_likelihood`.
        """
        T = waveform.shape[-1]
        padded = F.pad(waveform, (0, -T % self.hop_length))
        z = self.quantizer(self.latents(padded))
        condition = self.conditioner(z.quantized, speaker)
        log_p = self.log_likelihood(padded, condition, history_noise=history_noise)
        nll = -log_p[:, :T].mean()
        loss = nll + z.codebook_loss + self.config.beta * z.commitment_loss
        return VQVAEOutput(loss, nll, z.codebook_loss, z.commitment_loss, z.codes)


@torch.no_grad()
def _start_in_order(embed: nn.Embedding, bands: int) -> None:
    """Start the embedding of levels with smooth functions of the amplitude.

    Rows that start at random say nothing of the order of levels, which must then be learned level
    by level: the first minutes of a training.
    """
    amplitude = torch.linspace(-1, 1, mu_law.LEVELS)
    waves = [
        f(math.pi * k * amplitude) / (k + 1) for f in (torch.sin, torch.cos) for k in range(1, 5)
    ]
    functions = torch.stack([amplitude, *waves], dim=1)  # (256, 9)
    mixtures = torch.randn(bands, functions.shape[1], embed.embedding_dim) / math.sqrt(bands)
    embed.weight.copy_((functions @ mixtures).flatten(0, 1))


def _within(x: Tensor, beyond: int) -> Tensor:
    """Without `beyond` steps at either end of (B, steps, …)."""
    return x[:, beyond:-beyond]


def unknown_speaker(speaker: str, speakers: Sequence[str]) -> str:
    """The message for a speaker that a model does not know."""
    import difflib

    shown = ", ".join(speakers)
    near = difflib.get_close_matches(speaker, speakers, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown speaker {speaker!r}; this model knows {shown}{hint}"
