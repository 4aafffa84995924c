"""The compiled loop of `engine`; numba compiles it for the machine it runs on.

Almost all arithmetic is in products of few rows with matrices of weights. They run at full speed
only if a block of the result stays in registers while the weights are read, which a compiler does
not derive from loops. `_product` and `_gate` are therefore written in LLVM's intermediate language,
on vectors of sixteen floats, which the compiler adapts to any processor.

All arrays are flat; a row is given by the index of its first element, rows by their distance
("stride"). All compiled code is in this file because numba's disk cache checks no other file.

Shapes: A utterances in lock-step, M condition vectors, P steps per condition vector, J bands, C
residual_channels, S skip_channels, O output_channels, L layers, V levels, G condition_channels,
H steps of history.
Widths with a dash, as C', are rounded up to an even number of vectors.
"""

from __future__ import annotations

import functools
import logging
import platform
import time
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

logger = logging.getLogger(__name__)

LANES = 16
"""Floats in a vector: a register of AVX-512, two of AVX2, four of NEON."""
AHEAD = 16
"""Steps at most for which a layer's past taps are multiplied at once."""
MANY = 3
"""Utterances from which on that is no longer worth its memory."""

# Without the flags nnan and ninf: NaN and infinity of broken weights must propagate.
_FAST = {"contract", "reassoc", "nsz", "arcp"}

# ----------------------------------------------------------------------------------------------
# Vectors

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_INT = ir.IntType(64)


class _Vector:
    """Sixteen floats in a register, so that formulas on them read as formulas."""

    def __init__(self, builder: ir.IRBuilder, value):
        if isinstance(value, float):
            value = ir.Constant(_VECTOR, [value] * LANES)
        self.builder, self.value = builder, value

    def __add__(self, other):
        return self._apply(self.builder.fadd, other)

    def __mul__(self, other):
        return self._apply(self.builder.fmul, other)

    def __truediv__(self, other):
        return self._apply(self.builder.fdiv, other)

    __radd__, __rmul__ = __add__, __mul__

    def clamped(self, limit: float):
        """Within -limit … limit; NaN stays NaN."""
        value = self.value
        for order, bound in ((">", limit), ("<", -limit)):
            bound = _Vector(self.builder, bound).value
            beyond = self.builder.fcmp_ordered(order, value, bound)
            value = self.builder.select(beyond, bound, value)
        return _Vector(self.builder, value)

    def _apply(self, operation, other):
        other = other if isinstance(other, _Vector) else _Vector(self.builder, other)
        return _Vector(self.builder, operation(self.value, other.value, flags=("contract",)))


class _Memory:
    """A numba array inside an intrinsic: loads and stores of vectors."""

    def __init__(self, context, builder: ir.IRBuilder, kind, value):
        self.builder, self.dtype = builder, kind.dtype
        self.data = context.make_array(kind)(context, builder, value).data

    def at(self, place) -> ir.Value:
        """Pointer to an element."""
        return self.builder.gep(self.data, [place])

    def load(self, place) -> _Vector:
        """The sixteen elements from `place` on."""
        return _Vector(self.builder, self._load(self.at(place), _VECTOR, 4))

    def load_weights(self, place, vectors: int) -> list[_Vector]:
        """An even number of vectors from weight `place` on, as float32."""
        builder = self.builder
        if self.dtype == types.float32:
            return [self.load(builder.add(place, _INT(LANES * v))) for v in range(vectors)]
        if self.dtype == types.uint16:
            kind, loaded = ir.VectorType(ir.HalfType(), LANES), []
            for v in range(vectors):
                halves = self._load(self.at(builder.add(place, _INT(LANES * v))), kind, 2)
                loaded.append(_Vector(builder, builder.fpext(halves, _VECTOR)))
            return loaded
        # Each word holds a weight of one vector in its lower half, of the next in its upper one
        words, loaded = ir.VectorType(ir.IntType(32), LANES), []
        place = builder.lshr(place, _INT(1))
        for v in range(vectors // 2):
            pair = self._load(self.at(builder.add(place, _INT(LANES * v))), words, 4)
            lower = builder.shl(pair, ir.Constant(words, [16] * LANES))
            upper = builder.and_(pair, ir.Constant(words, [0xFFFF0000] * LANES))
            loaded += [_Vector(builder, builder.bitcast(half, _VECTOR)) for half in (lower, upper)]
        return loaded

    def load_one(self, place) -> _Vector:
        """One element, in all lanes."""
        builder = self.builder
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        lanes = ir.VectorType(ir.IntType(32), LANES)
        one = self._load(self.at(place), _FLOAT, 4)
        first = builder.insert_element(undefined, one, ir.Constant(ir.IntType(32), 0))
        return _Vector(builder, builder.shuffle_vector(first, undefined, ir.Constant(lanes, None)))

    def store(self, vector: _Vector, place) -> None:
        """Set the sixteen elements from `place` on."""
        pointer = self.builder.bitcast(self.at(place), _VECTOR.as_pointer())
        self.builder.store(vector.value, pointer).align = 4

    def _load(self, pointer, kind, align: int):
        value = self.builder.load(self.builder.bitcast(pointer, kind.as_pointer()))
        value.align = align
        return value


def _product(rows: int, vectors: int):
    """An intrinsic: y[r, :16·vectors] += Σ_i x[r, i] W[i, :16·vectors], for each of `rows` rows.

    The sums stay in rows · vectors registers. Each is gathered in the order of i, so that a row's
    result does not depend on the rows beside it.
    """

    @intrinsic
    def product(typing, y, y_at, y_stride, x, x_at, x_stride, n, W, W_at, W_stride):
        def code(context, builder, signature, arguments):
            y, y_at, y_stride, x, x_at, x_stride, n, W, W_at, W_stride = arguments
            y, x, W = (
                _Memory(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 7)
            )

            def place(at, stride, r, c=0):
                return builder.add(builder.add(at, builder.mul(stride, _INT(r))), _INT(c))

            block = [(r, v) for r in range(rows) for v in range(vectors)]
            before = builder.block
            loop, after = builder.append_basic_block(), builder.append_basic_block()
            begin = [y.load(place(y_at, y_stride, r, LANES * v)).value for r, v in block]
            builder.branch(loop)

            builder.position_at_end(loop)
            i, sums = builder.phi(_INT), [builder.phi(_VECTOR) for _ in block]
            row = builder.add(W_at, builder.mul(i, W_stride))
            weights = W.load_weights(row, vectors)
            inputs = [x.load_one(builder.add(place(x_at, x_stride, r), i)) for r in range(rows)]
            longer = [
                (_Vector(builder, total) + inputs[r] * weights[v]).value
                for total, (r, v) in zip(sums, block, strict=True)
            ]
            following = builder.add(i, _INT(1))
            for variable, first, next_ in zip([i, *sums], [_INT(0), *begin], [following, *longer],
                                              strict=True):  # fmt: skip
                variable.add_incoming(first, before)
                variable.add_incoming(next_, loop)
            builder.cbranch(builder.icmp_signed("<", following, n), loop, after)

            builder.position_at_end(after)
            for total, (r, v) in zip(longer, block, strict=True):
                y.store(_Vector(builder, total), place(y_at, y_stride, r, LANES * v))
            return context.get_dummy_value()

        whole = types.intp
        arguments = (y, whole, whole, x, whole, whole, whole, W, whole, whole)
        return types.void(*arguments), code

    return product


def _lambert(terms: int) -> tuple[list[float], list[float]]:
    """Coefficients of 1, x², x⁴ … in numerator and denominator of `terms` terms of tanh(x)/x."""
    above, below = np.array([1.0]), np.array([2.0 * terms - 1])
    for k in range(2 * terms - 3, 0, -2):  # below := k + x² · above/below
        longer = np.zeros(max(len(below), len(above) + 1))
        longer[: len(below)] += k * below
        longer[1 : len(above) + 1] += above
        above, below = below, longer
    return [float(c) for c in above / below[0]], [float(c) for c in below / below[0]]


# Lambert's continued fraction x/(1 + x²/(3 + x²/(5 + …))), cut at its thirteenth term, is within
# 4e-7 of tanh for every x.
_ABOVE, _BELOW = _lambert(13)


def _tanh_fraction(x: _Vector) -> tuple[_Vector, _Vector]:
    """Numerator and denominator of tanh(x)."""
    x = x.clamped(8.0)
    square = x * x

    def polynomial(coefficients):
        *lower, total = coefficients
        for coefficient in reversed(lower):
            total = square * total + coefficient
        return total

    return x * polynomial(_ABOVE), polynomial(_BELOW)


@intrinsic
def _gate(typing, z, filter_at, gate_at, condition, condition_at, width, gated, gated_at):
    """gated := tanh(z_f + c_f) ⊙ σ(z_g + c_g) for sixteen channels; c_g lies `width` after c_f."""

    def code(context, builder, signature, arguments):
        _, filter_at, gate_at, _, condition_at, width, _, gated_at = arguments
        z, condition, gated = (
            _Memory(context, builder, signature.args[i], arguments[i]) for i in (0, 3, 6)
        )
        f = z.load(filter_at) + condition.load(condition_at)
        g = z.load(gate_at) + condition.load(builder.add(condition_at, width))
        tanh, under = _tanh_fraction(f)
        half, under_half = _tanh_fraction(g * 0.5)  # σ(g) = (1 + tanh(g / 2)) / 2
        gated.store(tanh * (under_half + half) / (under * under_half * 2.0), gated_at)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(z, whole, whole, condition, whole, whole, gated, whole), code


# ----------------------------------------------------------------------------------------------
# Products

_features = (numba.config.CPU_FEATURES or numba.core.codegen.get_host_cpu_features()).split(",")
PANEL = 8 if "+avx512f" in _features else 4
"""Vectors side by side that a row's product keeps in registers; weights are packed so."""
HALVES = "+f16c" in _features or platform.machine() in ("aarch64", "arm64")
"""Whether the processor turns half precision into float32 by one instruction."""

_ROWS, _WIDTH = (4, 4) if PANEL == 8 else (2, 2)  # of a block of rows that share their weights
_row8, _row4, _row2 = (_product(1, vectors) for vectors in (8, 4, 2))
_block = _product(_ROWS, _WIDTH)


@register_jitable(error_model="numpy")
def panel(vectors: int) -> int:
    """Width, in vectors, of the next panel of a matrix with so many vectors of columns left."""
    width = PANEL
    while width > vectors:
        width //= 2
    return width


@numba.njit(error_model="numpy")
def _add_product(rows, y, y_at, y_stride, vectors, x, x_at, x_stride, n, W, W_at):
    """y[r] += x[r] @ W, for x (rows, n) and W (n, 16·vectors) in panels, one after the other."""
    done = 0
    while done < vectors:
        width = panel(vectors - done)
        stride = LANES * width
        y_first = y_at + LANES * done
        blocks = rows // _ROWS if width >= _WIDTH else 0
        for v in range(0, width, _WIDTH):
            for row in range(0, blocks * _ROWS, _ROWS):
                _block(y, y_first + row * y_stride + LANES * v, y_stride,
                       x, x_at + row * x_stride, x_stride, n,
                       W, W_at + LANES * v, stride)  # fmt: skip
        for row in range(blocks * _ROWS, rows):
            y_row, x_row = y_first + row * y_stride, x_at + row * x_stride
            if width == 8:
                _row8(y, y_row, 0, x, x_row, 0, n, W, W_at, stride)
            elif width == 4:
                _row4(y, y_row, 0, x, x_row, 0, n, W, W_at, stride)
            else:
                _row2(y, y_row, 0, x, x_row, 0, n, W, W_at, stride)
        W_at += n * stride
        done += width


# ----------------------------------------------------------------------------------------------
# Copies and sums of rows. In numba a negative index counts from the end, so a loop over signed
# indices checks each of them; one over unsigned indices is compiled to vector instructions.


@numba.njit(error_model="numpy")
def _put(y, y_at, n, x, x_at):
    """y[y_at:][:n] = x[x_at:][:n]."""
    y_at, x_at = np.uintp(y_at), np.uintp(x_at)
    for i in range(np.uintp(n)):
        y[y_at + i] = x[x_at + i]


@numba.njit(error_model="numpy")
def _add(y, y_at, n, x, x_at):
    """y[y_at:][:n] += x[x_at:][:n]."""
    y_at, x_at = np.uintp(y_at), np.uintp(x_at)
    for i in range(np.uintp(n)):
        y[y_at + i] += x[x_at + i]


@numba.njit(error_model="numpy")
def _add_times(y, y_at, n, factor, x, x_at):
    """y[y_at:][:n] += factor · x[x_at:][:n]."""
    y_at, x_at = np.uintp(y_at), np.uintp(x_at)
    for i in range(np.uintp(n)):
        y[y_at + i] += factor * x[x_at + i]


@numba.njit(error_model="numpy")
def _clear(y, y_at, n):
    """y[y_at:][:n] = 0."""
    y_at = np.uintp(y_at)
    for i in range(np.uintp(n)):
        y[y_at + i] = np.float32(0)


# ----------------------------------------------------------------------------------------------
# Sampling a level

_ONE, _HALF = np.float32(1), np.float32(0.5)
_LOG2_E = np.float32(np.log2(np.e))
_LN2_HIGH = np.float32(0.693359375)  # few bits, so that its products with whole numbers are exact
_LN2_LOW = np.float32(np.log(2) - 0.693359375)
_E2, _E3, _E4, _E5, _E6, _E7 = (np.float32(1 / f) for f in (2, 6, 24, 120, 720, 5040))


@numba.njit(fastmath=_FAST, error_model="numpy")
def _exp(x):
    """e^x for x ≤ 0 within 2e-7 of it: 2^n e^r with |r| ≤ ½ ln 2; plain enough to be vectorised."""
    x = max(x, np.float32(-87))
    n = np.floor(x * _LOG2_E + _HALF)
    r = x - n * _LN2_HIGH - n * _LN2_LOW
    power = _E2 + r * (_E3 + r * (_E4 + r * (_E5 + r * (_E6 + r * _E7))))
    power = _ONE + r * (_ONE + r * power)
    return power * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@numba.njit(fastmath=_FAST, error_model="numpy")
def _sample_level(logits, weights, u, inverse_temperature, top_k, top_p):
    """Inverse-CDF sampling of a level: u in [0, 1) is the share of the sum of weights before it."""
    V = weights.shape[0]
    highest = logits[0]
    for v in range(1, V):
        highest = max(highest, logits[v])
    total = 0.0
    for v in range(V):
        weights[v] = _exp((logits[v] - highest) * inverse_temperature)
        total += np.float64(weights[v])
    if top_k < V or top_p < 1:
        total = _truncate(weights, total, top_k, top_p)
    rest = u * total
    for v in range(V):
        if rest < weights[v]:
            return v
        rest -= weights[v]
    for v in range(V - 1, -1, -1):  # by rounding, the sum is less: the last level that can come
        if weights[v] > 0:
            return v
    return 0


@numba.njit(error_model="numpy")
def _truncate(weights, total, top_k, top_p):
    """Keep the likeliest levels: `top_k` of them, or as few as have `top_p` of the sum.

    The least weight that is kept lies in [low, high), narrowed until one weight is left in it. The
    largest weight is 1, and all that lie below the first `low` together are left out.
    """
    V, wanted = weights.shape[0], top_p * total
    low, upto = max(np.float32((total - wanted) / V), np.float32(1e-38)), V
    high, count, mass = np.float32(2), 0, 0.0  # of the weights from `high` on
    while upto - count > 1:
        # Between orders of magnitude first
        middle = np.sqrt(low * high) if high > 2 * low else np.float32(0.5) * (low + high)
        if not low < middle < high:  # equal weights
            break
        more, more_mass = _at_least(weights, middle)
        if more >= top_k or more_mass >= wanted:
            low, upto = middle, more
        else:
            high, count, mass = middle, more, more_mass
    for v in range(V):
        if low <= weights[v] < high:
            if count < top_k and mass < wanted:
                count += 1
                mass += np.float64(weights[v])
            else:
                weights[v] = np.float32(0)
    for v in range(V):
        weights[v] *= np.float32(weights[v] >= low)
    return mass


@numba.njit(fastmath=_FAST, error_model="numpy")
def _at_least(weights, least):
    """Number and sum of the weights from `least` on."""
    count, mass = np.float32(0), np.float64(0)
    for v in range(weights.shape[0]):
        count += np.float32(weights[v] >= least)
        mass += np.float64(weights[v] if weights[v] >= least else np.float32(0))
    return int(count), mass


# ----------------------------------------------------------------------------------------------
# The loop


class Weights(NamedTuple):
    """A decoder's weights in the order they are read.

    Every matrix is (inputs, outputs) in panels. Those from `past` on are float32, float16 or
    bfloat16 in pairs, all others float32.
    """

    embed: np.ndarray  # (J·V, C')
    long_term: np.ndarray  # (taps of the long-term predictor · J·V, C'), or empty
    amplitudes: np.ndarray  # (V,) float64: what a level stands for
    lags: tuple[int, int, int]  # the shortest and the longest one, and the window
    floor: float  # as in `models/long_term.py`
    condition: np.ndarray  # (G, L·2C')
    condition_bias: np.ndarray  # (L·2C',), the gates' biases among its own
    outputs_bias: np.ndarray  # (L, C' + S')
    hidden_bias: np.ndarray  # (O',)
    output_bias: np.ndarray  # ((J·V)',)
    past: np.ndarray  # (L, k - 1, C, 2C')
    present: np.ndarray  # (L, C, 2C')
    outputs: np.ndarray  # (L, C, C' + S')
    hidden: np.ndarray  # (S, O')
    output: np.ndarray  # (O, (J·V)')
    dilations: np.ndarray  # (L,)
    sizes: tuple[int, int, int, int, int, int, int]  # C, S, O, J, V, G, k - 1


class State(NamedTuple):
    """State of utterances in progress; updated in place."""

    rings: np.ndarray  # (B, R, C'): each layer's past inputs, that of step t in row t mod length
    position: np.ndarray  # (B,): steps so far
    level: np.ndarray  # (B, J): the last step's
    history: np.ndarray  # (B, J, H): levels, those of step t in place t mod H
    lag: np.ndarray  # (B,)
    weight: np.ndarray  # (B,) float32, of what lies around the lag


@register_jitable(error_model="numpy")
def up(width: int) -> int:
    """Rounded up to an even number of vectors."""
    return -(-width // (2 * LANES)) * 2 * LANES


@numba.njit(error_model="numpy")
def _common(dilation, ahead):
    """The largest power of two that divides both a dilation and `ahead`."""
    block = 1
    while block < ahead and dilation % (2 * block) == 0:
        block *= 2
    return block


@numba.njit(fastmath=_FAST, error_model="numpy")
def _find_lag(history, t, amplitudes, lags, floor):
    """Lag of the largest normalised autocorrelation before step t, and that correlation."""
    shortest, longest, window = lags
    H = history.shape[0]
    past = np.empty(H)  # the latest step last
    for i in range(H):
        past[i] = amplitudes[history[(t + i) % H]]
    now = past[longest:]
    energy = np.sum(now * now)
    best, found = -np.inf, longest
    for lag in range(longest, shortest - 1, -1):
        lagged = past[longest - lag : H - lag]
        product, other = 0.0, 0.0
        for i in range(window):
            product += now[i] * lagged[i]
            other += lagged[i] * lagged[i]
        correlation = product / (np.sqrt(energy * other) + floor)
        if correlation > best:
            best, found = correlation, lag
    return found, max(best, 0.0)


@numba.njit(error_model="numpy")
def _add_input(w, state, slot, listen, h, h_at):
    """Add the first layer's input of an utterance's next step to h[h_at:]; `listen` for its lag."""
    C_, J, V = up(w.sizes[0]), w.sizes[3], w.sizes[4]
    for j in range(J):
        _add(h, h_at, C_, w.embed, (j * V + state.level[slot * J + j]) * C_)
    H = state.history.shape[0] // (state.position.shape[0] * J)
    if not H:
        return
    if listen:
        first_band = state.history[slot * J * H :][:H]
        state.lag[slot], state.weight[slot] = _find_lag(
            first_band, state.position[slot], w.amplitudes, w.lags, w.floor
        )
    taps = w.long_term.shape[0] // (J * V * C_)
    first = state.position[slot] - state.lag[slot] - taps // 2 + H
    for tap in range(taps):
        for j in range(J):
            level = state.history[(slot * J + j) * H + (first + tap) % H]
            row_at = ((tap * J + j) * V + level) * C_
            _add_times(h, h_at, C_, state.weight[slot], w.long_term, row_at)


@numba.njit(error_model="numpy")
def _output(w, rows, h, skips, hidden, logits):
    """Logits (A, (J·V)') of what h (A, C' + S') has summed; A is `rows`."""
    C, S, O, J, V = w.sizes[:5]  # noqa: E741
    C_, S_, O_, JV_ = up(C), up(S), up(O), up(J * V)
    for a in range(rows):
        for s in range(S_):
            skips[a * S_ + s] = max(h[a * (C_ + S_) + C_ + s], np.float32(0))
        hidden[a * O_ : (a + 1) * O_] = w.hidden_bias
        logits[a * JV_ : (a + 1) * JV_] = w.output_bias
    _add_product(rows, hidden, 0, O_, O_ // LANES, skips, 0, S_, S, w.hidden, 0)
    for o in range(rows * O_):
        hidden[o] = max(hidden[o], np.float32(0))
    _add_product(rows, logits, 0, JV_, JV_ // LANES, hidden, 0, O_, O, w.output, 0)


@numba.njit(error_model="numpy")
def _end_step(state, slot, J):
    """Note the levels of the step in the history of an utterance, and count it."""
    H = state.history.shape[0] // (state.position.shape[0] * J)
    if H:
        now = state.position[slot] % H
        for j in range(J):
            state.history[(slot * J + j) * H + now] = state.level[slot * J + j]
    state.position[slot] += 1


def _draw(w, state, slots, condition, period, uniforms, inverse_temperature, top_k, top_p, given,
          logits_out, drawn):  # fmt: skip
    """Draw the next steps of the utterances in `slots` (A,) of `state` into `drawn`.

    `condition` is (A·M·G,), `period` P, `uniforms` and `drawn` (A·M·P·J,). With `given` (A·M·P·J,)
    these levels are taken instead of drawn ones, and the logits are put into `logits_out`
    (A·M·P·J·V,); else both are empty.
    """
    C, S, O, J, V, G, taps = w.sizes  # noqa: E741
    C_, S_, O_, JV_ = up(C), up(S), up(O), up(J * V)
    Z, H = 2 * C_, C_ + S_
    A, L = slots.shape[0], w.dilations.shape[0]
    M = condition.shape[0] // (A * G)
    T = M * period
    R = state.rings.shape[0] // (state.position.shape[0] * C_)

    projected = np.empty(A * M * L * Z, np.float32)
    for row_at in range(0, A * M * L * Z, L * Z):
        projected[row_at : row_at + L * Z] = w.condition_bias
    _add_product(A * M, projected, 0, L * Z, L * Z // LANES, condition, 0, G, G, w.condition, 0)
    # With many utterances each weight is read for all of them as it is
    ahead = AHEAD if A < MANY else 1
    pending = np.empty(A * L * AHEAD * Z if ahead > 1 else 0, np.float32)
    past = np.empty(A * taps * C_, np.float32)
    h = np.empty(A * H, np.float32)  # the residual path, then the sum of the skips
    z = np.empty(A * Z, np.float32)
    gated = np.empty(A * C_, np.float32)
    skips = np.empty(A * S_, np.float32)
    hidden = np.empty(A * O_, np.float32)
    logits = np.empty(A * JV_, np.float32)
    weights = np.empty(V, np.float32)

    for n in range(T):
        h[:] = 0
        for a in range(A):
            _add_input(w, state, slots[a], n % period == 0, h, a * H)

        ring_start = 0
        for layer in range(L):
            dilation = w.dilations[layer]
            length, block = taps * dilation, _common(dilation, ahead)
            W_at = layer * taps * C * Z
            for a in range(A):
                t = state.position[slots[a]]
                ring_at = (slots[a] * R + ring_start) * C_
                if block == 1:
                    for tap in range(taps):  # the oldest first; its row is the one to be replaced
                        row_at = ring_at + (t + tap * dilation) % length * C_
                        _put(past, (a * taps + tap) * C_, C_, state.rings, row_at)
                    _clear(z, a * Z, Z)
                else:
                    # The past taps of the rest of this block are known already: all at once
                    i = t % block
                    pending_at = ((a * L + layer) * AHEAD + i) * Z
                    if i == 0 or n == 0:
                        rows = block - i
                        _clear(pending, pending_at, rows * Z)
                        for tap in range(taps):
                            row_at = ring_at + (t + tap * dilation) % length * C_
                            _add_product(rows, pending, pending_at, Z, Z // LANES,
                                         state.rings, row_at, C_, C,
                                         w.past, W_at + tap * C * Z)  # fmt: skip
                    _put(z, a * Z, Z, pending, pending_at)
                _put(state.rings, ring_at + t % length * C_, C_, h, a * H)
            if block == 1:
                for tap in range(taps):
                    _add_product(A, z, 0, Z, Z // LANES, past, tap * C_, taps * C_, C,
                                 w.past, W_at + tap * C * Z)  # fmt: skip
            ring_start += length

            _add_product(A, z, 0, Z, Z // LANES, h, 0, H, C, w.present, layer * C * Z)
            for a in range(A):
                condition_at = ((a * M + n // period) * L + layer) * Z
                for c in range(0, C_, LANES):
                    _gate(z, a * Z + c, a * Z + C_ + c, projected, condition_at + c, C_,
                          gated, a * C_ + c)  # fmt: skip
                _add(h, a * H, H, w.outputs_bias, layer * H)
            _add_product(A, h, 0, H, H // LANES, gated, 0, C_, C, w.outputs, layer * C * H)

        _output(w, A, h, skips, hidden, logits)
        for a in range(A):
            for j in range(J):
                mine = logits[a * JV_ + j * V : a * JV_ + (j + 1) * V]
                at = (a * T + n) * J + j
                if given.shape[0]:
                    level = given[at]
                    logits_out[at * V : (at + 1) * V] = mine
                else:
                    level = _sample_level(
                        mine, weights, uniforms[at], inverse_temperature, top_k, top_p
                    )
                    drawn[at] = level
                state.level[slots[a] * J + j] = level
            _end_step(state, slots[a], J)


@functools.cache
def compiled(precision: Any) -> Any:
    """`_draw` as machine code, for weights of a dtype as `Engine` packs them.

    float32; float16 as uint16; or bfloat16 in pairs as uint32.

    It is compiled once on a machine; later processes read it from numba's cache on disk: the folder
    ``NUMBA_CACHE_DIR``, the one beside this file, or the user's own. Without any of them, every
    process compiles it again.
    """
    # Arrays as the loop will get them; only their types matter
    floats, doubles, halves = (np.empty(0, d) for d in (np.float32, np.float64, precision))
    small, whole = np.empty(0, np.int32), np.empty(0, np.int64)
    long_term = floats, doubles, (1,) * 3, 1.0  # with what finds its lags
    values: Any = floats, *long_term, *[floats] * 5, *[halves] * 5, whole, (1,) * 7
    weights = Weights(*values)
    state = State(floats, whole, whole, whole, whole, floats)
    options = np.float32(1), 1, 1.0  # inverse_temperature, top_k, top_p
    arguments = weights, state, whole, floats, 1, doubles, *options, whole, floats, small
    signature = tuple(numba.typeof(argument) for argument in arguments)
    began = time.perf_counter()
    try:
        draw = numba.njit(cache=True, nogil=True, error_model="numpy")(_draw)
        draw.compile(signature)
    except Exception as error:
        # No writable folder, a full disk, a damaged file: numba raises errors of many types
        logger.info("the compiled sampler cannot be cached (%s)", error)
        draw = numba.njit(nogil=True, error_model="numpy")(_draw)
        draw.compile(signature)
    draw.disable_compile()
    if not draw.stats.cache_hits:
        logger.info("compiled the sampler in %.1f s", time.perf_counter() - began)
    return draw
