"""Classification of frame labels, which become the codes: a pretext task, HuBERT without masks.

The labels come from a file of codes, such as HMM units or k-means clusters of features.

Shapes: B batch, T samples, N codes, D codebook_dim, K codebook_size.
"""

import torch.nn.functional as F
from torch import nn

from speechvq.config import LabelsStage
from speechvq.data.segments import Batch
from speechvq.model import Model
from speechvq.models.quantizer import Quantizer
from speechvq.training.objective import Losses, Objective, trained_of


class LabelsObjective(Objective):
    """Cross-entropy of labels, a latent being likelier the nearer it is to a label's vector.

    p(k | z_e) ∝ exp(-‖z_e - e_k‖²): the nearest vector, which the quantizer will take, is the
    likeliest label. A small weight on ‖z_e - e_k‖² itself keeps vectors in the middle of their
    latents, as codes are.
    """

    def __init__(self, config: LabelsStage, model: Model):
        super().__init__()
        quantizer = model.config.quantizer
        self.config = config
        self.encoder = model.vqvae.encoder
        self.quantizer = model.vqvae.quantizer
        self.vectors = nn.Embedding(quantizer.codebook_size, quantizer.codebook_dim)

    def trained(self) -> list[nn.Parameter]:
        """The encoder and the vectors."""
        return [*trained_of(self.encoder), *self.vectors.parameters()]

    def finish(self) -> None:
        """The vectors become the codebook."""
        assert isinstance(self.quantizer, Quantizer)  # the settings are checked
        self.quantizer.start(self.vectors.weight.detach().clone())

    def forward(self, batch: Batch) -> Losses:
        """Loss for waveforms (B, T) with labels (B, N), those below 0 being none."""
        latents = self.encoder(batch.inputs).float()
        assert batch.labels is not None
        known = batch.labels >= 0  # a segment may reach beyond the end of its recording
        z, labels, e = latents[known], batch.labels[known], self.vectors.weight
        if not len(labels):
            return Losses(0.0 * (latents.sum() + e.sum()), weight=0)
        logits = 2 * z @ e.T - e.square().sum(1)  # (…, K), without ‖z_e‖²
        distance = (z - e[labels]).square().sum(1).mean()
        loss = F.cross_entropy(logits, labels) + self.config.distance_weight * distance
        return Losses(loss, weight=len(labels))
