"""The decoder: p(x | z_q, speaker), a WaveNet over mu-law levels of the waveform.

A decoder is a module with the likelihood of a waveform, `log_likelihood`, with `fit`, which is
given typical speech before a training, and with a sampler: `speechvq.sampling` draws from a WaveNet
and calls the method `sample` of any other decoder.

Shapes: B batch, T samples, J sub-bands, N codes, M condition vectors, C channels, D codebook_dim.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import WaveNetDecoderConfig
from speechvq.distributed import drawn_for_rows
from speechvq.models import mu_law
from speechvq.models.conditioner import Conditioner
from speechvq.models.long_term import TAPS, LongTermPredictor
from speechvq.models.pqmf import PQMF
from speechvq.models.wavenet import WaveNet


class WaveNetDecoder(nn.Module):
    """A WaveNet with local conditioning on codes and global conditioning on the speaker.

    Parameters
    ----------
    config : WaveNetDecoderConfig
    codebook_dim : int
        D.
    hop_length : int
        Samples per code.
    n_speakers : int
    sample_rate : int
        Hz.
    """

    def __init__(
        self,
        config: WaveNetDecoderConfig,
        codebook_dim: int,
        hop_length: int,
        n_speakers: int,
        sample_rate: int,
    ):
        super().__init__()
        J, channels = config.subbands, config.wavenet.residual_channels
        self.hop_length = hop_length
        self.conditioner = Conditioner(config.conditioner, codebook_dim, n_speakers)
        self.pqmf = PQMF(config.subbands)
        self.wavenet = WaveNet(
            config.wavenet,
            mu_law.LEVELS,
            config.conditioner.channels,
            start=mu_law.SILENCE,
            bands=config.subbands,
            long_term=LongTermPredictor(channels, J, sample_rate / J) if config.long_term else None,
        )
        _start_in_order(self.wavenet.embed, J)
        if self.wavenet.long_term is not None:
            _start_in_order(self.wavenet.long_term.embed, TAPS * J)

    def fit(self, waveforms: Tensor) -> None:
        """Set the scales of the sub-bands by typical speech (B, T)."""
        self.pqmf.fit(waveforms)

    def log_likelihood(
        self,
        waveform: Tensor,
        quantized: Tensor,
        speaker: Tensor,
        margin: int = 0,
        input_noise: float = 0.0,
    ) -> Tensor:
        """log p(x | z_q, speaker), in nats for each sample.

        Parameters
        ----------
        waveform : Tensor
            (B, T) float in [-1, 1], T = N · hop_length.
        quantized : Tensor
            z_q, (B, N, D).
        speaker : Tensor
            Indices (B,).
        margin : int
            Codes at the beginning and at the end whose samples are not scored: context for those
            in between.
        input_noise : float
            Standard deviation, in mu-law levels, of noise on the past samples that the WaveNet is
            given (noisy teacher forcing).

        Returns
        -------
        Tensor
            (B, T - 2 · margin · hop_length); with sub-bands, of each of their samples.
        """
        condition = self.conditioner(quantized, speaker)
        levels = self.pqmf.encode(waveform)  # (B, T / J, J)
        if margin:
            levels = _inner(levels, margin * self.hop_length // self.pqmf.bands)
            condition = _inner(condition, margin * self.conditioner.upsample)
        past = levels
        if input_noise:
            B, *shape = levels.shape
            noise = drawn_for_rows(B, lambda rows: torch.randn(rows, *shape, device=levels.device))
            past = (levels + (input_noise * noise).round().long()).clamp(0, mu_law.LEVELS - 1)
        logits = self.wavenet(past, condition)  # (B, T / J, J, 256)
        nll = F.cross_entropy(logits.float().flatten(0, 2), levels.flatten(), reduction="none")
        return -nll.view(len(levels), -1)


@torch.no_grad()
def _start_in_order(embed: nn.Embedding, tables: int) -> None:
    """Start the embedding of levels with smooth functions of the amplitude.

    Rows that start at random say nothing of the order of levels, which must then be learned level
    by level: the first minutes of a training.
    """
    amplitude = torch.linspace(-1, 1, mu_law.LEVELS)
    waves = [
        f(math.pi * k * amplitude) / (k + 1) for f in (torch.sin, torch.cos) for k in range(1, 5)
    ]
    functions = torch.stack([amplitude, *waves], dim=1)  # (256, 9)
    mixtures = torch.randn(tables, functions.shape[1], embed.embedding_dim) / math.sqrt(tables)
    embed.weight.copy_((functions @ mixtures).flatten(0, 1))


def _inner(x: Tensor, margin: int) -> Tensor:
    """(B, steps, …) without `margin` steps at either end."""
    return x[:, margin:-margin]
