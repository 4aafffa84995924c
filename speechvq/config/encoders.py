"""Settings of encoders.

`EncoderConfig` is an open union: a subclass that is imported, in the package or outside of it, is
known by the value of its field `kind`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar, Literal

from speechvq.config.checks import BANDS, LAYERS, NUMBERS, above_zero, at_least


@dataclass(frozen=True)
class EncoderConfig:
    """The encoder: from the waveform, or from feature frames, to latents."""

    TAG: ClassVar[str] = "kind"
    REMOVED: ClassVar[dict[str, str]] = {
        "context": "gone, with features of kind normalised_cepstra; take streaming or strided"
    }

    @property
    def hop_length(self) -> int:
        """Samples, or feature frames, per latent."""
        raise NotImplementedError


@dataclass(frozen=True)
class StridedEncoderConfig(EncoderConfig):
    """Strided convolutions of the raw waveform (section 4.3).

    Attributes
    ----------
    kind : {"strided"}
    strides : tuple of int
        Stride of each convolution; the window is twice the stride. Their product is the hop length
        in samples: 64 in the paper's VCTK model, 640 in its phoneme model.
    channels : int or tuple of int
        Width: one for all convolutions, or one for each. Narrow first layers, which run at the
        highest rates, save most of the time.
    filterbank : bool
        Take a learned filterbank of log powers as the first layer (features/filterbank.py); it
        wants a large first stride. The paper's first layer is a convolution like the others.
    residual_layers : int
        Residual convolutions after the last stride. The paper has none.
    norm : bool
        Layer normalisation of the activations. The paper has none; short runs learn faster with
        it.
    """

    kind: Literal["strided"] = "strided"
    strides: tuple[int, ...] = (2, 2, 2, 2, 2, 2)
    channels: int | tuple[int, ...] = 256
    filterbank: bool = False
    residual_layers: int = 0
    norm: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "strides", tuple(self.strides))
        if not self.strides:
            raise ValueError("strides: at least one stride is needed, such as [2, 2, 2, 2, 2, 2]")
        at_least(1, "number of strides", len(self.strides), 100)
        for stride in self.strides:
            at_least(2, "strides", stride)
        if isinstance(self.channels, Sequence):
            object.__setattr__(self, "channels", tuple(self.channels))
        if len(self.widths) != len(self.strides):
            raise ValueError(
                f"channels: {len(self.widths)} widths for {len(self.strides)} strides; give one "
                "for each, or a single number"
            )
        for width in self.widths:
            at_least(1, "channels", width)
        if self.filterbank:
            at_least(1, "channels times strides", self.widths[0] * self.strides[0], NUMBERS)
        at_least(0, "residual_layers", self.residual_layers, LAYERS)

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of each convolution."""
        if isinstance(self.channels, int):
            return (self.channels,) * len(self.strides)
        return self.channels

    @property
    def hop_length(self) -> int:
        """Samples per latent."""
        return prod(self.strides)


@dataclass(frozen=True)
class StreamingStackConfig:
    """Residual convolutions of 3 taps with layer normalisation and a bounded lookahead.

    Attributes
    ----------
    channels : int
        Width.
    dilations : tuple of int
        Steps between the taps of each layer.
    lookahead : tuple of int
        Steps that the last tap of each layer looks ahead; their sum is the delay of the stack.
    """

    channels: int = 288
    dilations: tuple[int, ...] = (1, 2, 4, 8, 1, 2, 4, 8)
    lookahead: tuple[int, ...] = (1, 2, 2, 0, 1, 2, 2, 0)

    def __post_init__(self) -> None:
        at_least(1, "channels", self.channels)
        for name in ("dilations", "lookahead"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        at_least(0, "number of dilations", len(self.dilations), LAYERS)
        if len(self.dilations) != len(self.lookahead):
            raise ValueError(
                f"lookahead: {len(self.lookahead)} numbers for {len(self.dilations)} dilations; "
                "give one for each"
            )
        for dilation, ahead in zip(self.dilations, self.lookahead, strict=True):
            at_least(1, "dilations", dilation)
            if not 0 <= ahead <= 2 * dilation:
                raise ValueError(
                    f"lookahead: must be 0 to twice the dilation {dilation}, got {ahead}"
                )


@dataclass(frozen=True)
class StreamingEncoderConfig(EncoderConfig):
    """An encoder of the raw waveform that runs while the recording arrives.

    A learned filterbank of log powers, of which a running mean is subtracted, and residual
    convolutions with a bounded lookahead. The codes of a stream are those of the whole recording.

    Attributes
    ----------
    kind : {"streaming"}
    stride : int
        Samples per latent: the stride of the filterbank, whose filters are twice as long.
    bands : int
        Filters of the filterbank.
    memory : float
        Seconds of speech after which the running mean has forgotten all but 1/e.
    prior : float
        Seconds of speech that the mean at the beginning of a recording counts as; it is a mean of
        the training speech.
    stack : StreamingStackConfig
    """

    kind: Literal["streaming"] = "streaming"
    stride: int = 160
    bands: int = 128
    memory: float = 4.0
    prior: float = 0.3
    stack: StreamingStackConfig = field(default_factory=StreamingStackConfig)

    def __post_init__(self) -> None:
        at_least(2, "stride", self.stride)
        at_least(1, "bands", self.bands, BANDS)
        at_least(1, "bands times stride", self.bands * self.stride, NUMBERS)
        for name in ("memory", "prior"):
            above_zero(name, getattr(self, name))

    @property
    def hop_length(self) -> int:
        """Samples per latent."""
        return self.stride
