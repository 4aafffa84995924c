"""Elliptic filters of what lies above, or well below, the voice, on recordings that come in blocks.

scipy.signal designs and applies such filters, but its import takes a second or more, a quarter of
the conversion of a short recording. Here a filter is its state-space form: a frame of samples and
the state before it give the filtered frame and the state after it, by products of matrices.

Shapes: T samples, n samples of a frame, m frames, S state.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

FRAME = 256
"""n; the filtered samples depend on it by rounding alone."""


class Prototype(NamedTuple):
    """An elliptic low-pass filter of cutoff 1 rad/s with 60 dB below, as of `signal.ellipap`."""

    ripple: float
    """dB."""
    zeros: tuple[complex, ...]
    poles: tuple[complex, ...]
    """Each with its conjugate."""


EIGHTH = Prototype(
    0.05,
    (1.2196189127283334j, 1.3471004908436894j, 1.8198920767327231j, 4.782543102522513j),
    (
        -0.03599505931037843 + 1.0266415179614858j,
        -0.13317917415083663 + 0.9552918541881114j,
        -0.29669354099697454 + 0.7499038516035909j,
        -0.4789610246546264 + 0.30445386639288025j,
    ),
)
"""Of order 8, nearly flat."""
SIXTH = Prototype(
    0.5,
    (1.4357208178595846j, 1.8274771777718102j, 4.624949076468843j),
    (
        -0.053061426565646455 + 1.0080065691684135j,
        -0.1869934242943447 + 0.8104354539247979j,
        -0.33450640530744197 + 0.3307533045810146j,
    ),
)
"""Of order 6."""


class IIRFilter:
    """A filter that keeps its state from block to block.

    Parameters
    ----------
    prototype : Prototype
    kind : str
        `highpass` or `lowpass`.
    cutoff : float
        Hz.
    sample_rate : int
        Hz.

    Raises
    ------
    ValueError
        The cutoff is not below half of the sample rate.
    """

    def __init__(self, prototype: Prototype, kind: str, cutoff: float, sample_rate: int):
        if not 0 < 2 * cutoff < sample_rate:
            raise ValueError(
                f"sample rate: expected more than {2 * cutoff:g} Hz for a filter at {cutoff:g} Hz, "
                f"got {sample_rate}"
            )
        self._matrices = _frame_matrices(prototype, kind, cutoff, sample_rate)
        self._state = np.zeros(len(self._matrices.step))

    def add(self, block: np.ndarray) -> np.ndarray:
        """Filter samples (T,), float64; gives as many."""
        of = self._matrices
        frames = np.pad(block, (0, -len(block) % FRAME)).reshape(-1, FRAME)
        # y = H x + C s, and the next s = A s + B x, for each frame
        filtered, inputs = frames @ of.response.T, frames @ of.input.T
        states = np.empty((len(frames), len(self._state)))
        for i, given in enumerate(inputs):
            states[i] = self._state
            self._state = of.frame @ self._state + given
        filtered += states @ of.output.T
        if left := len(block) % FRAME:  # the last frame is no whole one
            self._state = np.linalg.matrix_power(of.step, left) @ states[-1]
            self._state += of.input[:, FRAME - left :] @ frames[-1, :left]
        return filtered.ravel()[: len(block)]


class _FrameMatrices(NamedTuple):
    """What a frame of samples, and the state before it, become."""

    response: np.ndarray  # H (n, n): what samples give
    output: np.ndarray  # C (n, S): what the state gives
    input: np.ndarray  # B (S, n): what samples leave in the state
    frame: np.ndarray  # A (S, S): what a frame leaves of the state
    step: np.ndarray  # (S, S): what a sample leaves of it


@functools.lru_cache(maxsize=16)
def _frame_matrices(
    prototype: Prototype, kind: str, cutoff: float, sample_rate: int
) -> _FrameMatrices:
    sections = _sections(prototype, kind, cutoff, sample_rate)
    S = 2 * len(sections)
    # A step is linear: its matrix (S + 1, S + 1) has what it makes of each state, and of a sample
    step = np.stack([_step(sections, *np.split(one, [S])) for one in np.eye(S + 1)], axis=1)
    A, B, C, direct = step[:S, :S], step[:S, S], step[S, :S], step[S, S]
    output, inputs, after = np.empty((FRAME, S)), np.empty((S, FRAME)), B
    response = np.empty(FRAME)
    powers = np.eye(S)
    for i in range(FRAME):
        output[i], inputs[:, FRAME - 1 - i] = C @ powers, after
        response[i] = direct if i == 0 else output[i - 1] @ B
        powers, after = A @ powers, A @ after
    lag = np.arange(FRAME)[:, None] - np.arange(FRAME)
    return _FrameMatrices(np.where(lag >= 0, response[lag], 0), output, inputs, powers, A)


def _step(sections: np.ndarray, state: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """The next state (S,), and the filtered sample after it; sections in transposed form II."""
    following, x = [], sample[0]
    pairs = zip(sections, state.reshape(-1, 2), strict=True)
    for (b0, b1, b2, _, a1, a2), (first, second) in pairs:
        y = b0 * x + first
        following += [b1 * x - a1 * y + second, b2 * x - a2 * y]
        x = y
    return np.array([*following, x])


def _sections(prototype: Prototype, kind: str, cutoff: float, sample_rate: int) -> np.ndarray:
    """Sections (S / 2, 6), as `scipy.signal.sosfilt` takes them, by the bilinear transform."""
    warped = math.tan(math.pi * cutoff / sample_rate)

    def polynomial(root: complex) -> list[float]:
        s = warped / root if kind == "highpass" else warped * root
        z = (1 + s) / (1 - s)
        return [1, -2 * z.real, abs(z) ** 2]

    roots = zip(prototype.zeros, prototype.poles, strict=True)
    sections = np.array([polynomial(zero) + polynomial(pole) for zero, pole in roots])
    passed = [1, -1, 1] if kind == "highpass" else [1, 1, 1]  # powers of z where all is passed
    gains = (sections[:, 3:] @ passed) / (sections[:, :3] @ passed)
    gains[0] *= 10 ** (-prototype.ripple / 20)
    sections[:, :3] *= gains[:, None]
    return sections
