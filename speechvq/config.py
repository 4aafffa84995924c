"""Every setting of a model and of its training, as frozen dataclasses that YAML files mirror.

They stand apart from the models so that a configuration can be read, checked and shown by
`--help` without importing torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal


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
            _at_least(1, name, getattr(self, name))
        _at_least(2, "kernel_size", self.kernel_size)
        _at_least(1, "output_channels", self.output_channels)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: must be at least 0 and below 1, got {self.dropout}")

    @property
    def dilations(self) -> tuple[int, ...]:
        """The dilation of each layer, in samples."""
        return tuple(2 ** (i % self.dilation_cycle) for i in range(self.layers))

    @property
    def receptive_field(self) -> int:
        """How many past samples a prediction depends on."""
        return 1 + (self.kernel_size - 1) * sum(self.dilations)


@dataclass(frozen=True)
class VQVAEConfig:
    """A raw-audio VQ-VAE: strided encoder, vector quantizer, WaveNet decoder.

    Attributes
    ----------
    sample_rate : int
        Hz, of all audio in and out.
    strides : tuple of int
        Stride of each encoder convolution; the window is twice the stride. Their product is the
        hop length in samples: 64 in the paper's VCTK model, 640 in its phoneme model.
    encoder_input : {"waveform", "cepstra"}
        What the encoder makes latents of: the raw waveform, by the paper's strided convolutions;
        or the cepstra of a code's frame, made alike between voices (models/voice.py), which suit
        any voice. They need no training, unless there are residual layers.
    encoder_channels : int or tuple of int
        Width of the encoder: one for all convolutions, or one for each. Narrow first layers, which
        run at the highest rates, save most of the time. Of cepstra, the residual layers' alone.
    encoder_filterbank : bool
        Start the first convolution as a filterbank of log powers (models/filterbank.py); it wants
        a large first stride. The paper's is a convolution like the others. Not for cepstra.
    encoder_residual_layers : int
        Residual convolutions after the last stride, or over the cepstra. The paper has none.
    encoder_norm : bool
        Layer normalisation of the encoder's activations. The paper has none; short runs learn
        faster with it.
    codebook_size : int
        K, the number of codes.
    codebook_dim : int
        D, the size of a code vector.
    codebook_update : {"ema", "loss"}
        Learn the codebook by exponential moving averages (appendix A.1) or by the codebook loss
        (equation 3).
    decay : float
        Decay of the moving averages, also used to watch how often each code is used.
    beta : float
        Weight of the commitment loss.
    restart_below : float
        A code used less often than this share of the uniform 1/K is moved onto a latent of the
        current batch; 0 turns restarts off.
    condition_channels : int
        Width of the local condition and of the speaker embedding that steer the decoder.
    condition_upsample : int
        Condition vectors per code; must divide the hop length.
    condition_layers : int
        Convolutions over the condition vectors; 0 gives the decoder each code by itself.
    subbands : int
        Bands of the waveform that the decoder draws at each of its steps, each at a part of the
        sample rate (models/subbands.py). The paper's decoder draws the waveform itself: 1.
    envelope_bands : int
        Mel bands of the spectral envelope that is learned in the spectral phase, and to which what
        the decoder draws is filtered (models/envelope.py). The paper has none: 0.
    wavenet : WaveNetConfig
        The decoder.
    """

    sample_rate: int = 16000
    strides: tuple[int, ...] = (2, 2, 2, 2, 2, 2)
    encoder_input: Literal["waveform", "cepstra"] = "waveform"
    encoder_channels: int | tuple[int, ...] = 256
    encoder_filterbank: bool = False
    encoder_residual_layers: int = 0
    encoder_norm: bool = False
    codebook_size: int = 512
    codebook_dim: int = 64
    codebook_update: Literal["ema", "loss"] = "ema"
    decay: float = 0.99
    beta: float = 0.25
    restart_below: float = 0.02
    condition_channels: int = 64
    condition_upsample: int = 1
    condition_layers: int = 0
    subbands: int = 1
    envelope_bands: int = 0
    wavenet: WaveNetConfig = field(default_factory=WaveNetConfig)

    def __post_init__(self):
        object.__setattr__(self, "strides", tuple(self.strides))
        if not self.strides:
            raise ValueError("strides: at least one stride is needed, such as [2, 2, 2, 2, 2, 2]")
        for stride in self.strides:
            _at_least(2, "strides", stride)
        if isinstance(self.encoder_channels, Sequence):
            object.__setattr__(self, "encoder_channels", tuple(self.encoder_channels))
        if len(self.encoder_widths) != len(self.strides):
            raise ValueError(
                f"encoder_channels: {len(self.encoder_widths)} widths for {len(self.strides)} "
                "strides; give one for each, or a single number"
            )
        for width in self.encoder_widths:
            _at_least(1, "encoder_channels", width)
        for name in (
            "sample_rate",
            "codebook_dim",
            "condition_channels",
            "condition_upsample",
            "subbands",
        ):
            _at_least(1, name, getattr(self, name))
        _at_least(2, "codebook_size", self.codebook_size)
        for name in (
            "encoder_residual_layers",
            "condition_layers",
            "envelope_bands",
            "beta",
            "restart_below",
        ):
            _at_least(0, name, getattr(self, name))
        if not 0 < self.decay < 1:
            raise ValueError(f"decay: must lie between 0 and 1, got {self.decay}")
        if self.hop_length % self.condition_upsample:
            raise ValueError(
                f"condition_upsample: {self.condition_upsample} does not divide the hop length "
                f"{self.hop_length}, the product of strides {list(self.strides)}"
            )
        if self.hop_length // self.condition_upsample % self.subbands:
            raise ValueError(
                f"subbands: {self.subbands} does not divide the {self.hop_length} / "
                f"{self.condition_upsample} samples of a condition vector"
            )

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        """The width of each encoder convolution."""
        if isinstance(self.encoder_channels, int):
            return (self.encoder_channels,) * len(self.strides)
        return self.encoder_channels

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return prod(self.strides)

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
        Whether it knows who speaks.
    condition_channels : int
        Width of its condition: of the speaker, and of what a caller adds.
    wavenet : WaveNetConfig
    """

    by_speaker: bool = True
    condition_channels: int = 32
    wavenet: WaveNetConfig = field(default_factory=WaveNetConfig)

    def __post_init__(self):
        _at_least(1, "condition_channels", self.condition_channels)


@dataclass(frozen=True)
class PhaseConfig:
    """One phase of training.

    Attributes
    ----------
    steps : int
        Optimiser steps; 0 leaves the phase out.
    batch_size : int
        Segments per step, over all processes.
    segment_length : int
        Samples per segment; rounded up to a whole number of codes.
    learning_rate : float
        Peak of a schedule that rises over `warmup_steps` and falls along a cosine to a twentieth.
    warmup_steps : int
    """

    steps: int = 0
    batch_size: int = 8
    segment_length: int = 5120
    learning_rate: float = 4e-4
    warmup_steps: int = 200

    def __post_init__(self):
        for name in ("steps", "warmup_steps"):
            _at_least(0, name, getattr(self, name))
        for name in ("batch_size", "segment_length"):
            _at_least(1, name, getattr(self, name))
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate: must be above 0, got {self.learning_rate}")


@dataclass(frozen=True)
class SpectralPhaseConfig(PhaseConfig):
    """The phase that trains encoder, codebook and conditioner by `models/spectral.py`.

    Attributes
    ----------
    target : {"cepstra", "units"}
        What the encoder learns first: the cepstra of each code's frame, made alike between
        speakers (models/cepstra.py), whose clusters become the codes; or the acoustic unit that
        the frame is in (models/units.py), so that the codes become units. Units last as long as
        phones and tell them better; cepstra suit frame rates and codebooks too large for units.
    unquantized_steps : int
        How many of the steps teach the encoder, before there are codes. The learning rate runs its
        course in both parts. An encoder of cepstra has nothing else to learn than what the
        envelope needs; the envelope then learns beside it, and goes on when there are codes.
    gain_range : float
        The encoder hears each segment louder or softer by up to so many dB, and learns the target
        that it had before: so that a recording's level does not matter.
    dialects : float
        As in `TrainingConfig`, for the envelope. It comes out a little blurred, and in the voice
        that is asked for: codes of cepstra still tell much of whose they were.
    shrinkage : float
        When the decoder begins to learn, the envelope's speaker vectors are moved towards their
        mean, by so large a share of the way. They have learned each voice from that voice's own
        codes; nearer to what all have in common the envelope understands better what another's
        say, and is a little less like the speaker. The decoder's vectors, with which pitch and
        timbre are drawn, stay.
    """

    target: Literal["cepstra", "units"] = "cepstra"
    unquantized_steps: int = 500
    gain_range: float = 0.0
    dialects: float = 0.0
    shrinkage: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        for name in ("gain_range", "unquantized_steps"):
            _at_least(0, name, getattr(self, name))
        for name in ("dialects", "shrinkage"):
            _share(name, getattr(self, name))
        if 0 < self.steps <= self.unquantized_steps:
            raise ValueError(
                f"unquantized_steps: {self.unquantized_steps} of {self.steps} steps leave none "
                "with codes; take fewer"
            )


@dataclass(frozen=True)
class LoopConfig:
    """What every training has.

    Attributes
    ----------
    precision : {"auto", "bfloat16", "float32"}
        "auto" takes bfloat16 where the hardware multiplies it natively.
    gradient_clip : float
        Largest norm of the gradient.
    seed : int
    log_every, valid_every, checkpoint_every : int
        Steps between metrics, validations and checkpoints.
    tensorboard : bool
        Write TensorBoard's event files beside the JSON lines.
    """

    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    gradient_clip: float = 1.0
    seed: int = 0
    log_every: int = 50
    valid_every: int = 1000
    checkpoint_every: int = 1000
    tensorboard: bool = True

    def __post_init__(self):
        for name in ("log_every", "valid_every", "checkpoint_every"):
            _at_least(1, name, getattr(self, name))
        _at_least(0, "seed", self.seed)
        if self.gradient_clip <= 0:
            raise ValueError(f"gradient_clip: must be above 0, got {self.gradient_clip}")


@dataclass(frozen=True)
class PriorTrainingConfig(LoopConfig):
    """How a prior is trained on a model's codes.

    Attributes
    ----------
    phase : PhaseConfig
        Its `segment_length` counts codes: longer utterances are cut at random places.
    """

    phase: PhaseConfig = field(
        default_factory=lambda: PhaseConfig(
            steps=1000, batch_size=16, segment_length=512, learning_rate=2e-3, warmup_steps=50
        )
    )

    def __post_init__(self):
        super().__post_init__()
        if not self.phase.steps:
            raise ValueError("phase.steps: 0, so that there is nothing to train")


@dataclass(frozen=True)
class TrainingConfig(LoopConfig):
    """How a VQ-VAE is trained.

    Attributes
    ----------
    spectral : SpectralPhaseConfig
        First phase: the auxiliary objective, on encoder, codebook and conditioner. With no steps
        the training is the paper's.
    likelihood : PhaseConfig
        Second phase: the paper's objective, equation 3.
    freeze_codes : bool
        Keep encoder and codebook as they are in the second phase, so that only the decoder learns.
    codes_from : str or None
        A model folder, from which the encoder and the codebook are taken as they are: another
        decoder for the same codes. There is then no first phase, and `freeze_codes` must be set.
    history_noise : float
        Standard deviation of noise on the past that the decoder hears in the second phase, in
        mu-law levels. It learns to put up with its own errors, which it meets when it draws.
    dialects : float
        With `freeze_codes`: so large a share of the segments, the decoder learns from the codes
        that a speaker drawn at random would have, the nearest among those that this speaker uses.
        So it learns to speak in one voice what another's codes say, which is what it converts.
    workers : int
        Processes that read audio.
    valid_utterances : int
        Utterances that a validation scores.
    samples : int
        Utterances of which a validation draws the first second, to listen to; 0 for none.
    """

    spectral: SpectralPhaseConfig = field(default_factory=SpectralPhaseConfig)
    likelihood: PhaseConfig = field(default_factory=lambda: PhaseConfig(steps=100_000))
    freeze_codes: bool = False
    codes_from: str | None = None
    history_noise: float = 0.0
    dialects: float = 0.0
    workers: int = 1
    valid_utterances: int = 32
    samples: int = 2

    def __post_init__(self):
        super().__post_init__()
        _at_least(1, "valid_utterances", self.valid_utterances)
        for name in ("history_noise", "workers", "samples"):
            _at_least(0, name, getattr(self, name))
        if not self.spectral.steps and not self.likelihood.steps:
            raise ValueError("steps: both phases have 0, so that there is nothing to train")
        spectral = self.spectral
        if self.codes_from is not None and (self.spectral.steps or not self.freeze_codes):
            raise ValueError(
                "codes_from: codes that are taken over do not change; set freeze_codes, and "
                "spectral.steps to 0"
            )
        _share("dialects", self.dialects)
        if self.dialects and not self.freeze_codes:
            raise ValueError("dialects: codes that still change have none; set freeze_codes")
        if spectral.target == "units" and spectral.steps and not spectral.unquantized_steps:
            raise ValueError("unquantized_steps: in these the encoder learns units; give some")


@dataclass(frozen=True)
class DataConfig:
    """Where the manifests of `speechvq-prepare` lie.

    Attributes
    ----------
    train, valid, test : str
        Paths of JSON-lines manifests. Training reads the first two; analysis and the recipe read
        the third.
    """

    train: str = "exp/vctk/data/train.jsonl"
    valid: str = "exp/vctk/data/valid.jsonl"
    test: str = "exp/vctk/data/test.jsonl"


def _at_least(least, name: str, value) -> None:
    if value < least:
        raise ValueError(f"{name}: must be at least {least}, got {value}")


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: must lie between 0 and 1, got {value}")
