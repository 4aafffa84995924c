import math

import pytest
import torch
import torch.nn.functional as F

from speechvq.config import ModelConfig, QuantizerConfig, StridedEncoderConfig
from speechvq.model import build_encoder
from speechvq.models.encoder import Encoder, StridedConvolution

CONFIGS = {
    "64x": {"strides": (2,) * 6},
    "128x": {"strides": (2,) * 7},
    "320x": {"strides": (5, 4, 4, 4)},
    "640x": {"strides": (5, 4, 4, 4, 2)},
    "odd": {"strides": (3, 5)},
    "norm": {"strides": (4, 4), "norm": True, "residual_layers": 2},
    "filterbank": {"strides": (16, 4), "filterbank": True, "channels": (8, 6)},
}


def encoder(**settings) -> Encoder:
    torch.manual_seed(0)
    config = StridedEncoderConfig(**{"channels": 6, **settings})
    return build_encoder(config, ModelConfig(quantizer=QuantizerConfig(codebook_dim=5)))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("extra", [0, 1, -1, 7])
def test_any_length_goes_in(name, extra):
    model = encoder(**CONFIGS[name])
    T = 2 * model.hop_length + extra
    latents = model(torch.randn(3, T))
    assert latents.shape == (3, math.ceil(T / model.hop_length), 5)


def test_strided_convolution_is_a_convolution():
    layer = StridedConvolution(channels=3, outputs=4, stride=2)
    x = torch.randn(2, 10, 3)
    # Linear takes (window, channels) flattened; Conv1d wants (outputs, channels, window)
    kernel = layer.weights.weight.view(4, 4, 3).transpose(1, 2)
    expected = F.conv1d(F.pad(x.transpose(1, 2), (1, 1)), kernel, layer.weights.bias, stride=2)
    torch.testing.assert_close(layer(x), expected.transpose(1, 2))


def test_the_papers_encoder_has_six_windows_of_four():
    model = encoder(strides=(2,) * 6)
    layers = [m for m in model.modules() if isinstance(m, StridedConvolution)]
    assert [m.weights.in_features for m in layers] == [4, *[4 * 6] * 5]


def test_a_latent_depends_on_its_own_samples_and_few_others():
    model = encoder(strides=(4, 4))
    waveform = torch.randn(1, 160, requires_grad=True)
    model(waveform)[0, 5].sum().backward()
    used = waveform.grad[0].nonzero().flatten()
    assert used.min() >= 4 * 16 and used.max() < 7 * 16
    assert set(range(80, 96)) <= set(used.tolist())


@pytest.mark.parametrize("name", ["odd", "norm", "filterbank", "640x"])
def test_receptive_field_by_gradients(name):
    """The gradients of many random inputs together reach each sample of the field and no other."""
    model = encoder(**CONFIGS[name])
    if name == "filterbank":  # whose windows start with zeros at their ends
        for filters in (model.layers[0].cosines, model.layers[0].sines):
            torch.nn.init.normal_(filters)
    hop, n = model.hop_length, 6
    waveform = torch.randn(64, 13 * hop, requires_grad=True)
    model(waveform)[:, n].square().sum().backward()
    used = waveform.grad.abs().sum(0).nonzero().flatten()
    assert used.max() - used.min() + 1 == model.receptive_field
    assert used.min() <= n * hop and used.max() >= (n + 1) * hop - 1


def test_parts_of_the_callers_own():
    """A first layer and an activation from outside take the place of the paper's."""
    first = StridedConvolution(1, 6, 4)
    activations = []

    def tanh(channels):
        activations.append(channels)
        return torch.nn.Tanh()

    model = Encoder((4, 2), (6, 3), 5, first=first, residual_layers=1, activation=tanh)
    assert activations == [6, 3, 3]
    assert not any(isinstance(m, torch.nn.ReLU) for m in model.modules())
    model(torch.randn(1, 80)).sum().backward()
    assert first.weights.weight.grad.abs().sum() > 0


def test_padding_is_silence():
    model = encoder(strides=(4, 4))
    waveform = torch.randn(1, 41)
    torch.testing.assert_close(model(waveform), model(F.pad(waveform, (0, 7))))


def test_norm_is_of_the_activations_alone():
    """Latents follow the last layer, so that a linear map of them can go into it."""
    model = encoder(**CONFIGS["norm"])
    waveform = torch.randn(2, 640)
    before = model(waveform)
    louder = model(10 * waveform)
    assert louder.std() < 2 * before.std()
    with torch.no_grad():
        model.output.weight.mul_(3)
        model.output.bias.mul_(3)
    torch.testing.assert_close(model(waveform), 3 * before)
