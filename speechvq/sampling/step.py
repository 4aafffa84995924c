"""The sampler's plain PyTorch form: one cached step a sample, on any device.

It is what the compiled engine is compared with, and what draws on a GPU. Both have the same
methods, so that either stands behind `sample`.

Shapes: M condition vectors, P samples per condition vector, C residual_channels, G
condition_channels, V levels.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechvq.models.wavenet import WaveNet


class Step:
    """A decoder that draws with its own weights; see `engine.Engine`."""

    def __init__(self, decoder: WaveNet):
        self.decoder = decoder

    def stream(self) -> StepStream:
        """A new utterance."""
        return StepStream(self.decoder)


class StepStream:
    """One utterance on its way: its past activations and its last level; see `engine.Stream`."""

    def __init__(self, decoder: WaveNet):
        self.decoder = decoder
        weight = decoder.embed.weight
        taps = decoder.config.kernel_size - 1
        # For each layer its past inputs (taps · dilation, C), the one of sample t in row t % length
        self.rings = [
            weight.new_zeros(taps * dilation, weight.shape[1])
            for dilation in decoder.config.dilations
        ]
        self.position = 0
        self.level = torch.tensor(decoder.start, device=weight.device)

    def draw(
        self, condition: np.ndarray, period: int, uniforms: np.ndarray, temperature: float = 1.0
    ) -> np.ndarray:
        """Levels (M·P,) uint8 of the next samples; arguments as those of `engine.Stream.draw`."""
        u = torch.as_tensor(uniforms, dtype=torch.float64)
        device = self.level.device
        # Apple's GPUs know no float64; there the inverse is taken in float32
        precision = torch.float32 if device.type == "mps" else torch.float64
        u = u.to(precision).to(device)
        drawn = torch.empty(len(u), dtype=torch.uint8, device=device)
        with torch.inference_mode():
            for n, logits in enumerate(self._steps(condition, period)):
                self.level = _inverse_cdf(logits.to(precision) / temperature, u[n])
                drawn[n] = self.level
        return drawn.cpu().numpy()

    def score(self, condition: np.ndarray, period: int, levels: np.ndarray) -> np.ndarray:
        """Logits (M·P, V) float32 of the next samples, which are then taken to be `levels`."""
        given = torch.as_tensor(np.asarray(levels, np.int64), device=self.level.device)
        rows = []
        with torch.inference_mode():
            for n, logits in enumerate(self._steps(condition, period)):
                rows.append(logits)
                self.level = given[n]
        return torch.stack(rows).float().cpu().numpy()

    def _steps(self, condition: np.ndarray, period: int):
        """Yield the logits (V,) of each next sample; the caller sets `level` in between."""
        weight = self.decoder.embed.weight
        vectors = torch.as_tensor(condition).to(weight)  # (M, G)
        L, C = len(self.rings), weight.shape[1]
        for vector in vectors:
            conditions = self.decoder.condition(vector).view(L, 2 * C)
            for _ in range(period):
                yield self._step(conditions)
                self.position += 1

    def _step(self, conditions: Tensor) -> Tensor:
        decoder, C = self.decoder, conditions.shape[1] // 2
        h = decoder.embed(self.level)
        skips = h.new_zeros(decoder.config.skip_channels)
        for layer, ring, condition in zip(decoder.layers, self.rings, conditions, strict=True):
            oldest = self.position % len(ring)
            past = [
                ring[(oldest + tap * layer.dilation) % len(ring)]
                for tap in range(layer.kernel_size - 1)
            ]
            filter_, gate = (layer.gates(torch.cat([*past, h])) + condition).chunk(2)
            ring[oldest] = h
            residual, skip = layer.outputs(filter_.tanh() * gate.sigmoid()).tensor_split([C])
            h = h + residual
            skips = skips + skip
        return decoder.output(F.relu(decoder.hidden(F.relu(skips))))


def _inverse_cdf(logits: Tensor, u: Tensor) -> Tensor:
    """The level at which the distribution of logits (V,) has gathered the share u of its sum."""
    gathered = (logits - logits.max()).exp().cumsum(0)
    level = torch.searchsorted(gathered, u * gathered[-1], right=True)
    return level.clamp(max=len(logits) - 1)
