"""Residual convolutions with a bounded lookahead, on whole sequences and on streams.

A layer has three taps `dilation` steps apart, of which the last one looks `lookahead` steps ahead.
As a matrix product over shifted frames it is a third faster than `Conv1d` on a CPU.

Shapes: B batch, N steps, C channels, S speaker_dim.
"""

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import StreamingStackConfig

OUTPUT_SCALE = 0.3
"""Factor of a layer's initial output weights, so that a deep stack starts near the identity."""


class StreamingLayer(nn.Module):
    """x + W relu(window of 3 * norm(x)).

    With a speaker, the convolution's output is scaled and shifted by projections of the speaker's
    vector (FiLM: Perez et al., 2018).

    Parameters
    ----------
    channels : int
        C.
    dilation, lookahead : int
        Steps.
    speaker_dim : int
        S; 0 for a layer without speaker.
    """

    def __init__(self, channels: int, dilation: int, lookahead: int, speaker_dim: int = 0):
        super().__init__()
        self.dilation, self.lookahead = dilation, lookahead
        self.norm = nn.LayerNorm(channels)
        self.window = nn.Linear(3 * channels, channels)
        self.output = nn.Linear(channels, channels)
        self.speaker = nn.Linear(speaker_dim, 2 * channels, bias=False) if speaker_dim else None
        with torch.no_grad():
            self.output.weight.mul_(OUTPUT_SCALE)
            self.output.bias.zero_()
            if self.speaker is not None:
                self.speaker.weight[:channels].zero_()  # no scaling at first

    @property
    def past(self) -> int:
        """Steps before its own that an output depends on."""
        return 2 * self.dilation - self.lookahead

    def forward(self, x: Tensor, speaker: Tensor | None = None) -> Tensor:
        """(B, N, C) to (B, N, C), for speaker vectors (B, S); zeros outside of the sequence."""
        film = None if speaker is None else self.film(speaker)
        return x + self.change(F.pad(self.normed(x), (0, 0, self.past, self.lookahead)), film)

    def film(self, speaker: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift (B, 1, C) of speaker vectors (B, S)."""
        assert self.speaker is not None
        scale, shift = self.speaker(speaker).unsqueeze(1).chunk(2, dim=-1)
        return 1 + scale, shift

    def normed(self, x: Tensor) -> Tensor:
        """Input of the convolution, in its precision."""
        device = x.device.type
        y = self.norm(x)
        return y.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else y

    def change(self, y: Tensor, film: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """What is added to x (B, N, C), of normed inputs (B, past + N + lookahead, C)."""
        N = y.shape[1] - 2 * self.dilation
        taps = [y[:, tap * self.dilation :][:, :N] for tap in range(3)]
        y = self.window(torch.cat(taps, dim=-1))
        if film is not None:
            scale, shift = film
            y = y * scale + shift
        return self.output(torch.relu(y))


class StreamingStack(nn.Module):
    """A stack of `StreamingLayer`.

    Parameters
    ----------
    config : StreamingStackConfig
    speaker_dim : int
        S; 0 for a stack without speaker.
    """

    def __init__(self, config: StreamingStackConfig, speaker_dim: int = 0):
        super().__init__()
        layers = nn.ModuleList(
            StreamingLayer(config.channels, dilation, lookahead, speaker_dim)
            for dilation, lookahead in zip(config.dilations, config.lookahead, strict=True)
        )
        self.layers = cast(Sequence[StreamingLayer], layers)

    @property
    def past(self) -> int:
        """Steps before its own that an output depends on."""
        return sum(layer.past for layer in self.layers)

    @property
    def lookahead(self) -> int:
        """Steps after its own that an output depends on."""
        return sum(layer.lookahead for layer in self.layers)

    def forward(self, x: Tensor, speaker: Tensor | None = None) -> Tensor:
        """(B, N, C) to (B, N, C), for speaker vectors (B, S)."""
        for layer in self.layers:
            x = layer(x, speaker)
        return x

    def stream(self, speaker: Tensor | None = None) -> "StackStream":
        """The stack on a sequence that comes in pieces, for speaker vectors (B, S)."""
        return StackStream(self, speaker)


class StackStream:
    """A stack on a sequence that comes in pieces, for B speakers at once; 1 where it has none.

    All pieces of output together are the output for the whole sequence, up to rounding.
    """

    def __init__(self, stack: StreamingStack, speaker: Tensor | None):
        self._batch = 1 if speaker is None else len(speaker)
        self._layers = [_LayerStream(layer, speaker, self._batch) for layer in stack.layers]

    def add(self, x: Tensor) -> Tensor:
        """Take steps (1, n, C); give the steps (B, m, C), m from 0, that are known now."""
        x = x.expand(self._batch, -1, -1)
        for layer in self._layers:
            x = layer.add(x)
        return x

    def end(self, x: Tensor | None = None) -> Tensor:
        """Take the last steps (1, n, C), if there are any; give the remaining ones (B, m, C)."""
        x = self._layers[0]._held[:, :0] if x is None else x.expand(self._batch, -1, -1)
        for layer in self._layers:
            x = layer.end(x)
        return x


class _LayerStream:
    def __init__(self, layer: StreamingLayer, speaker: Tensor | None, batch: int):
        self._layer = layer
        self._film = None if speaker is None else layer.film(speaker)
        like = layer.norm.weight
        # Of the next output: the steps before it, normed; and inputs from it on
        self._normed = like.new_zeros(batch, layer.past, len(like))
        self._held = like.new_zeros(batch, 0, len(like))

    def add(self, x: Tensor) -> Tensor:
        self._held = torch.cat([self._held, x], dim=1)
        return self._known(self._layer.normed(x))

    def end(self, x: Tensor) -> Tensor:
        self._held = torch.cat([self._held, x], dim=1)
        return self._known(F.pad(self._layer.normed(x), (0, 0, 0, self._layer.lookahead)))

    def _known(self, normed: Tensor) -> Tensor:
        self._normed = torch.cat([self._normed, normed], dim=1)
        n = max(0, self._normed.shape[1] - 2 * self._layer.dilation)
        if not n:
            return self._held[:, :0]
        known = self._held[:, :n] + self._layer.change(self._normed, self._film)
        self._normed, self._held = self._normed[:, n:], self._held[:, n:]
        return known
