"""Settings of a model's networks.

`DecoderConfig` and `MelPredictorConfig`, like `EncoderConfig` and `FeatureConfig`, are open unions:
a subclass that is imported, in the package or outside of it, is known by the value of its field
`kind`.
"""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from speechvq.config.checks import BANDS, LAYERS, NUMBERS, above_zero, at_least, share
from speechvq.config.encoders import (
    EncoderConfig,
    StreamingEncoderConfig,
    StreamingStackConfig,
    StridedEncoderConfig,
)
from speechvq.config.features import FeatureConfig, WaveformConfig


@dataclass(frozen=True)
class QuantizerConfig:
    """The vector quantizer.

    Attributes
    ----------
    codebook_size : int
        K, the number of codes.
    codebook_dim : int
        D, the size of a latent.
    codebooks : int
        G: with more than one, each quantizes its own D / G components of a latent (product
        quantization), and a code has G integers. The paper has one.
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
    codebooks: int = 1
    update: Literal["ema", "loss"] = "ema"
    decay: float = 0.99
    beta: float = 0.25
    restart_below: float = 0.02

    def __post_init__(self) -> None:
        at_least(2, "codebook_size", self.codebook_size)
        at_least(1, "codebook_dim", self.codebook_dim)
        numbers = self.codebook_size * self.codebook_dim
        at_least(1, "codebook_size times codebook_dim", numbers, NUMBERS)
        at_least(1, "codebooks", self.codebooks, LAYERS)
        if self.codebook_dim % self.codebooks:
            raise ValueError(
                f"codebooks: {self.codebooks} do not divide the {self.codebook_dim} components of "
                "a latent (codebook_dim)"
            )
        for name in ("beta", "restart_below"):
            at_least(0, name, getattr(self, name))
        if not 0 < self.decay < 1:
            raise ValueError(f"decay: must lie between 0 and 1, got {self.decay}")

    @property
    def bits(self) -> float:
        """KL(q(z|x) ‖ p(z)) = log K for a one-hot q and a uniform p (section 3.1), in bits.

        For the G codebooks of a product code together.
        """
        return self.codebooks * math.log2(self.codebook_size)

    @property
    def description(self) -> str:
        """The number and size of the codebooks, for people."""
        one = self.codebooks == 1
        return f"{'a codebook' if one else f'{self.codebooks} codebooks'} of {self.codebook_size}"


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

    def __post_init__(self) -> None:
        for name in ("residual_channels", "skip_channels", "output_channels"):
            at_least(1, name, getattr(self, name))
        at_least(2, "kernel_size", self.kernel_size)
        at_least(1, "layers", self.layers, LAYERS)
        at_least(1, "dilation_cycle", self.dilation_cycle, 20)
        at_least(1, "receptive_field", self.receptive_field)
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

    def __post_init__(self) -> None:
        for name in ("channels", "upsample"):
            at_least(1, name, getattr(self, name))
        at_least(0, "layers", self.layers, LAYERS)


@dataclass(frozen=True)
class DecoderConfig:
    """The decoder: from codes and a speaker to a waveform."""

    TAG: ClassVar[str] = "kind"
    mel_condition = False
    """Whether it is conditioned on the mel predictor's frames, too; a setting of some decoders."""

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
    long_term : bool
        Give the WaveNet its own elements of a pitch period ago, too (models/long_term.py). Not in
        the paper.
    mel_condition : bool
        Condition on the frames of the mel predictor, too, and not on codes and speaker alone.
    top_p : float
        Nucleus that waveforms are drawn from where none is asked for; 1 for exactly the
        decoder's distribution. It does not concern training.
    wavenet : WaveNetConfig
    """

    kind: Literal["wavenet"] = "wavenet"
    conditioner: ConditionerConfig = field(default_factory=ConditionerConfig)
    subbands: int = 1
    long_term: bool = False
    mel_condition: bool = False
    top_p: float = 1.0
    wavenet: WaveNetConfig = field(default_factory=WaveNetConfig)

    def __post_init__(self) -> None:
        at_least(1, "subbands", self.subbands, BANDS)
        above_zero("top_p", self.top_p)
        share("top_p", self.top_p)

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
    """What predicts log-mel frames from codes and a speaker.

    Attributes
    ----------
    bands : int
        Mel bands; 0 for a model without predictor and post-filter, as in the paper.
    """

    TAG: ClassVar[str] = "kind"

    bands: int = 0

    def __post_init__(self) -> None:
        at_least(0, "bands", self.bands, BANDS)


@dataclass(frozen=True)
class ConditionerMelPredictorConfig(MelPredictorConfig):
    """A conditioner of the shape of the decoder's, and a linear layer.

    For a decoder without conditioner it has the shape of `ConditionerConfig`.

    Attributes
    ----------
    kind : {"conditioner"}
    bands : int
        As in `MelPredictorConfig`.
    """

    kind: Literal["conditioner"] = "conditioner"


@dataclass(frozen=True)
class StreamingMelPredictorConfig(MelPredictorConfig):
    """Residual convolutions with a bounded lookahead, each scaled and shifted by the speaker.

    It gives one log-mel frame a code.

    Attributes
    ----------
    kind : {"streaming"}
    bands : int
        As in `MelPredictorConfig`.
    speaker_dim : int
        Size of a speaker vector.
    floor : float
        Added to the powers of mel bands before the logarithm; what is far below is not learned.
    guidance : float
        What is drawn is filtered to frames that are so much further from the average speaker's
        than the speaker's own are, 0 or more: see `postfilter.guidance`. Nothing learns from it.
    stack : StreamingStackConfig
    """

    kind: Literal["streaming"] = "streaming"
    bands: int = 80
    speaker_dim: int = 128
    floor: float = 1e-6
    guidance: float = 0.15
    stack: StreamingStackConfig = field(
        default_factory=lambda: StreamingStackConfig(lookahead=(1, 2, 2, 0, 1, 2, 0, 0))
    )

    def __post_init__(self) -> None:
        at_least(1, "bands", self.bands, BANDS)
        at_least(1, "speaker_dim", self.speaker_dim)
        above_zero("floor", self.floor)
        at_least(0, "guidance", self.guidance)


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
    mel_predictor: MelPredictorConfig = field(default_factory=ConditionerMelPredictorConfig)

    def __post_init__(self) -> None:
        at_least(1, "sample_rate", self.sample_rate)
        at_least(1, "hop_length", self.hop_length)
        wants_waveform = isinstance(self.encoder, StridedEncoderConfig | StreamingEncoderConfig)
        if wants_waveform and not isinstance(self.features, WaveformConfig):
            kind = getattr(self.encoder, self.encoder.TAG)
            raise ValueError(
                f"encoder.kind: {kind} wants the waveform; take features of kind "
                "waveform, or an encoder of such features"
            )
        streaming = isinstance(self.mel_predictor, StreamingMelPredictorConfig)
        if self.decoder.mel_condition and not streaming:
            raise ValueError(
                "decoder.mel_condition: wants one log-mel frame a code; take mel_predictor.kind "
                "streaming, or set this to false"
            )
        try:
            self.decoder.check(self.hop_length)
        except ValueError as error:
            raise ValueError(f"decoder.{error}") from error

    @property
    def condition_dim(self) -> int:
        """Components of what the decoder is conditioned on for each code, but for the speaker."""
        bands = self.mel_predictor.bands if self.decoder.mel_condition else 0
        return self.quantizer.codebook_dim + bands

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return self.features.hop_length * self.encoder.hop_length

    @property
    def frame_rate(self) -> float:
        """Codes per second."""
        return self.sample_rate / self.hop_length

    @property
    def bitrate(self) -> float:
        """Bits per second of the codes under the uniform prior."""
        return self.frame_rate * self.quantizer.bits


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

    def __post_init__(self) -> None:
        at_least(1, "condition_channels", self.condition_channels)
