"""The long-term post-filter: less noise between the harmonics of drawn voiced speech.

    y = x + g h * (Σ_k w_k x_{t-kλ} - x),    k = 0, 1

The filter is a comb. It is applied twice to the first sub-band, in which hoarseness is heard. It is
applied once more to the waveform after the mel post-filter, whose gains change from frame to frame
and so put noise back. For the waveform h is a low-pass; for the sub-band it is 1. λ is the lag that
the decoder's long-term predictor finds, to a fraction of a step: if it were half a step off the
pitch period, the comb would also remove harmonics at 1 kHz. g rises with ρ. Speech
codecs have such a filter. This is not in the paper.

Shapes: t steps, M lags, one for each period, n samples, J samples in a step.
"""

from __future__ import annotations

import functools

import numpy as np
import torch

from speechvq.models import mu_law
from speechvq.models.long_term import LongTermPredictor
from speechvq.models.pqmf import windowed_sinc

WEIGHTS = (0.5, 0.5)
"""w_k: of a step, and of that one pitch period before it; more periods cost words."""
UNVOICED, VOICED = 0.5, 0.8
"""ρ up to which g is 0, and from which on it is 1."""
PASSES = 2
"""Times that the comb is applied to the sub-band (recipes/librispeech/RESULTS.md)."""
HALF = 4
"""Steps on either side from which a value between two steps is interpolated."""
CUTOFF = 1500.0
"""Hz up to which the waveform is combed."""
REACH = 0.001
"""Seconds on either side that the low-pass reaches; samples are held for so long."""


class LongTermPostFilter:
    """The filter on an utterance that comes in pieces: on its first sub-band, then its waveform.

    Parameters
    ----------
    predictor : LongTermPredictor
        Finds the lags.
    period : int
        Steps for which a lag holds; a piece of the sub-band has a multiple of them.
    bands : int
        J.
    sample_rate : int
        Hz.
    """

    def __init__(self, predictor: LongTermPredictor, period: int, bands: int, sample_rate: int):
        self._predictor, self._period, self._bands = predictor, period, bands
        self._levels = np.full(predictor.history, mu_law.SILENCE)
        self._passes = [_Comb(predictor.longest) for _ in range(PASSES)]
        self._waveform = _LowComb(bands * (predictor.longest + 1), sample_rate)

    def first_band(self, levels: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Filter the amplitudes `drawn` (t,) of levels (t,); (t,)."""
        levels = np.concatenate([self._levels, levels])
        self._levels = levels[-len(self._levels) :]
        lags, weights = (x.repeat(self._period) for x in self._lags(levels))
        g = ((weights - UNVOICED) / (VOICED - UNVOICED)).clip(0, 1)
        for comb in self._passes:
            drawn = comb.add(drawn, lags, g)
        whole = np.rint(self._bands * lags).astype(int)
        self._waveform.add_lags(whole.repeat(self._bands), g.repeat(self._bands))
        return drawn

    def add(self, waveform: np.ndarray) -> np.ndarray:
        """Take samples (n,) of steps that came before; give the filtered ones that are complete."""
        return self._waveform.add(waveform)

    def end(self) -> np.ndarray:
        """Give the remaining samples when no more come."""
        return self._waveform.end()

    def _lags(self, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """λ (M,) in steps, and ρ (M,), of the past of each period's end: the period included."""
        past = torch.from_numpy(levels[self._period :]).unsqueeze(0)
        found = self._predictor.correlations(past, self._period, torch.float64)[0].numpy()
        rows, best = np.arange(len(found)), found.argmax(1)
        # The vertex of the parabola through the largest correlation and its neighbours
        middle = best.clip(1, found.shape[1] - 2)
        left, top, right = (found[rows, middle + i] for i in (-1, 0, 1))
        bend = left - 2 * top + right
        peak = (best == middle) & (bend < 0)
        beside = np.where(peak, (left - right) / np.where(peak, 2 * bend, 1), 0)
        return self._predictor.longest - best - beside, found[rows, best]


class _Comb:
    """One pass of the filter; what it holds is its own past."""

    def __init__(self, longest: int):
        self._past = np.zeros((len(WEIGHTS) - 1) * (longest + 1) + HALF)

    def add(self, x: np.ndarray, lags: np.ndarray, g: np.ndarray) -> np.ndarray:
        """Filter x (t,), by the lag and g of each step."""
        reach = len(self._past)
        past = np.concatenate([self._past, x])
        self._past = past[-reach:]
        at = reach + np.arange(len(x))
        comb = WEIGHTS[0] * x
        for k, w in enumerate(WEIGHTS[1:], 1):
            comb = comb + w * _between(past, at - k * lags.clip(min=HALF))
        return x + g * (comb - x)


def _between(x: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Values of x (T,) at places (t,) between its elements, by a windowed sinc."""
    first = np.floor(place).astype(int)
    taps = np.arange(1 - HALF, HALF + 1)
    distance = (place - first)[:, None] - taps
    weights = np.sinc(distance) * np.cos(np.pi / 2 * distance / HALF) ** 2
    return (x[first[:, None] + taps] * weights).sum(1)


class _LowComb:
    """The comb up to `CUTOFF`, on a waveform; sums in float64, each in the same order."""

    def __init__(self, longest: int, sample_rate: int):
        self._low_pass = low_pass(sample_rate)
        self._half = len(self._low_pass) // 2
        self._lags, self._g = np.zeros(0, int), np.zeros(0)  # of samples to come
        self._past = np.zeros((len(WEIGHTS) - 1) * longest)
        # x and g of samples whose neighbours have not all come, and what the comb changes in x
        self._held, self._held_g = np.zeros(0), np.zeros(0)
        self._difference = np.zeros(self._half)

    def add_lags(self, lags: np.ndarray, g: np.ndarray) -> None:
        """Take the lag and g of samples (n,) to come."""
        self._lags, self._g = np.append(self._lags, lags), np.append(self._g, g)

    def add(self, waveform: np.ndarray) -> np.ndarray:
        n, reach = len(waveform), len(self._past)
        past = np.append(self._past, waveform.astype(np.float64))
        lags, g = self._lags[:n], self._g[:n]
        self._past, self._lags, self._g = past[n:], self._lags[n:], self._g[n:]
        at = reach + np.arange(n)
        comb = sum(w * past[at - k * lags] for k, w in enumerate(WEIGHTS))
        return self._smoothed(past[reach:], g, comb - past[reach:])

    def end(self) -> np.ndarray:
        silence = np.zeros(self._half)
        return self._smoothed(silence, silence, silence)

    def _smoothed(self, x: np.ndarray, g: np.ndarray, difference: np.ndarray) -> np.ndarray:
        """Hold what comes; give the samples whose neighbours have all come."""
        self._held, self._held_g = np.append(self._held, x), np.append(self._held_g, g)
        self._difference = np.append(self._difference, difference)
        ready = max(0, len(self._held) - self._half)
        smooth = np.zeros(ready)
        for i, weight in enumerate(self._low_pass):
            smooth += weight * self._difference[i : i + ready]
        given = self._held[:ready] + self._held_g[:ready] * smooth
        self._held, self._held_g = self._held[ready:], self._held_g[ready:]
        self._difference = self._difference[ready:]
        return given.clip(-1, 1).astype(np.float32)


@functools.cache
def low_pass(sample_rate: int) -> np.ndarray:
    """The impulse response of h, symmetric."""
    half = max(1, round(REACH * sample_rate))
    return windowed_sinc(np.hamming(2 * half + 1), min(2 * CUTOFF / sample_rate, 0.8))
