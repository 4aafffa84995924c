"""Scores of an objective on held-out batches, over all processes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from speechvq.distributed import Processes
from speechvq.training.meter import code_use, count_codes
from speechvq.training.objective import Objective

FEW = 0.5
"""A codebook has collapsed if fewer codes are used than this share of what chance would use."""


@dataclass(frozen=True)
class Validation:
    """Scores on held-out data.

    Attributes
    ----------
    metrics : dict of str to float
        `loss`, the terms of the objective, constants of the objective and, with codes,
        `perplexity` and `dead_codes`.
    score : float
        Lowest for the best checkpoint.
    counts : Tensor
        How often each code of each codebook was used (G, K); (G, 0) where codes are not counted.
    """

    metrics: dict[str, float]
    score: float
    counts: Tensor

    def collapse(self, few: float = FEW) -> str | None:
        """What is wrong if most codes are never used; None if all is well.

        So few held-out codes may be scored that some of K are missing by chance: the number of
        codes that are used is compared with that of as many draws of equally likely codes.
        """
        worst = self.counts[(self.counts == 0).sum(1).argmax()]  # of the codebooks, (K,)
        K, scored, unused = len(worst), int(worst.sum()), int((worst == 0).sum())
        if K == 0 or K - unused >= few * K * (1 - (1 - 1 / K) ** scored):
            return None
        return (
            f"{unused} of {K} codes were never used on the validation data ({scored} codes, "
            f"perplexity {code_use(worst)['perplexity']:.1f})"
        )


@torch.no_grad()
def validate(
    objective: Objective,
    batches: Iterable[Any],
    prepare: Callable[[Any], Any],
    processes: Processes,
    codebook_size: int | None = None,
    codebooks: int = 1,
    stop: Callable[[], bool] = lambda: False,
) -> Validation | None:
    """Weighted means of the losses of held-out batches, in eval mode; None when `stop` is true.

    Parameters
    ----------
    objective : Objective
        Put into eval mode.
    batches : iterable
        This process's share of the held-out batches.
    prepare : callable
        Moves a batch to the device and computes features, in float32.
    processes : Processes
        The process group.
    codebook_size : int, optional
        K; without it codes are not counted.
    codebooks : int
        G.
    stop : callable
        Tells, before each batch, whether to break off.

    Raises
    ------
    ValueError
        There are no held-out batches in any process.
    """
    objective.eval()
    device = processes.device
    counts = torch.zeros((codebooks, codebook_size or 0), dtype=torch.int64, device=device)
    sums: dict[str, Tensor] = {}
    for batch in batches:
        if stop():
            return None
        with torch.autocast(device.type, enabled=False):
            batch = prepare(batch)
        losses = objective(batch)
        weight = 1.0 if losses.weight is None else losses.weight
        score = losses.total if losses.score is None else losses.score
        # Terms have a prefix: one may be called as another sum is
        terms = {f"term {name}": value for name, value in losses.terms.items()}
        for name, value in {"loss": losses.total, "score": score, **terms}.items():
            sums[name] = sums.get(name, 0.0) + value.double() * weight
        sums["weight"] = sums.get("weight", 0.0) + torch.as_tensor(weight, dtype=torch.float64)
        if losses.codes is not None and codebook_size is not None:
            counts += count_codes(losses.codes, codebooks, codebook_size)
    means = _means(sums, processes)
    metrics = {name.removeprefix("term "): mean for name, mean in means.items() if name != "score"}
    counts = processes.sum(counts)
    use = code_use(counts) if counts.any() else {}
    return Validation({**metrics, **objective.metrics(), **use}, means["score"], counts)


def _means(sums: dict[str, Tensor], processes: Processes) -> dict[str, float]:
    """Sums over all processes, divided by the sum of the weights.

    A process without held-out batches has no sums, and knows no names.
    """
    totals: dict[str, float] = {}
    for part in processes.gather_objects({name: float(x) for name, x in sums.items()}):
        for name, value in part.items():
            totals[name] = totals.get(name, 0.0) + value
    if not totals:
        raise ValueError("no held-out batches; give at least one utterance to validate on")
    weight = totals.pop("weight")
    return {name: total / weight for name, total in totals.items()}
