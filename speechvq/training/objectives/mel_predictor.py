"""The mel predictor alone, on frozen codes.

Shapes: B batch, T samples, N codes, D codebook_dim.
"""

import torch
from torch import nn

from speechvq.config import MelPredictorStage, StageConfig
from speechvq.data.segments import Batch
from speechvq.model import Model
from speechvq.postfilter.predictor import MelPredictor
from speechvq.training.corpus import Corpus
from speechvq.training.objective import Losses
from speechvq.training.objectives.decoder import FrozenCodesObjective, frozen_codes

SECONDS_FOR_SCALES = 120.0
"""Speech from which mean and scale of the log-mel frames are set, if there is so much."""


class MelPredictorObjective(FrozenCodesObjective):
    """Mean absolute error of standardised log-mel frames predicted from codes and speaker.

    Encoder and codebook stay as they are. A constant prediction has a loss of about 0.8.
    """

    def __init__(self, config: MelPredictorStage, model: Model):
        super().__init__()
        self.config = config
        self.model = model
        assert model.mel_predictor is not None
        self.predictor = model.mel_predictor
        # Codes of whole utterances, unless each segment is perturbed in its own way
        self.reads_codes = not config.perturbation.changes

    def start(self, corpus: Corpus) -> None:
        """Set mean and scale of the log-mel frames, and start the codebook."""
        start_mel_predictor(self.predictor, corpus, self.config)
        corpus.start_codebook(self.config.codebook, self.config)

    def trained(self) -> list[nn.Parameter]:
        """The mel predictor."""
        return list(self.predictor.parameters())

    def metrics(self) -> dict[str, float]:
        """Bits per second of the codes under the uniform prior."""
        return {"bitrate": self.model.bitrate}

    def forward(self, batch: Batch) -> Losses:
        """Loss for waveforms (B, T), T a multiple of the hop length in training."""
        vqvae = self.model.vqvae
        with torch.no_grad():
            codes = frozen_codes(vqvae, batch)
            quantized = vqvae.quantizer.lookup(codes)
        error = self.predictor.error(batch.waveform, quantized, batch.speaker, batch.speed)
        loss = error.abs().mean()  # -log p of a Laplace distribution, up to a constant
        return Losses(loss, {}, codes, weight=batch.waveform.shape[-1])


def start_mel_predictor(predictor: MelPredictor, corpus: Corpus, config: StageConfig) -> None:
    """Set mean and scale of the log-mel frames, unless a stage before has set them."""
    if not predictor.fitted:
        predictor.fit(corpus.speech("mel", config, SECONDS_FOR_SCALES))
