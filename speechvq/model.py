"""The model: features, VQ-VAE and mel predictor of one configuration, for named speakers.

`build_features`, `build_encoder`, `build_decoder` and `build_mel_predictor` make a part from its
settings. They dispatch on the settings' class, so that a part from outside of the package is
registered with ``@build_encoder.register`` (docs/extending.md).

Shapes: B batch, T samples, N codes, D codebook_dim, K codebook_size.
"""

import difflib
import math
from collections.abc import Sequence
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from speechvq.config import (
    ConditionerConfig,
    ConditionerMelPredictorConfig,
    DecoderConfig,
    EncoderConfig,
    FeatureConfig,
    MelPredictorConfig,
    ModelConfig,
    QuantizerConfig,
    StreamingEncoderConfig,
    StreamingMelPredictorConfig,
    StridedEncoderConfig,
    WaveformConfig,
    WaveNetDecoderConfig,
)
from speechvq.features.filterbank import LearnedFilterbank
from speechvq.features.streaming_encoder import StreamingEncoder
from speechvq.features.waveform import WaveformFeatures
from speechvq.models.decoder import WaveNetDecoder
from speechvq.models.encoder import Encoder, relu
from speechvq.models.product_quantizer import ProductQuantizer
from speechvq.models.quantizer import Quantizer
from speechvq.models.vqvae import VQVAE
from speechvq.postfilter.predictor import (
    ConditionerMelPredictor,
    MelPredictor,
    StreamingMelPredictor,
)

SHOWN_SPEAKERS = 12
"""Names that a message lists."""


class Model(nn.Module):
    """A VQ-VAE for the voices of `speakers`, with what stands around it.

    Parameters
    ----------
    config : ModelConfig
    speakers : sequence of str
        Names; the place of a name is its index in the speaker embeddings.

    Attributes
    ----------
    features : Module
        Computes the encoder's input from a recording; in the paper the waveform itself.
    vqvae : VQVAE
        The paper's model: encoder, quantizer, decoder.
    mel_predictor : MelPredictor or None
        What the post-filter filters to.
    level : Tensor
        What `speech_level` gives; NaN for None.
    """

    features: Any  # a module with `hop_length` and `receptive_field`
    level: Tensor

    def __init__(self, config: ModelConfig, speakers: Sequence[str]):
        super().__init__()
        self.config = config
        self.speakers = list(speakers)
        S = len(self.speakers)
        self.features = build_features(config.features, config)
        self.vqvae = VQVAE(
            build_encoder(config.encoder, config),
            build_quantizer(config.quantizer),
            build_decoder(config.decoder, config, S),
        )
        self.mel_predictor: MelPredictor | None = None
        if config.mel_predictor.bands:
            self.mel_predictor = build_mel_predictor(config.mel_predictor, config, S)
        self.register_buffer("level", torch.tensor(math.nan, dtype=torch.float64))

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.config.sample_rate

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return self.config.hop_length

    @property
    def frame_rate(self) -> float:
        """Codes per second."""
        return self.config.frame_rate

    @property
    def codebook_size(self) -> int:
        """K."""
        return self.config.quantizer.codebook_size

    @property
    def codebooks(self) -> int:
        """G."""
        return self.config.quantizer.codebooks

    @property
    def receptive_field(self) -> int:
        """Samples that a code depends on."""
        encoder = self.vqvae.encoder.receptive_field
        return self.features.receptive_field + (encoder - 1) * self.features.hop_length

    @property
    def kl_bits_per_code(self) -> float:
        """As `QuantizerConfig.bits`."""
        return self.config.quantizer.bits

    @property
    def bitrate(self) -> float:
        """Bits per second of the codes under the uniform prior."""
        return self.config.bitrate

    @property
    def speech_level(self) -> float | None:
        """Level, in dB, that stands for the model's speech; None if it is not known.

        That of the training speech, unless that of the model's own conversions was measured
        (recipes/librispeech/drawn_level.py).
        """
        level = self.level.item()
        return None if math.isnan(level) else level

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.level.device

    def speaker_index(self, speaker: str) -> int:
        """Index of a speaker's name; ValueError names the known ones."""
        if speaker in self.speakers:
            return self.speakers.index(speaker)
        raise ValueError(unknown_speaker(speaker, self.speakers))

    def latents(self, waveform: Tensor) -> Tensor:
        """z_e(x) (B, N, D) of a waveform (B, T), N = ceil(T / hop_length)."""
        return self.vqvae.encoder(self.features(waveform))

    def local_condition(self, codes: Tensor, speaker: Tensor) -> Tensor:
        """What the decoder is conditioned on beside the speaker.

        Code vectors z_q (B, N, D) of codes, and with `decoder.mel_condition` the standardised
        log-mel frames (B, N, F) of speaker indices (B,) after them: (B, N, D + F).
        """
        quantized = self.vqvae.quantizer.lookup(codes)
        if not self.config.decoder.mel_condition:
            return quantized
        assert self.mel_predictor is not None
        return torch.cat([quantized, self.mel_predictor.standardised(quantized, speaker)], dim=-1)

    @torch.no_grad()
    def encode(self, waveform: Tensor) -> Tensor:
        """Codes (B, N) of a waveform (B, T) float in [-1, 1]; of a product code (B, N, G).

        The waveform is taken as it is; `speechvq.encode` also normalises the level.
        """
        return self.vqvae.encode(self.features(waveform))


@singledispatch
def build_features(config: FeatureConfig, model: ModelConfig) -> nn.Module:
    """The feature front end of a configuration."""
    raise ValueError(f"model.features: nothing builds {type(config).__name__}")


@build_features.register
def _(config: WaveformConfig, model: ModelConfig) -> nn.Module:
    return WaveformFeatures()


@singledispatch
def build_encoder(config: EncoderConfig, model: ModelConfig) -> nn.Module:
    """The encoder of a configuration."""
    raise ValueError(f"model.encoder: nothing builds {type(config).__name__}")


@build_encoder.register
def _(config: StridedEncoderConfig, model: ModelConfig) -> nn.Module:
    first = LearnedFilterbank(config.widths[0], config.strides[0]) if config.filterbank else None
    return Encoder(
        config.strides,
        config.widths,
        model.quantizer.codebook_dim,
        first=first,
        residual_layers=config.residual_layers,
        activation=_normalised_relu if config.norm else relu,
    )


@build_encoder.register
def _(config: StreamingEncoderConfig, model: ModelConfig) -> nn.Module:
    return StreamingEncoder(config, model.quantizer.codebook_dim, model.sample_rate)


def build_quantizer(config: QuantizerConfig) -> Quantizer | ProductQuantizer:
    """The quantizer of a configuration."""
    return Quantizer(config) if config.codebooks == 1 else ProductQuantizer(config)


@singledispatch
def build_decoder(config: DecoderConfig, model: ModelConfig, n_speakers: int) -> nn.Module:
    """The decoder of a configuration, for so many speakers."""
    raise ValueError(f"model.decoder: nothing builds {type(config).__name__}")


@build_decoder.register
def _(config: WaveNetDecoderConfig, model: ModelConfig, n_speakers: int) -> nn.Module:
    D = model.condition_dim
    return WaveNetDecoder(config, D, model.hop_length, n_speakers, model.sample_rate)


@singledispatch
def build_mel_predictor(
    config: MelPredictorConfig, model: ModelConfig, n_speakers: int
) -> MelPredictor:
    """The mel predictor of a configuration, for so many speakers."""
    raise ValueError(f"model.mel_predictor: nothing builds {type(config).__name__}")


@build_mel_predictor.register
def _(config: ConditionerMelPredictorConfig, model: ModelConfig, n_speakers: int) -> MelPredictor:
    conditioner = getattr(model.decoder, "conditioner", ConditionerConfig())
    return ConditionerMelPredictor(
        conditioner,
        model.quantizer.codebook_dim,
        model.hop_length,
        n_speakers,
        model.sample_rate,
        config.bands,
    )


@build_mel_predictor.register
def _(config: StreamingMelPredictorConfig, model: ModelConfig, n_speakers: int) -> MelPredictor:
    D = model.quantizer.codebook_dim
    return StreamingMelPredictor(config, D, model.hop_length, n_speakers, model.sample_rate)


def unknown_speaker(speaker: str, speakers: Sequence[str]) -> str:
    """The message for a speaker that a model does not know."""
    if not isinstance(speaker, str):
        return f"speaker: expected a name, got {speaker!r}"
    shown = ", ".join(speakers[:SHOWN_SPEAKERS])
    if len(speakers) > SHOWN_SPEAKERS:
        shown += f" and {len(speakers) - SHOWN_SPEAKERS} more (speakers.json in its folder)"
    near = [name for name in speakers if name.casefold() == speaker.casefold()]
    near = near or difflib.get_close_matches(speaker, speakers, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown speaker {speaker!r}; this model knows {shown}{hint}"


def _normalised_relu(channels: int) -> nn.Module:
    return nn.Sequential(nn.LayerNorm(channels), nn.ReLU())
