"""The compiled sampler: a WaveNet's samples one by one, exactly, on a CPU core.

Every past activation that a layer will need again lies in a ring buffer, so that one sample costs
one column of each convolution. Weights lie as (in, out), in the order they are read; a condition
vector is projected once and not once a sample; the first layer is a look-up.

Shapes: T samples, M condition vectors, P samples per condition vector, C residual_channels,
S skip_channels, O output_channels, L layers, V levels, G condition_channels.
"""

from __future__ import annotations

import numpy as np

from speechvq.models.wavenet import WaveNet
from speechvq.sampling.kernel import draw


class Engine:
    """A decoder's weights as the compiled loop reads them; float32, on the CPU, never changed.

    Parameters
    ----------
    decoder : WaveNet
        Its weights are copied.
    """

    def __init__(self, decoder: WaveNet):
        config = decoder.config
        self.start_level = decoder.start
        gate_biases = np.concatenate([_array(layer.gates.bias) for layer in decoder.layers])
        taps = np.array([(config.kernel_size - 1) * d for d in config.dilations])
        self.rings = int(taps.sum())
        self.channels = config.residual_channels
        self.levels = decoder.embed.num_embeddings
        self.weights = (
            _array(decoder.embed.weight),  # (V, C)
            _array(decoder.condition.weight.T),  # (G, L·2C)
            _array(decoder.condition.bias) + gate_biases,  # (L·2C,)
            np.stack([_array(layer.gates.weight.T) for layer in decoder.layers]),  # (L, k·C, 2C)
            np.stack([_array(layer.outputs.weight.T) for layer in decoder.layers]),  # (L, C, C+S)
            np.stack([_array(layer.outputs.bias) for layer in decoder.layers]),  # (L, C+S)
            _array(decoder.hidden.weight.T),  # (S, O)
            _array(decoder.hidden.bias),
            _array(decoder.output.weight.T),  # (O, V)
            _array(decoder.output.bias),
            np.array(config.dilations, dtype=np.int64),
            (np.cumsum(taps) - taps).astype(np.int64),  # where each layer's ring begins
        )
        if not all(np.isfinite(array).all() for array in self.weights):
            raise ValueError(
                "the decoder's weights hold NaN or infinity; take an earlier checkpoint"
            )

    def stream(self) -> Stream:
        """A new utterance."""
        return Stream(self)


class Stream:
    """One utterance on its way: its past activations, its last level, and how many were drawn."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._rings = np.zeros((engine.rings, engine.channels), dtype=np.float32)
        self._position = np.array([0, engine.start_level], dtype=np.int64)

    def draw(
        self, condition: np.ndarray, period: int, uniforms: np.ndarray, temperature: float = 1.0
    ) -> np.ndarray:
        """Draw the next samples.

        The same numbers come out whether an utterance is drawn at once or piece by piece.

        Parameters
        ----------
        condition : ndarray
            (M, G) float32: the condition vectors of the next samples.
        period : int
            P, the samples that each vector holds for.
        uniforms : ndarray
            (M·P,) float64 in [0, 1): one random number a sample.
        temperature : float
            Divides the logits.

        Returns
        -------
        ndarray
            Levels (M·P,), uint8.
        """
        nothing_given, no_logits = np.empty(0, np.uint8), np.empty((0, 0), np.float32)
        return self._run(condition, period, uniforms, temperature, nothing_given, no_logits)

    def score(self, condition: np.ndarray, period: int, levels: np.ndarray) -> np.ndarray:
        """Logits (M·P, V) float32 of the next samples, which are then taken to be `levels`."""
        logits = np.empty((len(levels), self._engine.levels), np.float32)
        self._run(condition, period, np.empty(0), 1.0, np.asarray(levels, np.uint8), logits)
        return logits

    def _run(self, condition, period, uniforms, temperature, given, logits) -> np.ndarray:
        condition = np.ascontiguousarray(condition, dtype=np.float32)
        T = len(condition) * period
        assert max(len(uniforms), len(given)) == T, "one number a sample"
        drawn = np.empty(T, dtype=np.uint8)
        draw(
            *self._engine.weights,
            self._rings,
            self._position,
            condition,
            period,
            np.ascontiguousarray(uniforms, dtype=np.float64),
            1.0 / temperature,
            given,
            logits,
            drawn,
        )
        return drawn


def _array(tensor) -> np.ndarray:
    return np.array(tensor.detach().float().cpu().numpy(), order="C")
