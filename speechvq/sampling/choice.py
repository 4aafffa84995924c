"""How an element is chosen from a model's logits."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """The distribution that is drawn from; by default exactly the model's own.

    There is no `argmax`: the likeliest element every time is not a sample of the distribution, and
    a WaveNet that is run so falls silent or hums.

    Attributes
    ----------
    temperature : float
        Divides the logits, above 0: below 1 calmer, above 1 wilder than the model's distribution.
    top_k : int, optional
        Only so many of the likeliest elements can come, 1 or more.
    top_p : float, optional
        Only the likeliest elements can come, as few as have this share of the probability
        together ("nucleus"), above 0 and at most 1.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self):
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(
                f"temperature: must be above 0, got {self.temperature}; 1 is the model's own "
                "distribution (0 would be argmax, which is not sampling)"
            )
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k: must be 1 or more, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: must be above 0 and at most 1, got {self.top_p}")
