"""The compiled loop of `engine`; compiled when this module is first imported on a machine.

Later imports read it from numba's cache on disk: the folder ``NUMBA_CACHE_DIR``, the one beside
this file, or the user's own. The functions stand at the top level because only then does numba
find them there again.
"""

from __future__ import annotations

import logging
import time

import numba
import numpy as np
from numba import float32, float64, int64, uint8, void

logger = logging.getLogger(__name__)

# No nnan or ninf among the flags: broken weights shall show as such.
_FAST = {"contract", "reassoc", "nsz", "arcp"}


@numba.njit(fastmath=_FAST, error_model="numpy")
def _add_product(y, x, W):
    """y[o] += Σ_i x[i] W[i, o]; eight rows of W at once, so that y is seldom stored."""
    n, m = W.shape
    whole = n - n % 8
    for i in range(0, whole, 8):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        x4, x5, x6, x7 = x[i + 4], x[i + 5], x[i + 6], x[i + 7]
        for o in range(m):
            y[o] += (
                x0 * W[i, o]
                + x1 * W[i + 1, o]
                + x2 * W[i + 2, o]
                + x3 * W[i + 3, o]
                + x4 * W[i + 4, o]
                + x5 * W[i + 5, o]
                + x6 * W[i + 6, o]
                + x7 * W[i + 7, o]
            )
    for i in range(whole, n):
        for o in range(m):
            y[o] += x[i] * W[i, o]


def _lambert(terms: int) -> tuple[tuple, tuple]:
    """Coefficients of x² and up, above and below the line, of `terms` terms of tanh(x)/x."""
    above, below = np.array([1.0]), np.array([2.0 * terms - 1])
    for k in range(2 * terms - 3, 0, -2):  # below := k + x² · above/below
        longer = np.zeros(max(len(below), len(above) + 1))
        longer[: len(below)] += k * below
        longer[1 : len(above) + 1] += above
        above, below = below, longer
    one = below[0]
    return tuple(np.float32(above[1:] / one)), tuple(np.float32(below[1:] / one))


# Lambert's continued fraction x/(1 + x²/(3 + x²/(5 + …))), cut at its thirteenth term; within
# 4e-7 of tanh for every x. Two polynomials and a quotient are vectorised, `math.tanh` is not.
_UPPER, _LOWER = _lambert(13)
_P1, _P2, _P3, _P4, _P5, _P6 = _UPPER
_Q1, _Q2, _Q3, _Q4, _Q5, _Q6 = _LOWER
_ONE, _EIGHT, _HALF = np.float32(1), np.float32(8), np.float32(0.5)


@numba.njit(fastmath=_FAST, error_model="numpy")
def _tanh(x):
    x = min(max(x, -_EIGHT), _EIGHT)
    z = x * x
    p = _ONE + z * (_P1 + z * (_P2 + z * (_P3 + z * (_P4 + z * (_P5 + z * _P6)))))
    q = _ONE + z * (_Q1 + z * (_Q2 + z * (_Q3 + z * (_Q4 + z * (_Q5 + z * _Q6)))))
    return x * p / q


def _draw(
    embed,
    condition_weight,
    condition_bias,
    gates_weight,
    outputs_weight,
    outputs_bias,
    hidden_weight,
    hidden_bias,
    output_weight,
    output_bias,
    dilations,
    ring_starts,
    rings,
    position,
    condition,
    period,
    uniforms,
    sharpness,
    given,
    logits_out,
    drawn,
):
    """Draw the samples of `condition` into `drawn`, or score those `given` into `logits_out`.

    The first twelve arguments are `Engine.weights`; `rings` (R, C) and `position` (the number of
    samples so far, and the last level) are the state, changed in place. `condition` is (M, G),
    `period` P, `uniforms` (M·P,) and `sharpness` one over the temperature. With `given` (M·P,),
    `logits_out` is (M·P, V); else both are empty.
    """
    V, C = embed.shape
    L = gates_weight.shape[0]
    taps = gates_weight.shape[1] // C - 1  # those that lie in the past
    S = hidden_weight.shape[0]
    projected = np.empty(L * 2 * C, np.float32)
    inputs = np.empty((taps + 1) * C, np.float32)
    h = inputs[taps * C :]  # the newest tap is the layer's own input
    z = np.empty(2 * C, np.float32)
    gated = np.empty(C, np.float32)
    outputs = np.empty(C + S, np.float32)
    skips = np.empty(S, np.float32)
    hidden = np.empty(hidden_weight.shape[1], np.float32)
    logits = np.empty(V, np.float32)
    weights = np.empty(V, np.float64)
    t, level = position[0], position[1]

    for m in range(condition.shape[0]):
        projected[:] = condition_bias
        _add_product(projected, condition[m], condition_weight)
        for i in range(period):
            h[:] = embed[level]
            skips[:] = 0
            for layer in range(L):
                dilation = dilations[layer]
                length = taps * dilation
                oldest = t % length
                ring = rings[ring_starts[layer] : ring_starts[layer] + length]
                for tap in range(taps):
                    row = (oldest + tap * dilation) % length
                    for c in range(C):
                        inputs[tap * C + c] = ring[row, c]
                for c in range(C):
                    ring[oldest, c] = h[c]

                z[:] = projected[layer * 2 * C : (layer + 1) * 2 * C]
                _add_product(z, inputs, gates_weight[layer])
                for c in range(C):
                    gate = _HALF + _HALF * _tanh(_HALF * z[C + c])
                    gated[c] = _tanh(z[c]) * gate
                outputs[:] = outputs_bias[layer]
                _add_product(outputs, gated, outputs_weight[layer])
                for c in range(C):
                    h[c] += outputs[c]
                for s in range(S):
                    skips[s] += outputs[C + s]

            for s in range(S):
                skips[s] = max(skips[s], np.float32(0))
            hidden[:] = hidden_bias
            _add_product(hidden, skips, hidden_weight)
            for o in range(hidden.shape[0]):
                hidden[o] = max(hidden[o], np.float32(0))
            logits[:] = output_bias
            _add_product(logits, hidden, output_weight)

            n = m * period + i
            if given.shape[0]:
                logits_out[n] = logits
                level = np.int64(given[n])
            else:
                # Inverse of the cumulative distribution at one uniform number
                highest = logits.max()
                total = 0.0
                for v in range(V):
                    weights[v] = np.exp((np.float64(logits[v]) - highest) * sharpness)
                    total += weights[v]
                rest = uniforms[n] * total
                level = 0
                while level < V - 1 and rest >= weights[level]:
                    rest -= weights[level]
                    level += 1
                drawn[n] = level
            t += 1
    position[0], position[1] = t, level


_VECTOR, _MATRIX, _STACK = float32[::1], float32[:, ::1], float32[:, :, ::1]
_INTEGERS = int64[::1]
_SIGNATURE = void(
    _MATRIX,  # embed
    _MATRIX,  # condition_weight
    _VECTOR,
    _STACK,  # gates_weight
    _STACK,  # outputs_weight
    _MATRIX,
    _MATRIX,  # hidden_weight
    _VECTOR,
    _MATRIX,  # output_weight
    _VECTOR,
    _INTEGERS,  # dilations
    _INTEGERS,
    _MATRIX,  # rings
    _INTEGERS,
    _MATRIX,  # condition
    int64,
    float64[::1],  # uniforms
    float64,
    uint8[::1],  # given
    _MATRIX,
    uint8[::1],  # drawn
)


def _compiled():
    began = time.perf_counter()
    try:
        compiled = numba.njit(
            _SIGNATURE, nogil=True, cache=True, fastmath=_FAST, error_model="numpy"
        )(_draw)
    except Exception as error:
        # No folder that may be written to, a full disk, a damaged file: numba has many words for it
        logger.info("the compiled sampler cannot be cached (%s)", error)
        compiled = numba.njit(_SIGNATURE, nogil=True, fastmath=_FAST, error_model="numpy")(_draw)
    seconds = time.perf_counter() - began
    if seconds > 1.5:  # reading the cache takes a fraction of a second
        logger.info("compiled the sampler in %.1f s", seconds)
    return compiled


draw = _compiled()
