"""The sampler's plain PyTorch form: one cached step after the other, on any device.

It is what the compiled engine is compared with, and what draws on a GPU. Both have the same
methods, so that either stands behind `sample`. All that a step reads and changes has its place in
memory for good, so that a GPU can record one step and play it again, with no work for Python.

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
from speechvq.sampling.choice import Choice

logger = logging.getLogger(__name__)


class Step:
    """A decoder that draws with its own weights; see `engine.Engine`."""

    def __init__(self, decoder: WaveNet):
        self.decoder = decoder

    def streams(self, count: int) -> StepStreams:
        """Places for `count` utterances that are drawn together."""
        return StepStreams(self.decoder, count)


class StepStreams:
    """Utterances on their way; see `engine.Streams`, whose methods these are."""

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
        # Apple's GPUs know no float64; there the choice is made in float32
        self.precision = torch.float32 if weight.device.type == "mps" else torch.float64
        self._ready_for, self._advance = None, None

    def restart(self, slot: int) -> None:
        """Make a place ready for another utterance."""
        for ring in self.rings:
            ring[slot] = 0
        self.position[slot] = 0
        self.level[slot] = self.decoder.start

    @torch.inference_mode()
    def draw(
        self,
        slots: Sequence[int],
        condition: np.ndarray,
        period: int,
        uniforms: np.ndarray,
        choice: Choice = Choice(),  # noqa: B008
    ) -> np.ndarray:
        """Levels (B, M·P, J) int32 of the next steps; arguments as those of `engine.Streams`."""
        if self._ready_for != (tuple(slots), choice):  # else it goes on as in the last chunk
            self._ready_for = tuple(slots), choice
            self._advance = _Advance(self, slots, choice)
        advance, device = self._advance, self.level.device
        projected = self._projected(condition)
        u = torch.tensor(np.asarray(uniforms), dtype=self.precision, device=device)
        drawn = torch.empty(u.shape, dtype=torch.int32, device=device)
        for n in range(drawn.shape[1]):
            if n % period == 0:
                advance.conditions.copy_(projected[:, n // period])
            advance.u.copy_(u[:, n])
            advance.run()
            drawn[:, n] = self.level[advance.places]
        return drawn.cpu().numpy()

    @torch.inference_mode()
    def score(
        self, slots: Sequence[int], condition: np.ndarray, period: int, levels: np.ndarray
    ) -> np.ndarray:
        """Logits (B, M·P, J, V) float32 of the next steps, taken to be `levels` (B, M·P, J)."""
        places = torch.tensor(list(slots), device=self.level.device)
        projected = self._projected(condition)
        given = torch.tensor(np.asarray(levels), dtype=torch.int64, device=self.level.device)
        logits = []
        for n in range(given.shape[1]):
            logits.append(self.step(places, projected[:, n // period]))
            self.level[places] = given[:, n]
            self.position[places] += 1
        return torch.stack(logits, dim=1).float().cpu().numpy()

    def _projected(self, condition: np.ndarray) -> Tensor:
        """What the layers hear of condition vectors (B, M, G): (B, M, L, 2C)."""
        vectors = torch.tensor(np.asarray(condition)).to(self.decoder.embed.weight)
        return self.decoder.condition(vectors).unflatten(-1, (len(self.rings), -1))

    def step(self, places: Tensor, conditions: Tensor) -> Tensor:
        """Logits (B, J, V) of the next step; each layer's input goes into its ring."""
        decoder, t = self.decoder, self.position[places]
        h = decoder.embedded(self.level[places])
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
    """One step of some of the utterances, recorded: all that changes between two is in tensors."""

    def __init__(self, streams: StepStreams, slots: Sequence[int], choice: Choice):
        like, count = streams.decoder.embed.weight, len(slots)
        self.places = torch.tensor(list(slots), device=like.device)
        self.conditions = like.new_zeros(count, len(streams.rings), 2 * like.shape[1])
        self.u = like.new_zeros(count, streams.decoder.bands, dtype=streams.precision)

        def step() -> None:
            logits = streams.step(self.places, self.conditions).to(self.u.dtype)
            streams.level[self.places] = _choose(logits, self.u, choice)
            streams.position[self.places] += 1

        self.run = _recorded(step, [*streams.rings, streams.position, streams.level])


def _choose(logits: Tensor, u: Tensor, choice: Choice) -> Tensor:
    """The level (…) at which the distribution of logits (…, V) has gathered the share u (…)."""
    weights = ((logits - logits.amax(-1, keepdim=True)) / choice.temperature).exp()
    if choice.top_k is not None or choice.top_p is not None:
        likeliest, order = weights.sort(dim=-1, descending=True, stable=True)
        before = likeliest.cumsum(-1) - likeliest
        top_p = 1.0 if choice.top_p is None else choice.top_p
        kept = before < top_p * weights.sum(-1, keepdim=True)
        if choice.top_k is not None:
            kept[..., choice.top_k :] = False
        weights = torch.zeros_like(weights).scatter(-1, order, likeliest * kept)
    gathered = weights.cumsum(-1)
    level = torch.searchsorted(gathered, u.unsqueeze(-1) * gathered[..., -1:], right=True)
    last = (gathered < gathered[..., -1:]).sum(-1)  # the last level that can come at all
    return level.squeeze(-1).minimum(last)


def _recorded(step: Callable[[], None], state: list[Tensor]) -> Callable[[], None]:
    """The same step as a CUDA graph, played without Python; elsewhere, or if it fails, as it is.

    To record it, it must run a few times: `state`, all that it changes, is put back afterwards.
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
        played = graph.replay
    except RuntimeError as error:
        logger.info("the step cannot be recorded, every operation is launched (%s)", error)
        played = step
    for tensor, earlier in zip(state, before, strict=True):
        tensor.copy_(earlier)
    return played
