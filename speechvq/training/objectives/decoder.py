"""The likelihood of the decoder on frozen codes.

Shapes: B batch, T samples, N codes, D codebook_dim.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import DecoderStage, StageConfig
from speechvq.data.segments import Batch
from speechvq.model import Model
from speechvq.models.vqvae import VQVAE
from speechvq.postfilter.predictor import ConditionerMelPredictor
from speechvq.training.corpus import Corpus
from speechvq.training.objective import Losses, Objective

MARGIN = 8
"""Codes of context on either side of a segment.

At the edge of a segment the encoder finds other codes than in the whole recording, and a segment
of few codes is nearly all edge.
"""
SECONDS_FOR_SCALES = 120.0
"""Speech from which the scales of the sub-bands are set, if there is so much."""


class FrozenCodesObjective(Objective):
    """An objective on codes that stay as they are; `model` has the encoder and the quantizer."""

    reads_codes = True
    model: Model

    def train(self, mode: bool = True) -> "FrozenCodesObjective":
        """As for every module, but encoder and quantizer stay in eval mode."""
        super().train(mode)
        self.model.vqvae.encoder.eval()
        self.model.vqvae.quantizer.eval()
        return self


class DecoderObjective(FrozenCodesObjective):
    """-log p(x | z_q, speaker), the first term of equation 3; encoder and codebook stay."""

    def __init__(self, config: DecoderStage, model: Model):
        super().__init__()
        self.config = config
        self.model = model
        self.margin = margin_of(model)

    def start(self, corpus: Corpus) -> None:
        """Set the scales of the sub-bands; start the conditioner as the mel predictor's."""
        start_decoder(self.model, corpus, self.config)

    def trained(self) -> list[nn.Parameter]:
        """The decoder, its conditioner included."""
        return list(self.model.vqvae.decoder.parameters())

    def metrics(self) -> dict[str, float]:
        """The constant terms of the ELBO."""
        return elbo_metrics(self.model)

    def forward(self, batch: Batch) -> Losses:
        """Loss of segments (B, T) with a margin of codes on either side; in eval mode without."""
        margin = self.margin if self.training else 0
        noise = self.config.input_noise if self.training else 0.0
        nll, codes = self.nll(batch, margin, noise)
        mean = nll.mean()
        terms = elbo_terms(self.model, mean.detach() / math.log(2))
        loss = (self._weights(nll) * nll).mean() if self.training else mean
        return Losses(loss, terms, codes, weight=nll.shape[1])

    def nll(self, batch: Batch, margin: int, input_noise: float = 0.0) -> tuple[Tensor, Tensor]:
        """-log p of each sample (B, t) in nats, and codes (B, N), of waveforms without margins."""
        vqvae, hop_length = self.model.vqvae, self.model.hop_length
        with torch.no_grad():
            codes = frozen_codes(vqvae, batch)
            condition = self.model.local_condition(codes, batch.speaker)
        T = batch.waveform.shape[-1]
        x = F.pad(batch.waveform, (0, -T % hop_length))
        log_p = vqvae.decoder.log_likelihood(x, condition, batch.speaker, margin, input_noise)
        nll = -log_p[:, : T - 2 * margin * hop_length]
        return nll, codes[:, margin : codes.shape[1] - margin]

    def _weights(self, nll: Tensor) -> Tensor:
        """Weights of samples (B, t), 1 in the mean: the sub-bands of a step lie side by side."""
        weights = nll.new_ones(getattr(self.model.config.decoder, "subbands", 1))
        weights[0] = self.config.first_band_weight
        return (weights / weights.mean()).repeat(-(-nll.shape[1] // len(weights)))[: nll.shape[1]]


def margin_of(model: Model) -> int:
    """Codes of context on either side of a segment that its condition needs."""
    if not model.config.decoder.mel_condition:
        return MARGIN
    predictor: Any = model.mel_predictor  # a streaming one: it alone has a stack
    return max(MARGIN, predictor.stack.past)


def frozen_codes(vqvae: VQVAE, batch: Batch) -> Tensor:
    """Codes (B, N) or (B, N, G) of a batch: those of the whole utterances, if it has them.

    Else they are found in float32 whatever the precision, as they are when the model is used.
    """
    if batch.codes is not None:
        return batch.codes
    with torch.autocast(batch.waveform.device.type, enabled=False):
        assert batch.inputs is not None
        return vqvae.encode(batch.inputs)


def start_decoder(model: Model, corpus: Corpus, config: StageConfig) -> None:
    """Initialise the decoder: sub-band scales by training speech, conditioner from mel stages.

    Once in a training: a decoder that has learned stays as it is.
    """
    if corpus.decoder_started:
        return
    corpus.decoder_started.fill_(True)
    decoder, predictor = model.vqvae.decoder, model.mel_predictor
    if isinstance(predictor, ConditionerMelPredictor) and hasattr(decoder, "conditioner"):
        decoder.conditioner.load_state_dict(predictor.conditioner.state_dict())
    decoder.fit(corpus.speech("scales", config, SECONDS_FOR_SCALES))


def elbo_terms(model: Model, bits_per_sample: Tensor) -> dict[str, Tensor]:
    """The reconstruction term of the ELBO, and the negative ELBO in bits per second."""
    total = bits_per_sample * model.sample_rate + model.bitrate
    return {"bits_per_sample": bits_per_sample, "total_bits_per_second": total}


def elbo_metrics(model: Model) -> dict[str, float]:
    """The KL term of the ELBO: bits per code, a constant, and bits per second."""
    return {"kl_bits_per_code": model.kl_bits_per_code, "bitrate": model.bitrate}
