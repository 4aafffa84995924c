"""The model of features, VQ-VAE and mel predictor, and parts from outside of the package."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch
from frames import Frames, FramesConfig, OfFrames, OfFramesConfig
from torch import nn

import speechvq
from speechvq.config import (
    ConditionerConfig,
    ConditionerMelPredictorConfig,
    DecoderConfig,
    EncoderConfig,
    ModelConfig,
    QuantizerConfig,
    StreamingEncoderConfig,
    StreamingMelPredictorConfig,
    StreamingStackConfig,
    StridedEncoderConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from speechvq.features.filterbank import LearnedFilterbank
from speechvq.features.waveform import WaveformFeatures
from speechvq.model import (
    Model,
    build_decoder,
    build_encoder,
    build_features,
    unknown_speaker,
)
from speechvq.models.decoder import WaveNetDecoder
from speechvq.models.encoder import Encoder, StridedConvolution
from speechvq.settings import build

SPEAKERS = ["p225", "p226", "p227"]
WAVENET = WaveNetDecoderConfig(
    conditioner=ConditionerConfig(channels=4), wavenet=WaveNetConfig(1, 1, 2, 4, 4, 4)
)
CONFIGS = {
    "paper": ModelConfig(decoder=WAVENET, encoder=StridedEncoderConfig(channels=4)),
    "norm": ModelConfig(
        encoder=StridedEncoderConfig(strides=(4, 5), channels=6, residual_layers=2, norm=True),
        decoder=WAVENET,
    ),
    "streaming": ModelConfig(
        sample_rate=8000,
        encoder=StreamingEncoderConfig(
            stride=40, bands=6, stack=StreamingStackConfig(6, (1, 2), (1, 2))
        ),
        quantizer=QuantizerConfig(codebook_size=8, codebook_dim=4, codebooks=2),
        decoder=WAVENET,
        mel_predictor=StreamingMelPredictorConfig(bands=10, stack=StreamingStackConfig(6)),
    ),
    "frames": ModelConfig(
        features=FramesConfig(320),
        encoder=OfFramesConfig(),
        quantizer=QuantizerConfig(codebook_size=16, codebook_dim=8),
        decoder=WAVENET,
        mel_predictor=ConditionerMelPredictorConfig(bands=10),
    ),
}


def make(config: ModelConfig) -> Model:
    torch.manual_seed(0)
    return Model(config, SPEAKERS).eval()


@pytest.fixture(params=CONFIGS)
def model(request) -> Model:
    return make(CONFIGS[request.param])


def test_parts_are_those_of_the_configuration():
    paper, frames = make(CONFIGS["paper"]), make(CONFIGS["frames"])
    assert isinstance(paper.features, WaveformFeatures)
    assert isinstance(paper.vqvae.encoder, Encoder)
    assert isinstance(paper.vqvae.decoder, WaveNetDecoder)
    assert paper.mel_predictor is None
    windows = [
        m.weights.in_features
        for m in paper.vqvae.encoder.modules()
        if isinstance(m, StridedConvolution)
    ]
    assert windows == [4, *[4 * 4] * 5]  # six convolutions with windows of 4 (section 4.3)
    assert isinstance(frames.features, Frames)
    assert isinstance(frames.vqvae.encoder, OfFrames)
    assert frames.mel_predictor.mean.shape == (10,)


def test_the_filterbank_is_the_first_layer():
    encoder = StridedEncoderConfig(strides=(80, 2), channels=(12, 8), filterbank=True)
    first, *rest = make(ModelConfig(encoder=encoder, decoder=WAVENET)).vqvae.encoder.layers
    assert isinstance(first, LearnedFilterbank) and first.stride == 80
    assert sum(isinstance(layer, LearnedFilterbank) for layer in rest) == 0


def test_rates(tiny_config):
    model = Model(tiny_config, SPEAKERS)
    assert model.sample_rate == 8000 and model.hop_length == 16 and model.frame_rate == 500
    assert model.codebook_size == 8 and model.kl_bits_per_code == 3
    assert model.bitrate == 1500
    assert model.device.type == "cpu"


@pytest.mark.parametrize("extra", [0, 1, -1])
def test_a_code_for_every_hop(model, extra):
    T = 9 * model.hop_length + extra
    waveform = 0.1 * torch.randn(2, T)
    latents, codes = model.latents(waveform), model.encode(waveform)
    N = math.ceil(T / model.hop_length)
    assert latents.shape == (2, N, model.config.quantizer.codebook_dim)
    assert codes.shape == ((2, N) if model.codebooks == 1 else (2, N, model.codebooks))
    assert torch.equal(codes, model.vqvae.quantizer.nearest(latents))


def test_receptive_field_by_gradients(model):
    """The samples that the latents of many recordings depend on are no more and hardly fewer."""
    hop, n = model.hop_length, 20
    waveform = torch.randn(16, 41 * hop, requires_grad=True)
    model.latents(waveform)[:, n].square().sum().backward()
    used = waveform.grad.abs().sum(0).nonzero().flatten()
    span = int(used.max() - used.min()) + 1
    # The first sample of a Hann window has weight 0, and of a symmetric one the last, too
    zeros = 2 * hasattr(model.vqvae.encoder, "filterbank")
    assert model.receptive_field - zeros <= span <= model.receptive_field
    assert used.min() <= n * hop and used.max() >= (n + 1) * hop - 1


def test_rates_of_product_codes():
    """The codebooks together: each code of the two is one of 64."""
    model = make(CONFIGS["streaming"])
    assert (model.codebook_size, model.codebooks, model.frame_rate) == (8, 2, 200)
    assert model.kl_bits_per_code == 6 and model.bitrate == 1200


@pytest.mark.parametrize("mel_condition", [True, False])
def test_what_the_decoder_is_conditioned_on(mel_condition):
    decoder = dataclasses.replace(WAVENET, mel_condition=mel_condition)
    model = make(dataclasses.replace(CONFIGS["streaming"], decoder=decoder))
    codes, speaker = torch.randint(8, (2, 20, 2)), torch.tensor([0, 2])
    local = model.local_condition(codes, speaker)
    quantized = model.vqvae.quantizer.lookup(codes)
    assert torch.equal(local[..., :4], quantized)
    assert local.shape[-1] == (14 if mel_condition else 4) == model.config.condition_dim
    if mel_condition:
        frames = model.mel_predictor.standardised(quantized, speaker)
        assert torch.equal(local[..., 4:], frames)
    waveform = 0.1 * torch.randn(2, 20 * 40)
    assert model.vqvae.decoder.log_likelihood(waveform, local, speaker).shape == (2, 800)


def test_unknown_speaker_gets_the_list_and_the_nearest(model):
    assert model.speaker_index("p226") == 1
    message = r"unknown speaker 'P226'; this model knows p225, p226, p227; did you mean p226\?"
    with pytest.raises(ValueError, match=message):
        model.speaker_index("P226")
    with pytest.raises(ValueError, match=r"unknown speaker 'zoe'; .* p225, p226, p227$"):
        model.speaker_index("zoe")


def test_of_hundreds_of_speakers_some_are_named():
    names = [f"p{i}" for i in range(300)]
    assert unknown_speaker("p300", names).endswith(
        "knows p0, p1, p2, p3, p4, p5, p6, p7, p8, p9, p10, p11 and 288 more (speakers.json in its "
        "folder); did you mean p30?"
    )
    assert unknown_speaker("P226", ["226", "p226"]).endswith("did you mean p226?")


def test_the_level_of_speech_is_saved_with_the_weights(model):
    assert model.speech_level is None
    model.level.fill_(-26.5)
    other = make(model.config)
    other.load_state_dict(model.state_dict())
    assert other.speech_level == -26.5


def test_a_state_has_every_number_of_the_model(model):
    """A model that is built anew with the same state gives the same latents."""
    torch.manual_seed(1)
    other = Model(model.config, SPEAKERS).eval()
    waveform = 0.1 * torch.randn(1, 9 * model.hop_length)
    assert not torch.equal(other.vqvae.quantizer.codebooks[0], model.vqvae.quantizer.codebooks[0])
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.latents(waveform), model.latents(waveform))
    assert torch.equal(other.encode(waveform), model.encode(waveform))


# ---------------------------------------------------------------- parts from outside


@dataclass(frozen=True)
class AverageConfig(EncoderConfig):
    """Statistics of blocks of samples."""

    kind: Literal["average"] = "average"
    block: int = 8

    @property
    def hop_length(self) -> int:
        return self.block


class Average(nn.Module):
    """Mean and root mean square of each block, and a linear map of these."""

    def __init__(self, block: int, codebook_dim: int):
        super().__init__()
        self.hop_length = self.receptive_field = block
        self.output = nn.Linear(2, codebook_dim)

    def forward(self, x):
        padded = nn.functional.pad(x, (0, -x.shape[-1] % self.hop_length))
        blocks = padded.unflatten(-1, (-1, self.hop_length))
        return self.output(torch.stack([blocks.mean(-1), blocks.square().mean(-1).sqrt()], -1))


@dataclass(frozen=True)
class GaussianConfig(DecoderConfig):
    """Independent Gaussian samples of one standard deviation."""

    kind: Literal["gaussian"] = "gaussian"
    std: float = 0.1


class Gaussian(nn.Module):
    """Samples around a mean that is linear in the code vector and the speaker."""

    def __init__(self, std: float, codebook_dim: int, hop_length: int, n_speakers: int):
        super().__init__()
        self.std, self.hop_length = std, hop_length
        self.speakers = nn.Embedding(n_speakers, hop_length)
        self.mean = nn.Linear(codebook_dim, hop_length)

    def means(self, quantized, speaker):
        means = self.mean(quantized) + self.speakers(speaker).unsqueeze(1)
        return means.flatten(1)

    def fit(self, waveforms):
        """Nothing to set."""

    def log_likelihood(self, waveform, quantized, speaker, margin=0, input_noise=0.0):
        distribution = torch.distributions.Normal(self.means(quantized, speaker), self.std)
        log_p = distribution.log_prob(waveform)
        left = margin * self.hop_length
        return log_p[:, left : log_p.shape[1] - left]

    def sample(self, quantized, speaker, random):
        means = self.means(quantized[None], torch.tensor([speaker]))[0].numpy()
        return means + self.std * random.standard_normal(len(means))


@pytest.fixture(scope="module")
def registered():
    @build_encoder.register
    def _(config: AverageConfig, model: ModelConfig) -> nn.Module:
        return Average(config.block, model.quantizer.codebook_dim)

    @build_decoder.register
    def _(config: GaussianConfig, model: ModelConfig, n_speakers: int) -> nn.Module:
        return Gaussian(config.std, model.quantizer.codebook_dim, model.hop_length, n_speakers)


@pytest.fixture
def outside(registered) -> Model:
    values = {
        "sample_rate": 8000,
        "encoder": {"kind": "average", "block": 10},
        "quantizer": {"codebook_size": 8, "codebook_dim": 3},
        "decoder": {"kind": "gaussian", "std": 0.2},
    }
    config = build(ModelConfig, values, "model")
    assert config.encoder == AverageConfig(block=10)
    assert config.decoder == GaussianConfig(std=0.2)
    return make(config)


def test_parts_from_outside_make_a_model(outside):
    assert isinstance(outside.vqvae.encoder, Average)
    assert isinstance(outside.vqvae.decoder, Gaussian)
    assert outside.hop_length == 10 and outside.receptive_field == 10
    waveform, speaker = 0.1 * torch.randn(2, 95), torch.tensor([0, 2])
    out = outside.vqvae(waveform, speaker)
    assert out.codes.shape == (2, 10)
    out.loss.backward()
    for part in (outside.vqvae.encoder, outside.vqvae.decoder):
        assert all(p.grad is not None for p in part.parameters())


def test_a_model_of_parts_from_outside_encodes_samples_and_converts(outside):
    waveform = (0.1 * np.random.default_rng(0).standard_normal(800)).astype(np.float32)
    codes = speechvq.encode(outside, waveform)
    assert codes.shape == (80,)
    drawn = speechvq.sample(outside, codes, "p226")
    assert drawn.shape == (800,) and drawn.dtype == np.float32
    np.testing.assert_array_equal(speechvq.convert(outside, waveform, "p226"), drawn)


def test_settings_that_nothing_builds():
    @dataclass(frozen=True)
    class Unregistered(DecoderConfig):
        kind: Literal["unregistered"] = "unregistered"

    config = dataclasses.replace(CONFIGS["paper"], decoder=Unregistered())
    with pytest.raises(ValueError, match=r"model\.decoder: nothing builds Unregistered"):
        Model(config, SPEAKERS)
    with pytest.raises(ValueError, match=r"model\.encoder: nothing builds EncoderConfig"):
        build_encoder(EncoderConfig(), config)
    with pytest.raises(ValueError, match=r"model\.features: nothing builds"):
        build_features(DecoderConfig(), config)
