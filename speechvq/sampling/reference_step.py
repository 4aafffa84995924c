"""Reference implementation of the sampler in PyTorch: one cached step at a time, on any device.

The compiled engine is tested against it, and it samples on a GPU. Both have the same interface. All
tensors that a step reads or writes keep their place in memory, so that the step can be recorded as
a CUDA graph and rerun without Python.

Shapes: B utterances, M condition vectors, P steps per condition vector, J bands, C
residual_channels, G condition_channels, L layers, V levels.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechvq.models.wavenet import WaveNet
from speechvq.sampling.options import Distribution

logger = logging.getLogger(__name__)


class ReferenceSampler:
    """Samples from a WaveNet by its own modules; the interface is that of `engine.Engine`."""

    def __init__(self, decoder: WaveNet):
        self.decoder = decoder

    def streams(self, count: int) -> ReferenceStreams:
        """Slots for `count` utterances in lock-step."""
        return ReferenceStreams(self.decoder, count)


class ReferenceStreams:
    """Utterances in progress; the interface is that of `engine.Streams`."""

    def __init__(self, decoder: WaveNet, count: int):
        self.decoder = decoder
        weight = decoder.embed.weight
        taps = decoder.config.kernel_size - 1
        # For each layer its past inputs (taps · dilation, C), the one of step t in row t % length
        self.rings = [
            weight.new_zeros(count, taps * dilation, weight.shape[1])
            for dilation in decoder.config.dilations
        ]
        self.position = torch.zeros(count, dtype=torch.int64, device=weight.device)
        self.level = self.position.new_full((count, decoder.bands), decoder.start)
        long_term = decoder.long_term
        steps, lag = (0, 0) if long_term is None else (long_term.history, long_term.longest)
        self.history = self.position.new_full((count, steps, decoder.bands), decoder.start)
        self.lag, self.weight = self.position.new_full((count,), lag), weight.new_zeros(count)
        # Apple's GPUs have no float64; there the distribution is computed in float32
        self.precision = torch.float32 if weight.device.type == "mps" else torch.float64
        self._recorded: tuple[tuple[int, ...], Distribution, _Advance] | None = None

    def restart(self, slot: int) -> None:
        """Reset a slot for another utterance."""
        for ring in self.rings:
            ring[slot] = 0
        self.position[slot] = 0
        self.level[slot] = self.decoder.start
        self.history[slot] = self.decoder.start

    def replace(self, slots: Sequence[int], levels: np.ndarray) -> None:
        """Take `levels` (B, J) for those of the last step, where these were known beforehand."""
        self.level[list(slots)] = torch.tensor(levels).to(self.level)

    @torch.inference_mode()
    def draw(
        self,
        slots: Sequence[int],
        condition: np.ndarray,
        period: int,
        uniforms: np.ndarray,
        distribution: Distribution = Distribution(),  # noqa: B008
    ) -> np.ndarray:
        """Levels (B, M·P, J) int32 of the next steps; arguments as those of `engine.Streams`."""
        wanted = tuple(slots), distribution
        if self._recorded is None or self._recorded[:2] != wanted:  # else the step is reused
            self._recorded = *wanted, _Advance(self, slots, distribution)
        advance, device = self._recorded[2], self.level.device
        projected = self._projected(condition)
        u = torch.tensor(np.asarray(uniforms), dtype=self.precision, device=device)
        drawn = torch.empty(u.shape, dtype=torch.int32, device=device)
        for n in range(drawn.shape[1]):
            if n % period == 0:
                self._listen(advance.places)
                advance.conditions.copy_(projected[:, n // period])
            advance.u.copy_(u[:, n])
            advance.run()
            drawn[:, n] = self.level[advance.places]
        return drawn.cpu().numpy()

    @torch.inference_mode()
    def score(
        self, slots: Sequence[int], condition: np.ndarray, period: int, levels: np.ndarray
    ) -> np.ndarray:
        """Logits (B, M·P, J, V) float32 of the next steps, given `levels` (B, M·P, J)."""
        places = torch.tensor(list(slots), device=self.level.device)
        projected = self._projected(condition)
        given = torch.tensor(np.asarray(levels), dtype=torch.int64, device=self.level.device)
        logits = []
        for n in range(given.shape[1]):
            if n % period == 0:
                self._listen(places)
            logits.append(self.step(places, projected[:, n // period]))
            self.take(places, given[:, n])
        return torch.stack(logits, dim=1).float().cpu().numpy()

    def _projected(self, condition: np.ndarray) -> Tensor:
        """Condition vectors (B, M, G) projected for each layer: (B, M, L, 2C)."""
        vectors = torch.tensor(np.asarray(condition)).to(self.decoder.embed.weight)
        return self.decoder.condition(vectors).unflatten(-1, (len(self.rings), -1))

    def _listen(self, places: Tensor) -> None:
        """Find the lags of the long-term predictor, at the first step of a condition vector."""
        long_term = self.decoder.long_term
        if long_term is not None:
            lag, weight = long_term.lags(self.history[places, :, 0], dtype=self.precision)
            self.lag[places], self.weight[places] = lag[:, 0], weight[:, 0].to(self.weight)

    def take(self, places: Tensor, levels: Tensor) -> None:
        """Go on with the levels (B, J) of a step."""
        self.level[places] = levels
        self.position[places] += 1
        if self.decoder.long_term is not None:
            past = self.history[places]
            self.history[places] = torch.cat([past[:, 1:], levels.unsqueeze(1)], dim=1)

    def step(self, places: Tensor, conditions: Tensor) -> Tensor:
        """Logits (B, J, V) of the next step; each layer's input goes into its ring."""
        decoder, t = self.decoder, self.position[places]
        h = decoder.embedded(self.level[places])
        if (long_term := decoder.long_term) is not None:
            around = long_term.around(self.history[places], self.lag[places])
            h = h + long_term.embedded(around, self.weight[places])
        skips = h.new_zeros(())
        for i, (layer, ring) in enumerate(zip(decoder.layers, self.rings, strict=True)):
            length = ring.shape[1]
            past = [
                ring[places, (t + tap * layer.dilation) % length]
                for tap in range(layer.kernel_size - 1)
            ]
            ring[places, t % length] = h
            z = layer.gates(torch.cat([*past, h], dim=-1)) + conditions[:, i]
            filter_, gate = z.chunk(2, dim=-1)
            outputs = layer.outputs(filter_.tanh() * gate.sigmoid())
            residual, skip = outputs.tensor_split([h.shape[-1]], dim=-1)
            h = h + residual
            skips = skips + skip
        logits = decoder.output(F.relu(decoder.hidden(F.relu(skips))))
        return logits.unflatten(-1, (decoder.bands, decoder.levels))


class _Advance:
    """One recorded step of some of the utterances: all inputs and outputs are fixed tensors."""

    def __init__(self, streams: ReferenceStreams, slots: Sequence[int], distribution: Distribution):
        like, count = streams.decoder.embed.weight, len(slots)
        self.places = torch.tensor(list(slots), device=like.device)
        self.conditions = like.new_zeros(count, len(streams.rings), 2 * like.shape[1])
        self.u = like.new_zeros(count, streams.decoder.bands, dtype=streams.precision)

        def step() -> None:
            logits = streams.step(self.places, self.conditions).to(self.u.dtype)
            streams.take(self.places, _draw_levels(logits, self.u, distribution))

        state = [*streams.rings, streams.position, streams.level, streams.history]
        self.run = _recorded(step, state)


def _draw_levels(logits: Tensor, u: Tensor, distribution: Distribution) -> Tensor:
    """Inverse-CDF sampling: levels (…) of logits (…, V), given random numbers u (…)."""
    weights = ((logits - logits.amax(-1, keepdim=True)) / distribution.temperature).exp()
    if distribution.top_k is not None or distribution.top_p not in (None, 1):
        likeliest, order = weights.sort(dim=-1, descending=True, stable=True)
        before = likeliest.cumsum(-1) - likeliest
        top_p = 1.0 if distribution.top_p is None else distribution.top_p
        kept = before < top_p * weights.sum(-1, keepdim=True)
        if distribution.top_k is not None:
            kept[..., distribution.top_k :] = False
        weights = torch.zeros_like(weights).scatter(-1, order, likeliest * kept)
    cumulative = weights.cumsum(-1)
    level = torch.searchsorted(cumulative, u.unsqueeze(-1) * cumulative[..., -1:], right=True)
    last = (cumulative < cumulative[..., -1:]).sum(-1)  # the last level of non-zero probability
    return level.squeeze(-1).minimum(last)


def _recorded(step: Callable[[], None], state: list[Tensor]) -> Callable[[], None]:
    """The step as a CUDA graph; the step itself on other devices, or if recording fails.

    Recording runs the step a few times; `state`, all tensors that it changes, is restored.
    """
    if state[0].device.type != "cuda":
        return step
    before = [tensor.clone() for tensor in state]
    graph = torch.cuda.CUDAGraph()
    try:
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(aside)
        with torch.cuda.graph(graph):
            step()
        run = graph.replay
    except RuntimeError as error:
        logger.info("the step cannot be recorded, every operation is launched (%s)", error)
        run = step
    for tensor, earlier in zip(state, before, strict=True):
        tensor.copy_(earlier)
    return run
