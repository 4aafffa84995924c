"""The learned filterbank: tones, phases, silence, gradients."""

import math

import torch

from speechvq.features.filterbank import LearnedFilterbank
from speechvq.features.log_mel import FLOOR


def test_a_tone_has_its_band_whatever_its_phase():
    stride, channels, rate = 160, 64, 16000
    bank = LearnedFilterbank(channels, stride)
    time = torch.arange(10 * stride) / rate
    for frequency in (1000, 3000):
        for phase in (0.0, 1.0):
            tone = torch.sin(2 * math.pi * frequency * time + phase)
            band = bank(tone.view(1, -1, 1))[0, 5].argmax()
            assert band == round(frequency / (rate / 2) * channels)
    silence = bank(torch.zeros(1, 320, 1))
    torch.testing.assert_close(silence, torch.full_like(silence, math.log(FLOOR)))


def test_filters_learn():
    bank = LearnedFilterbank(4, 8)
    bank(torch.randn(1, 32, 1)).sum().backward()
    assert bank.cosines.grad.abs().sum() > 0 and bank.sines.grad.abs().sum() > 0
