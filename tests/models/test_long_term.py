"""The long-term predictor: the lags that it finds, and that it looks at the past alone."""

import numpy as np
import pytest
import torch

from speechvq.config import WaveNetConfig
from speechvq.models import mu_law
from speechvq.models.long_term import TAPS, LongTermPredictor
from speechvq.models.wavenet import WaveNet

RATE = 4000.0
PERIOD = 20


@pytest.fixture
def predictor() -> LongTermPredictor:
    torch.manual_seed(0)
    return LongTermPredictor(8, 1, RATE)


def voice(pitch: float, steps: int = 1000) -> np.ndarray:
    phase = 2 * np.pi * pitch * np.arange(steps) / RATE
    return 0.3 * sum(np.cos(k * phase + k * k) / k for k in range(1, 1 + int(RATE / 2 / pitch)))


def before(waveform: np.ndarray) -> torch.Tensor:
    """The level before each step."""
    levels = mu_law.encode(torch.from_numpy(waveform).float())
    return torch.cat([torch.tensor([mu_law.SILENCE]), levels[:-1]]).unsqueeze(0)


def lags(predictor, x):
    """Lag and weight at the first step of each period, after silence."""
    silence = torch.full((1, predictor.history - 1), mu_law.SILENCE)
    return predictor.lags(torch.cat([silence, x], dim=1), PERIOD)


@pytest.mark.parametrize("pitch", [70.0, 100.0, 160.0, 230.0, 400.0])
def test_the_lag_is_a_multiple_of_the_pitch_period(predictor, pitch):
    lag, weight = lags(predictor, before(voice(pitch)))
    assert lag.shape == weight.shape == (1, 1000 // PERIOD)
    periods = lag[0, -20:] * pitch / RATE
    # Half a step beside it at most
    assert (periods - periods.round()).abs().max() <= 0.55 * pitch / RATE
    assert weight[0, -20:].min() > 0.85
    assert predictor.shortest <= lag.min() and lag.max() <= predictor.longest


def test_noise_repeats_itself_less_and_silence_not_at_all(predictor):
    noise = 0.1 * np.random.default_rng(0).standard_normal(4000)
    assert lags(predictor, before(noise))[1][0, 20:].mean() < 0.4
    assert lags(predictor, before(np.zeros(1000)))[1].max() < 1e-12


def test_levels_around_the_lag_are_the_input(predictor):
    x = before(voice(130.0))
    lag, weight = lags(predictor, x)
    step = 517
    m = step // PERIOD
    rows = [
        predictor.embed.weight[TAP * mu_law.LEVELS + int(x[0, step + 1 - int(lag[0, m]) + k])]
        for TAP, k in enumerate(range(-(TAPS // 2), TAPS // 2 + 1))
    ]
    expected = weight[0, m] * torch.stack(rows).sum(0)
    torch.testing.assert_close(predictor(x.unsqueeze(-1), PERIOD)[0, step], expected)


def test_logits_depend_on_the_past_alone(predictor):
    wavenet = WaveNet(WaveNetConfig(2, 2, 2, 8, 8, 8), 256, 4, 128, long_term=predictor)
    x = before(voice(130.0, 400)).unsqueeze(-1)
    condition = torch.zeros(1, 20, 4)
    logits = wavenet(x, condition)
    changed = x.clone()
    changed[:, 205] = 7
    after = wavenet(changed, condition)
    torch.testing.assert_close(after[:, :206], logits[:, :206], rtol=0, atol=0)
    assert (after[:, 206] - logits[:, 206]).abs().max() > 0
    assert (after[:, 230:] - logits[:, 230:]).abs().max() > 0  # further than the layers reach
