"""Regression of the latents to speaker-normalised cepstra of their frames: a pretext task.

In short runs the likelihood alone leaves the codebook unused. Latents that are cepstra already have
clusters which tell phones apart. This is not in the paper.

Shapes: B batch, T samples, N codes, D codebook_dim.
"""

import torch
import torch.nn.functional as F
from torch import nn

from speechvq.config import CepstraStage
from speechvq.data.segments import Batch
from speechvq.distributed import broadcast_from_rank0
from speechvq.features.gmm_mapping import GMMSpeakerMapping
from speechvq.features.mfcc import MFCC, SpeakerTransforms
from speechvq.features.speaker_normalisation import fit_speaker_transforms
from speechvq.model import Model
from speechvq.training.corpus import Corpus
from speechvq.training.objective import Losses, Objective, trained_of


class CepstraObjective(Objective):
    """Mean squared error of latents as the D normalised cepstra of their frames.

    The speaker is in the target alone: a predictor with a speaker embedding would let a code mean
    one sound for one speaker and another for the next. A constant prediction has a loss of about 1.
    """

    def __init__(self, config: CepstraStage, model: Model):
        super().__init__()
        D, S = model.config.quantizer.codebook_dim, len(model.speakers)
        normalisation = config.normalisation
        self.config = config
        self.encoder = model.vqvae.encoder
        self.mfcc = MFCC(
            model.sample_rate,
            model.hop_length,
            normalisation.mel_bands,
            D,
            normalisation.dynamic_range,
        )
        self.transforms = SpeakerTransforms(D, S)
        self.mapping = GMMSpeakerMapping(D, S, normalisation)

    def start(self, corpus: Corpus) -> None:
        """Estimate the speaker transforms and the GMM mapping."""
        corpus.log("estimating the transforms of %d speakers", len(corpus.speakers))
        normalised = fit_speaker_transforms(
            self.transforms,
            self.mfcc,
            corpus.waveforms,
            corpus.speakers,
            self.config.normalisation,
            corpus.seed,
        )
        self.mapping.fit(normalised, corpus.seed)
        for buffer in self.mapping.buffers():
            broadcast_from_rank0(buffer)

    def trained(self) -> list[nn.Parameter]:
        """The encoder."""
        return trained_of(self.encoder)

    def forward(self, batch: Batch) -> Losses:
        """Loss for waveforms (B, T)."""
        latents = self.encoder(batch.inputs).float()
        with torch.no_grad():
            cepstra = self.mfcc(batch.waveform, self.transforms(batch.speaker))  # (B, N, D)
            target = self.mapping(cepstra, batch.speaker)
        return Losses(F.mse_loss(latents, target), weight=batch.waveform.shape[-1])
