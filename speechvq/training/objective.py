"""What a stage of training minimises: the interface between a model and the trainer.

An objective knows a model and its loss. It has no loop and no files: those are the trainer's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn


@dataclass
class Losses:
    """Loss of one batch, and the numbers that are logged beside the loss.

    Attributes
    ----------
    total : Tensor
        Scalar to minimise.
    terms : dict of str to Tensor
        Named scalars to log, means over the batch as `total` is.
    codes : Tensor, optional
        Codes of the batch, int64 of any shape; their use is counted.
    weight : float or Tensor, optional
        Number of samples or codes over which `total` and `terms` are means. Held-out batches, and
        the parts of a batch in several processes, are weighted by it; None weights all alike.
    score : Tensor, optional
        Scalar by which the best checkpoint is chosen, lower is better; None takes `total`.
    """

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)
    codes: Tensor | None = None
    weight: float | Tensor | None = None
    score: Tensor | None = None


def trained_of(part: nn.Module) -> list[nn.Parameter]:
    """Parameters of a part of a model that training changes: its `trained()`, by default all."""
    own: Callable[[], list[nn.Parameter]] | None = getattr(part, "trained", None)
    return list(part.parameters()) if own is None else own()


class Objective(nn.Module):
    """Loss of one stage and the parameters that the stage trains.

    The modules of the model are submodules of the objective. All that `start` computes must be
    in a parameter or a buffer that the checkpoint has: a resume does not call `start` again.
    """

    margin: int = 0
    """Codes of context before and after each segment of a training batch."""
    reads_codes: bool = False
    """Whether the stage is given codes of whole utterances, by an encoder that stays as it is."""

    def start(self, corpus: Any) -> None:
        """Prepare the stage, once, before the first step: statistics, k-means, and the like.

        Called in every process, without gradients, with the random numbers of the stage's seed.
        Afterwards every process has the parameters and buffers of rank 0.

        Parameters
        ----------
        corpus : object
            The training data, as the caller of the trainer defines it.
        """

    def trained(self) -> list[nn.Parameter]:
        """Parameters of this module that the stage trains; each must get a gradient."""
        return list(self.parameters())

    def forward(self, batch: Any) -> Losses:
        """Losses of a batch; in eval mode those of a held-out batch."""
        raise NotImplementedError

    def finish(self) -> None:
        """Complete the stage, once, after the last step and before the last validation."""

    def metrics(self) -> dict[str, float]:
        """Constants to log with each validation, such as the bitrate."""
        return {}
