"""Running sums over steps: metrics until they are logged, code counts until an epoch ends."""

from typing import Any

import torch
from torch import Tensor

from speechvq.distributed import Processes


class Meter:
    """Means of metrics over a window of steps, and the use of codes over an epoch.

    Sums stay on the device, so that a step does not wait for a transfer.

    Parameters
    ----------
    processes : Processes
    codebook_size : int, optional
        K; without it codes are not counted.
    codebooks : int
        G.
    """

    def __init__(self, processes: Processes, codebook_size: int | None = None, codebooks: int = 1):
        self._processes = processes
        self._sums: dict[str, Tensor] = {}
        self._steps: dict[str, int] = {}  # steps that had the metric
        self._sound: dict[str, Tensor] = {}  # of these, those before it became NaN or infinite
        shape = (codebooks, codebook_size or 0)
        self._counts = torch.zeros(shape, dtype=torch.int64, device=processes.device)

    def add(self, metrics: dict[str, Tensor], codes: Tensor | None) -> None:
        """Add the scalars of one step, and its codes (B, N) or (B, N, G)."""
        for name, value in metrics.items():
            value = value.detach().double()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._steps[name] = self._steps.get(name, 0) + 1
            finite = self._sums[name].isfinite().long()
            self._sound[name] = self._sound[name] + finite if name in self._sound else finite
        if codes is not None and self._counts.numel():
            self._counts += count_codes(codes, *self._counts.shape)

    def means(self) -> dict[str, float]:
        """Means over the processes and the steps since `clear`; empty without steps."""
        share = 1 / self._processes.world_size
        return {name: share * x / self._steps[name] for name, x in self._totals().items()}

    def fault(self) -> tuple[int, str, float]:
        """The metric of this process that was the first to become NaN or infinite.

        Returns
        -------
        ago : int
            Steps since then, that step included; 0 where all are finite.
        name : str
        sum : float
            What the metric became, or the sum of finite ones.
        """
        ago = {name: steps - int(self._sound[name]) for name, steps in self._steps.items()}
        name = max(ago, key=lambda name: ago[name])
        return ago[name], name, float(self._sums[name])

    def clear(self) -> None:
        """Begin the next window."""
        self._sums, self._steps, self._sound = {}, {}, {}

    def end_epoch(self) -> dict[str, float]:
        """Perplexity and dead codes since the last call; empty if there were no codes."""
        counts = self._processes.sum(self._counts)
        self._counts = torch.zeros_like(self._counts)
        return code_use(counts) if counts.any() else {}

    def saved(self) -> dict[str, Any]:
        """All sums over all processes, as JSON values."""
        counts = self._processes.sum(self._counts)
        return {"sums": self._totals(), "steps": dict(self._steps), "counts": counts.tolist()}

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue from `saved`; the first process takes the sums of all."""
        share = 1 if self._processes.first else 0
        device = self._counts.device
        self._sums = {
            name: torch.tensor(value * share, dtype=torch.float64, device=device)
            for name, value in saved["sums"].items()
        }
        self._steps = dict(saved["steps"])
        self._sound = {name: torch.tensor(n, device=device) for name, n in self._steps.items()}
        self._counts = torch.tensor(saved["counts"], dtype=torch.int64, device=device) * share

    def _totals(self) -> dict[str, float]:
        if not self._sums:
            return {}
        totals = self._processes.sum(torch.stack(list(self._sums.values())))
        return dict(zip(self._sums, totals.tolist(), strict=True))


def count_codes(codes: Tensor, codebooks: int, codebook_size: int) -> Tensor:
    """How often each code of each codebook is used, (G, K), in codes (B, N) or (B, N, G)."""
    of_codebooks = codes.flatten().view(-1, codebooks).T  # (G, B · N)
    return torch.stack([torch.bincount(k, minlength=codebook_size) for k in of_codebooks])


def code_use(counts: Tensor) -> dict[str, float]:
    """Perplexity and number of dead codes from the counts (G, K) of the codes.

    The perplexity is exp of the entropy in nats: K if all codes are used equally often, 1 if a
    single code is used. It is the mean over the codebooks; dead codes are their sum.
    """
    p = counts.double() / counts.sum(-1, keepdim=True).clamp(min=1)
    entropy = -torch.xlogy(p, p).sum(-1)
    return {"perplexity": float(entropy.exp().mean()), "dead_codes": int((counts == 0).sum())}
