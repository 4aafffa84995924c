"""The mel predictor: log-mel frames from codes and speaker, and the error that trains it."""

import pytest
import torch

from speechvq.config import ConditionerConfig
from speechvq.features.log_mel import LogMel
from speechvq.postfilter.predictor import ConditionerMelPredictor

D, HOP, BANDS = 4, 160, 10


def make(upsample: int = 2) -> ConditionerMelPredictor:
    torch.manual_seed(0)
    conditioner = ConditionerConfig(channels=6, upsample=upsample, layers=1)
    return ConditionerMelPredictor(
        conditioner, D, HOP, n_speakers=3, sample_rate=16000, bands=BANDS
    )


def speech(rows: int = 2, codes: int = 12) -> torch.Tensor:
    """Noise whose level changes."""
    torch.manual_seed(1)
    levels = torch.rand(rows, codes).repeat_interleave(HOP, 1)
    return 0.1 * levels * torch.randn(rows, codes * HOP)


@pytest.mark.parametrize("upsample", [1, 2, 4])
def test_one_frame_for_each_condition_vector(upsample):
    predictor = make(upsample)
    frames = predictor(torch.randn(2, 5, D), torch.tensor([0, 2]))
    assert frames.shape == (2, 5 * upsample, BANDS)
    assert predictor.mel.hop_length * upsample == HOP
    assert predictor.mel(speech(2, 5)).shape == frames.shape


def test_fit_takes_mean_and_deviation_of_the_frames():
    predictor, waveform = make(), speech(8)
    assert not predictor.fitted
    predictor.fit(waveform)
    assert predictor.fitted
    frames = predictor.mel(waveform).flatten(0, 1)
    torch.testing.assert_close(predictor.mean, frames.mean(0))
    torch.testing.assert_close(predictor.std, frames.std(0, correction=0), atol=2e-3, rtol=0)
    predictor.fit(torch.zeros(1, 10 * HOP))  # silence must not lead to a division by zero
    assert predictor.error(waveform, torch.randn(8, 12, D), torch.zeros(8).long()).isfinite().all()


def test_a_constant_prediction_has_the_error_of_a_standard_normal():
    predictor, waveform = make(), speech(16)
    predictor.fit(waveform)
    torch.nn.init.zeros_(predictor.output.weight)
    torch.nn.init.zeros_(predictor.output.bias)
    quantized, speaker = torch.randn(16, 12, D), torch.arange(16) % 3
    frames = predictor(quantized, speaker)
    torch.testing.assert_close(frames, predictor.mean.expand_as(frames))
    assert predictor.error(waveform, quantized, speaker).mean().item() == pytest.approx(
        0.8, abs=0.1
    )


def test_error_is_of_standardised_frames():
    predictor, waveform = make(), speech()
    predictor.fit(waveform)
    quantized, speaker = torch.randn(2, 12, D), torch.tensor([0, 2])
    mel = LogMel(16000, HOP // 2, BANDS)(waveform)
    expected = (predictor(quantized, speaker) - mel).abs() / predictor.std
    torch.testing.assert_close(predictor.error(waveform, quantized, speaker), expected)


def test_error_pads_what_ends_within_a_code():
    predictor, waveform = make(), speech()[:, : 11 * HOP + 7]
    predictor.fit(speech())
    quantized, speaker = torch.randn(2, 12, D), torch.tensor([0, 2])
    padded = torch.nn.functional.pad(waveform, (0, HOP - 7))
    torch.testing.assert_close(
        predictor.error(waveform, quantized, speaker), predictor.error(padded, quantized, speaker)
    )


def test_gradients_reach_codes_and_weights_and_not_the_waveform():
    predictor, waveform = make(), speech().requires_grad_()
    predictor.fit(waveform.detach())
    quantized = torch.randn(2, 12, D, requires_grad=True)
    predictor.error(waveform, quantized, torch.tensor([0, 2])).mean().backward()
    assert quantized.grad.abs().sum() > 0 and waveform.grad is None
    for name, weights in predictor.named_parameters():
        assert weights.grad is not None and weights.grad.abs().sum() > 0, name


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_speakers_are_shrunk_towards_their_mean(share):
    predictor = make()
    before = predictor.conditioner.speakers.weight.detach().clone()
    predictor.shrink_speakers(share)
    after = predictor.conditioner.speakers.weight
    torch.testing.assert_close(after.mean(0), before.mean(0))
    expected = (1 - share) * (before - before.mean(0))
    torch.testing.assert_close(after - after.mean(0), expected, atol=1e-6, rtol=1e-5)


def test_it_learns_the_levels_of_codes():
    """Two codes, one loud and one soft; the predictor comes to tell their frames."""
    predictor = make()
    loud = torch.arange(12) % 4 < 2
    waveform = 0.1 * torch.randn(4, 12 * HOP)
    waveform *= torch.where(loud, 1.0, 0.01).repeat_interleave(HOP)
    predictor.fit(waveform)
    quantized = torch.where(loud.unsqueeze(1), torch.ones(D), -torch.ones(D)).expand(4, -1, -1)
    speaker = torch.arange(4) % 3
    optimizer = torch.optim.Adam(predictor.parameters(), 1e-2)
    errors = []
    for _ in range(100):
        error = predictor.error(waveform, quantized, speaker).mean()
        errors.append(error.item())
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert errors[-1] < 0.4 * errors[0]
