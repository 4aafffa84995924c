"""The compiled sampler: exact incremental sampling from a WaveNet on a CPU core.

Optimisations: past activations are cached in ring buffers, so that a step costs one column of each
convolution. A past tap is known `dilation` steps ahead, so its products are computed for up to
sixteen steps at once. A condition vector is projected once, not at each step; the first layer is a
look-up. Utterances run in lock-step, so that each weight is read once for all of them. Weights lie
in the order they are read, in blocks as wide as the registers.

Shapes: B utterances, M condition vectors, P steps per condition vector, J bands, G
condition_channels, V levels, C residual_channels, S skip_channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from speechvq.models import mu_law
from speechvq.models.long_term import FLOOR, LongTermPredictor, amplitudes
from speechvq.models.wavenet import WaveNet
from speechvq.sampling import kernel
from speechvq.sampling.options import Distribution, check_precision


class Engine:
    """The weights of a WaveNet, in the layout of the compiled loop.

    Parameters
    ----------
    decoder : WaveNet
        Its weights are copied.
    precision : str
        `float32` is exact. `bfloat16` keeps the weights of the layers in half the memory, with 8
        bits of precision in place of 24; the arithmetic remains float32.
    """

    def __init__(self, decoder: WaveNet, precision: str = "float32"):
        check_precision(precision)
        config = decoder.config
        C, S, O = config.residual_channels, config.skip_channels, config.output_channels  # noqa: E741
        J, V, taps = decoder.bands, decoder.levels, config.kernel_size - 1
        if not all(weights.isfinite().all() for weights in decoder.parameters()):
            raise ValueError(
                "the decoder's weights hold NaN or infinity; take an earlier checkpoint"
            )
        layers = decoder.layers
        gates = [_array(layer.gates.weight.T) for layer in layers]  # (k·C, 2C), oldest tap first
        gate_biases = np.concatenate([_array(layer.gates.bias) for layer in layers])
        biases = [
            _padded(_array(decoder.condition.bias) + gate_biases, *[C] * (2 * len(layers))),
            np.concatenate([_padded(_array(layer.outputs.bias), C, S) for layer in layers]),
            _padded(_array(decoder.hidden.bias), O),
            _padded(_array(decoder.output.bias), J * V),
        ]
        past = [gate[tap * C :][:C] for gate in gates for tap in range(taps)]
        hot = [
            np.concatenate([_packed(part, C, C) for part in past]),
            np.concatenate([_packed(gate[taps * C :], C, C) for gate in gates]),
            np.concatenate([_packed(_array(layer.outputs.weight.T), C, S) for layer in layers]),
            _packed(_array(decoder.hidden.weight.T), O),
            _packed(_array(decoder.output.weight.T), J * V),
        ]
        if precision == "bfloat16":
            hot = [_bfloat16(weights) for weights in hot]
        elif kernel.HALVES and all(map(_is_half, hot)):
            hot = [weights.astype(np.float16).view(np.uint16) for weights in hot]
        embed, of_condition, *hot = _contiguous(
            _padded(_array(decoder.embed.weight), C).ravel(),
            _packed(_array(decoder.condition.weight.T), *[C] * (2 * len(layers))),
            *hot,
        )
        values: list[Any] = [
            embed,
            *_long_term(decoder.long_term, C),
            of_condition,
            *biases,
            *hot,
            np.array(config.dilations, dtype=np.int64),
            (C, S, O, J, V, decoder.condition.in_features, taps),
        ]
        self.weights = kernel.Weights(*values)
        self.start_level = decoder.start
        self.history = 0 if decoder.long_term is None else decoder.long_term.history
        dtype: Any = hot[0].dtype
        self.run = kernel.compiled(dtype.type)

    def streams(self, count: int) -> Streams:
        """Slots for `count` utterances in lock-step."""
        return Streams(self, count)


class Streams:
    """Utterances in progress: past activations, last levels, and number of steps so far."""

    def __init__(self, engine: Engine, count: int):
        self._engine = engine
        dilations, (C, *_, taps) = engine.weights.dilations, engine.weights.sizes
        self._bands, self._levels = engine.weights.sizes[3:5]
        self._state = kernel.State(
            np.zeros(count * taps * int(dilations.sum()) * kernel.up(C), np.float32),
            np.zeros(count, np.int64),
            np.full(count * self._bands, engine.start_level, np.int64),
            np.full(count * self._bands * engine.history, engine.start_level, np.int64),
            np.ones(count, np.int64),
            np.zeros(count, np.float32),
        )

    def restart(self, slot: int) -> None:
        """Reset a slot for another utterance."""
        state, count = self._state, len(self._state.position)
        state.rings.reshape(count, -1)[slot] = 0
        state.position[slot] = 0
        state.level.reshape(count, -1)[slot] = self._engine.start_level
        state.history.reshape(count, -1)[slot] = self._engine.start_level

    def replace(self, slots: Sequence[int], levels: np.ndarray) -> None:
        """Take `levels` (B, J) for those of the last step, where these were known beforehand."""
        self._state.level.reshape(-1, self._bands)[list(slots)] = levels

    def draw(
        self,
        slots: Sequence[int],
        condition: np.ndarray,
        period: int,
        uniforms: np.ndarray,
        distribution: Distribution = Distribution(),  # noqa: B008
    ) -> np.ndarray:
        """Draw the next steps of some of the utterances.

        The levels do not depend on how an utterance is cut into pieces or on the rest of the
        batch.

        Parameters
        ----------
        slots : sequence of int
            Which utterances: B of 0 … count - 1, each once.
        condition : ndarray
            (B, M, G) float32: the condition vectors of the next steps.
        period : int
            P, the steps that each vector holds for.
        uniforms : ndarray
            (B, M·P, J) float64 in [0, 1): one random number for each element.
        distribution : Distribution
            Of the levels, given the logits.

        Returns
        -------
        ndarray
            Levels (B, M·P, J), int32.
        """
        drawn = np.empty(uniforms.shape, np.int32)
        self._run(slots, condition, period, uniforms, distribution, drawn=drawn)
        return drawn

    def score(
        self, slots: Sequence[int], condition: np.ndarray, period: int, levels: np.ndarray
    ) -> np.ndarray:
        """Logits (B, M·P, J, V) float32 of the next steps, given `levels` (B, M·P, J)."""
        logits = np.empty((*levels.shape, self._levels), np.float32)
        self._run(
            slots, condition, period, np.empty(0), Distribution(), given=levels, logits=logits
        )
        return logits

    def _run(
        self,
        slots: Sequence[int],
        condition: np.ndarray,
        period: int,
        uniforms: np.ndarray,
        distribution: Distribution,
        given: np.ndarray | None = None,
        logits: np.ndarray | None = None,
        drawn: np.ndarray | None = None,
    ) -> None:
        B, M, _ = condition.shape
        elements = uniforms if given is None else given
        assert elements.shape == (B, M * period, self._bands), "one for each band and step"
        assert len(set(slots)) == len(slots) == B, "one utterance for each slot"
        V = self._levels
        self._engine.run(
            self._engine.weights,
            self._state,
            np.asarray(slots, np.int64),
            np.ascontiguousarray(condition, np.float32).ravel(),
            period,
            np.ascontiguousarray(uniforms, np.float64).ravel(),
            np.float32(1 / distribution.temperature),
            V if distribution.top_k is None else min(V, distribution.top_k),
            1.0 if distribution.top_p is None else distribution.top_p,
            np.empty(0, np.int64)
            if given is None
            else np.ascontiguousarray(given, np.int64).ravel(),
            np.empty(0, np.float32) if logits is None else logits.ravel(),
            np.empty(0, np.int32) if drawn is None else drawn.ravel(),
        )


def _long_term(predictor: LongTermPredictor | None, channels: int) -> tuple[Any, ...]:
    """Weights of the long-term predictor, what a level stands for, and how a lag is found."""
    if predictor is None:
        return np.zeros(0, np.float32), np.zeros(0), (0, 0, 0), 0.0
    return (
        _padded(_array(predictor.embed.weight), channels).ravel(),
        amplitudes(torch.arange(mu_law.LEVELS)).double().numpy(),
        (predictor.shortest, predictor.longest, predictor.window),
        FLOOR,
    )


def _array(weights: torch.Tensor) -> np.ndarray:
    return weights.detach().to("cpu", torch.float32).numpy().copy()


def _padded(matrix: np.ndarray, *widths: int) -> np.ndarray:
    """Pad each group of columns, of these widths, with zeros to whole vectors; or a row (n,)."""
    groups, rows = np.split(matrix, np.cumsum(widths)[:-1], axis=-1), [(0, 0)] * (matrix.ndim - 1)
    return np.concatenate(
        [np.pad(g, [*rows, (0, kernel.up(w) - w)]) for g, w in zip(groups, widths, strict=True)],
        axis=-1,
    )


def _packed(matrix: np.ndarray, *widths: int) -> np.ndarray:
    """A padded matrix, flattened panel by panel; a panel's product fits in registers."""
    matrix = _padded(matrix, *widths)
    panels, done = [], 0
    while done < matrix.shape[1]:
        width = kernel.LANES * kernel.panel((matrix.shape[1] - done) // kernel.LANES)
        panels.append(matrix[:, done : done + width].ravel())
        done += width
    return np.concatenate(panels)


def _is_half(weights: np.ndarray) -> bool:
    """Whether half precision holds these weights exactly, as those of a model saved so."""
    with np.errstate(over="ignore"):
        return bool((weights.astype(np.float16) == weights).all())


def _bfloat16(weights: np.ndarray) -> np.ndarray:
    """Pack pairs of vectors as bfloat16: the first in the lower halves of words, then the upper."""
    halves = torch.from_numpy(weights).to(torch.bfloat16).view(torch.uint16).numpy()
    first, second = halves.reshape(-1, 2, kernel.LANES).swapaxes(0, 1).astype(np.uint32)
    return (first | second << 16).ravel()


def _contiguous(*arrays: np.ndarray) -> list[np.ndarray]:
    """Copy arrays into one contiguous block of memory, in huge pages where the system has them.

    A second-level cache that is nearly full of weights holds more of them when they are contiguous
    in physical memory. numpy asks for huge pages for arrays of 4 MB and more.
    """
    starts = np.cumsum([0] + [-(-array.nbytes // 64) * 64 for array in arrays])
    huge = 1 << 21
    memory = np.empty(int(starts[-1]) + 2 * huge, np.uint8)
    memory = memory[-memory.ctypes.data % huge :]
    for array, start in zip(arrays, starts[:-1], strict=True):
        memory[start : start + array.nbytes] = array.view(np.uint8)
    return [
        memory[start : start + array.nbytes].view(array.dtype)
        for array, start in zip(arrays, starts[:-1], strict=True)
    ]
