import math

import pytest
import torch
import torch.nn.functional as F

from speechvq.config import VQVAEConfig
from speechvq.models.encoder import Encoder, StridedConvolution
from speechvq.models.filterbank import FLOOR, Filterbank

CONFIGS = {
    "64x": {"strides": (2,) * 6},
    "128x": {"strides": (2,) * 7},
    "320x": {"strides": (5, 4, 4, 4)},
    "640x": {"strides": (5, 4, 4, 4, 2)},
    "odd": {"strides": (3, 5)},
    "norm": {"strides": (4, 4), "encoder_norm": True, "encoder_residual_layers": 2},
    "filterbank": {"strides": (16, 4), "encoder_filterbank": True, "encoder_channels": (8, 6)},
}


def encoder(**settings) -> Encoder:
    torch.manual_seed(0)
    return Encoder(VQVAEConfig(**{"encoder_channels": 6, "codebook_dim": 5, **settings}))


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


def test_a_code_hears_its_own_samples_and_few_others():
    model = encoder(strides=(4, 4))
    waveform = torch.randn(1, 160, requires_grad=True)
    model(waveform)[0, 5].sum().backward()
    heard = waveform.grad[0].nonzero().flatten()
    assert heard.min() >= 4 * 16 and heard.max() < 7 * 16
    assert set(range(80, 96)) <= set(heard.tolist())


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


def test_filterbank_tells_a_tone_from_another_whatever_its_phase():
    stride, channels, rate = 160, 64, 16000
    bank = Filterbank(channels, stride)
    time = torch.arange(10 * stride) / rate
    for frequency in (1000, 3000):
        for phase in (0.0, 1.0):
            tone = torch.sin(2 * math.pi * frequency * time + phase)
            band = bank(tone.view(1, -1, 1))[0, 5].argmax()
            assert band == round(frequency / (rate / 2) * channels)
    silence = bank(torch.zeros(1, 320, 1))
    torch.testing.assert_close(silence, torch.full_like(silence, math.log(FLOOR)))


def test_filterbank_learns():
    bank = Filterbank(4, 8)
    bank(torch.randn(1, 32, 1)).sum().backward()
    assert bank.cosines.grad.abs().sum() > 0 and bank.sines.grad.abs().sum() > 0
