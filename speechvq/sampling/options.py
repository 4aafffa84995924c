"""Options of sampling: the distribution, the seed, the precision and the post-filter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechvq.model import Model

PRECISIONS = ("float32", "bfloat16")
"""Precisions of the decoder's weights on the CPU."""


@dataclass(frozen=True)
class Distribution:
    """The distribution that an element is drawn from; by default the model's own.

    There is no `argmax`: the likeliest element at every step is not a sample of the distribution,
    and a WaveNet decoded in that way falls silent or hums.

    Attributes
    ----------
    temperature : float
        Divisor of the logits, above 0. Below 1 the distribution is sharper than the model's, above
        1 flatter.
    top_k : int, optional
        Draw from the k likeliest elements only, 1 or more.
    top_p : float, optional
        Draw from the smallest set of elements with this share of the probability ("nucleus
        sampling"), above 0 and at most 1. By default the share of the model's configuration, for
        waveforms, and 1 for codes.

    Raises
    ------
    ValueError
        A value out of range.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise ValueError(
                f"temperature: must be above 0, got {self.temperature}; 1 is the model's own "
                "distribution (0 would be argmax, which is not sampling)"
            )
        if self.top_k is not None and not (isinstance(self.top_k, Integral) and self.top_k >= 1):
            raise ValueError(f"top_k: must be a whole number, 1 or more, got {self.top_k}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p: must be above 0 and at most 1, got {self.top_p}")

    @property
    def is_models_own(self) -> bool:
        """Whether this is the model's distribution, unchanged."""
        return self.temperature == 1 and self.top_k is None and self.top_p in (None, 1)


@dataclass(frozen=True)
class SamplingOptions(Distribution):
    """How codes or a waveform are drawn.

    Attributes
    ----------
    temperature, top_k, top_p
        See `Distribution`.
    seed : int
        Seed of the random numbers, 0 or more.
    precision : str
        `float32` is exact; `bfloat16` halves the size of the weights on a CPU: see
        `engine.Engine`.
    post_filter : bool
        Apply the post-filters that the model has to the drawn waveform: `postfilter.filter` with
        a mel predictor, `postfilter.long_term` with a long-term predictor.
    guidance : float, optional
        How far the mel post-filter goes in the direction of the speaker, 0 or more: see
        `postfilter.guidance`. By default as far as the model's configuration says.

    Raises
    ------
    ValueError
        A value out of range; guidance without post-filter.
    """

    seed: int = 0
    precision: str = "float32"
    post_filter: bool = True
    guidance: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seed(self.seed)
        check_precision(self.precision)
        if self.guidance is not None:
            if not (self.guidance >= 0 and math.isfinite(self.guidance)):
                raise ValueError(f"guidance: must be 0 or more, got {self.guidance}")
            if not self.post_filter:
                raise ValueError("guidance: it is what the post-filter does, which is off")

    def of(self, model: Model) -> SamplingOptions:
        """The same with the model's own `top_p` and guidance where there are none."""
        top_p, guidance = self.top_p, self.guidance
        if top_p is None:
            top_p = getattr(model.config.decoder, "top_p", 1.0)
        if guidance is None and self.post_filter and model.mel_predictor is not None:
            guidance = model.mel_predictor.guidance
        return replace(self, top_p=top_p, guidance=guidance)


def check_seed(seed: int) -> None:
    """Raise ValueError for a seed that is negative or no whole number."""
    if not (isinstance(seed, Integral) and seed >= 0):
        raise ValueError(f"seed: must be a whole number, 0 or more, got {seed}")


def check_names(speakers: Sequence[str]) -> None:
    """Raise ValueError for a text, which would be taken for speakers of one letter each."""
    if isinstance(speakers, str):
        raise ValueError(f"speakers: one name an utterance expected, got the text {speakers!r}")


def check_precision(precision: str) -> None:
    """Raise ValueError for an unknown precision."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected {' or '.join(PRECISIONS)}, got {precision!r}")
