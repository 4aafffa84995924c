"""Negative log-likelihood of codes under an autoregressive prior."""

import math

from speechvq.data.code_batches import CodeBatch
from speechvq.models.prior import Prior
from speechvq.training.objective import Losses, Objective


class PriorObjective(Objective):
    """-log p(z_n | z_<n, speaker), the mean over the scored codes, or product codes, of a batch.

    Parameters
    ----------
    prior : Prior
    frame_rate : float
        Codes per second.
    """

    def __init__(self, prior: Prior, frame_rate: float):
        super().__init__()
        self.prior = prior
        self.frame_rate = frame_rate

    def forward(self, batch: CodeBatch) -> Losses:
        """Losses in nats per code; terms `bits_per_code` and `bits_per_second`."""
        nll = self.prior.nll(batch.codes, batch.speaker)[batch.scored].mean()
        bits = nll.detach() / math.log(2)
        terms = {"bits_per_code": bits, "bits_per_second": bits * self.frame_rate}
        return Losses(nll, terms, batch.codes[batch.scored], weight=batch.scored.sum())
