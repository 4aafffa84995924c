"""The paper's objective, equation 3: encoder, codebook and decoder learn together.

Shapes: B batch, T samples.
"""

from torch import nn

from speechvq.config import LikelihoodStage
from speechvq.data.segments import Batch
from speechvq.model import Model
from speechvq.training.corpus import Corpus
from speechvq.training.objective import Losses, Objective
from speechvq.training.objectives.decoder import elbo_metrics, elbo_terms, start_decoder


class LikelihoodObjective(Objective):
    """-log p(x | z_q) + ‖sg[z_e] - e‖² + β ‖z_e - sg[e]‖², of which `VQVAE.forward` is the code."""

    def __init__(self, config: LikelihoodStage, model: Model):
        super().__init__()
        self.config = config
        self.model = model

    def start(self, corpus: Corpus) -> None:
        """Start the codebook at k-means centres, unless a stage before has started it."""
        if not self.model.vqvae.quantizer.started:
            corpus.start_codebook("kmeans", self.config)
        start_decoder(self.model, corpus, self.config)

    def trained(self) -> list[nn.Parameter]:
        """Encoder, codebook (if it learns by the loss) and decoder."""
        return list(self.model.vqvae.parameters())

    def metrics(self) -> dict[str, float]:
        """The constant terms of the ELBO."""
        return elbo_metrics(self.model)

    def forward(self, batch: Batch) -> Losses:
        """Equation 3 for waveforms (B, T) and speakers (B,)."""
        noise = self.config.input_noise if self.training else 0.0
        out = self.model.vqvae(batch.inputs, batch.speaker, noise)
        bits = out.bits_per_sample.detach()
        terms = {
            **elbo_terms(self.model, bits),
            "codebook_loss": out.codebook_loss.detach(),
            "commitment_loss": out.commitment_loss.detach(),
        }
        return Losses(out.loss, terms, out.codes, weight=batch.waveform.shape[-1], score=bits)
