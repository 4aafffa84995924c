"""Settings of a model's networks.

`EncoderConfig` and `DecoderConfig`, like `FeatureConfig`, are open unions: a subclass that is
imported, in the package or outside of it, is known by the value of its field `kind`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar, Literal

from speechvq.config.checks import at_least
from speechvq.config.features import FeatureConfig, NormalisedCepstraConfig, WaveformConfig


@dataclass(frozen=True)
class EncoderConfig:
    """The encoder: from the waveform, or from feature frames, to latents."""

    TAG: ClassVar[str] = "kind"

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

    def __post_init__(self):
        object.__setattr__(self, "strides", tuple(self.strides))
        if not self.strides:
            raise ValueError("strides: at least one stride is needed, such as [2, 2, 2, 2, 2, 2]")
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
        at_least(0, "residual_layers", self.residual_layers)

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
class ContextEncoderConfig(EncoderConfig):
    """A linear map of feature frames and, on top, a residual context network.

    Attributes
    ----------
    kind : {"context"}
    channels : int
        Width of the context network.
    residual_layers : int
        Residual convolutions of the context network; 0 leaves the linear map alone.
    """

    kind: Literal["context"] = "context"
    channels: int = 96
    residual_layers: int = 0

    def __post_init__(self):
        at_least(1, "channels", self.channels)
        at_least(0, "residual_layers", self.residual_layers)

    @property
    def hop_length(self) -> int:
        """Feature frames per latent."""
        return 1


@dataclass(frozen=True)
class QuantizerConfig:
    """The vector quantizer.

    Attributes
    ----------
    codebook_size : int
        K, the number of codes.
    codebook_dim : int
        D, the size of a code vector.
    update : {"ema", "loss"}
        Learn the codebook by exponential moving averages (appendix A.1) or by the codebook loss
        (equation 3).
    decay : float
        Decay of the moving averages, also used to watch how often each code is used.
    beta : float
        Weight of the commitment loss.
    restart_below : float
        A code used less often than this share of the uniform 1/K is moved onto a latent of the
        current batch; 0 turns restarts off.
    """

    codebook_size: int = 512
    codebook_dim: int = 64
    update: Literal["ema", "loss"] = "ema"
    decay: float = 0.99
    beta: float = 0.25
    restart_below: float = 0.02

    def __post_init__(self):
        at_least(2, "codebook_size", self.codebook_size)
        at_least(1, "codebook_dim", self.codebook_dim)
        for name in ("beta", "restart_below"):
            at_least(0, name, getattr(self, name))
        if not 0 < self.decay < 1:
            raise ValueError(f"decay: must lie between 0 and 1, got {self.decay}")


@dataclass(frozen=True)
class WaveNetConfig:
    """A stack of dilated causal gated layers over a sequence of integers.

    Attributes
    ----------
    layers : int
        Number of gated residual layers.
    dilation_cycle : int
        Dilations run 1, 2, 4, … 2**(dilation_cycle - 1) and start again.
    kernel_size : int
        Taps of each dilated convolution.
    residual_channels, skip_channels : int
        Widths of the two paths through the stack.
    output_channels : int
        Width of the hidden layer between the summed skips and the softmax.
    dropout : float
        Share of a layer's inputs, and of the summed skips, that are left out in training.
    """

    layers: int = 20
    dilation_cycle: int = 10
    kernel_size: int = 2
    residual_channels: int = 64
    skip_channels: int = 64
    output_channels: int = 256
    dropout: float = 0.0

    def __post_init__(self):
        for name in ("layers", "dilation_cycle", "residual_channels", "skip_channels"):
            at_least(1, name, getattr(self, name))
        at_least(2, "kernel_size", self.kernel_size)
        at_least(1, "output_channels", self.output_channels)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: must be at least 0 and below 1, got {self.dropout}")

    @property
    def dilations(self) -> tuple[int, ...]:
        """The dilation of each layer, in steps."""
        return tuple(2 ** (i % self.dilation_cycle) for i in range(self.layers))

    @property
    def receptive_field(self) -> int:
        """How many past steps a prediction depends on."""
        return 1 + (self.kernel_size - 1) * sum(self.dilations)


@dataclass(frozen=True)
class ConditionerConfig:
    """From quantized latents and a speaker to condition vectors.

    Attributes
    ----------
    channels : int
        Width of the condition vectors and of the speaker embedding.
    upsample : int
        Condition vectors per code; must divide the hop length.
    layers : int
        Convolutions over the condition vectors; 0 conditions on each code by itself.
    """

    channels: int = 64
    upsample: int = 1
    layers: int = 0

    def __post_init__(self):
        for name in ("channels", "upsample"):
            at_least(1, name, getattr(self, name))
        at_least(0, "layers", self.layers)


@dataclass(frozen=True)
class DecoderConfig:
    """The decoder: from codes and a speaker to a waveform."""

    TAG: ClassVar[str] = "kind"

    def check(self, hop_length: int) -> None:
        """Refuse a hop length, in samples, that the decoder cannot serve (ValueError)."""


@dataclass(frozen=True)
class WaveNetDecoderConfig(DecoderConfig):
    """A WaveNet, conditioned on codes and speaker.

    Attributes
    ----------
    kind : {"wavenet"}
    conditioner : ConditionerConfig
    subbands : int
        PQMF sub-bands that are drawn at each step, each at a part of the sample rate
        (models/pqmf.py). The paper's decoder draws the waveform itself: 1.
    wavenet : WaveNetConfig
    """

    kind: Literal["wavenet"] = "wavenet"
    conditioner: ConditionerConfig = field(default_factory=ConditionerConfig)
    subbands: int = 1
    wavenet: WaveNetConfig = field(default_factory=WaveNetConfig)

    def __post_init__(self):
        at_least(1, "subbands", self.subbands)

    def check(self, hop_length: int) -> None:
        """Refuse a hop length, in samples, that condition vectors or sub-bands do not divide."""
        upsample = self.conditioner.upsample
        if hop_length % upsample:
            raise ValueError(
                f"conditioner.upsample: {upsample} does not divide the hop length {hop_length}, "
                "the product of the strides"
            )
        if hop_length // upsample % self.subbands:
            raise ValueError(
                f"subbands: {self.subbands} does not divide the {hop_length} / {upsample} samples "
                "of a condition vector"
            )


@dataclass(frozen=True)
class MelPredictorConfig:
    """What predicts log-mel frames from codes and a speaker, for the mel post-filter.

    Its conditioner has the shape of the decoder's, or that of `ConditionerConfig` for a decoder
    without conditioner.

    Attributes
    ----------
    bands : int
        Mel bands; 0 for a model without predictor and post-filter, as in the paper.
    """

    bands: int = 0

    def __post_init__(self):
        at_least(0, "bands", self.bands)


@dataclass(frozen=True)
class ModelConfig:
    """A VQ-VAE for speech: features, encoder, quantizer, decoder and post-filter.

    Attributes
    ----------
    sample_rate : int
        Hz, of all audio in and out.
    features : FeatureConfig
        What the encoder is given of a recording; in the paper the waveform.
    encoder : EncoderConfig
    quantizer : QuantizerConfig
    decoder : DecoderConfig
    mel_predictor : MelPredictorConfig
        Not in the paper.
    """

    sample_rate: int = 16000
    features: FeatureConfig = field(default_factory=WaveformConfig)
    encoder: EncoderConfig = field(default_factory=StridedEncoderConfig)
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    decoder: DecoderConfig = field(default_factory=WaveNetDecoderConfig)
    mel_predictor: MelPredictorConfig = field(default_factory=MelPredictorConfig)

    def __post_init__(self):
        at_least(1, "sample_rate", self.sample_rate)
        on_waveform = isinstance(self.features, WaveformConfig)
        if isinstance(self.encoder, ContextEncoderConfig) and on_waveform:
            raise ValueError(
                "encoder.kind: context wants feature frames, and features.kind is waveform; take "
                "features of kind normalised_cepstra, or an encoder of kind strided"
            )
        if isinstance(self.encoder, StridedEncoderConfig) and not on_waveform:
            raise ValueError(
                "encoder.kind: strided wants the waveform; take features of kind waveform, or an "
                "encoder of kind context"
            )
        D = self.quantizer.codebook_dim
        if isinstance(self.features, NormalisedCepstraConfig) and self.features.cepstra != D:
            raise ValueError(
                f"features.cepstra: {self.features.cepstra}, and quantizer.codebook_dim is {D}; "
                "the latents are cepstra, so give both the same number"
            )
        try:
            self.decoder.check(self.hop_length)
        except ValueError as error:
            raise ValueError(f"decoder.{error}") from error

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return self.features.hop_length * self.encoder.hop_length

    @property
    def frame_rate(self) -> float:
        """Codes per second."""
        return self.sample_rate / self.hop_length


@dataclass(frozen=True)
class PriorConfig:
    """A WaveNet over the codes of a VQ-VAE.

    Attributes
    ----------
    by_speaker : bool
        Whether the prior is conditioned on the speaker.
    condition_channels : int
        Width of the condition: of the speaker embedding, and of what a caller adds.
    wavenet : WaveNetConfig
    """

    by_speaker: bool = True
    condition_channels: int = 32
    wavenet: WaveNetConfig = field(default_factory=WaveNetConfig)

    def __post_init__(self):
        at_least(1, "condition_channels", self.condition_channels)
