"""The mel predictor: log-mel frames from codes and speaker, and the error that trains it."""

import pytest
import torch

from speechvq.config import (
    ConditionerConfig,
    StreamingMelPredictorConfig,
    StreamingStackConfig,
)
from speechvq.features.log_mel import LogMel
from speechvq.postfilter.predictor import ConditionerMelPredictor, StreamingMelPredictor

D, HOP, BANDS = 4, 160, 10


def make(upsample: int = 2) -> ConditionerMelPredictor:
    torch.manual_seed(0)
    conditioner = ConditionerConfig(channels=6, upsample=upsample, layers=1)
    return ConditionerMelPredictor(
        conditioner, D, HOP, n_speakers=3, sample_rate=16000, bands=BANDS
    )


def make_streaming() -> StreamingMelPredictor:
    torch.manual_seed(0)
    stack = StreamingStackConfig(channels=6, dilations=(1, 2, 1), lookahead=(1, 2, 0))
    config = StreamingMelPredictorConfig(bands=BANDS, speaker_dim=5, floor=1e-5, stack=stack)
    predictor = StreamingMelPredictor(config, D, HOP, n_speakers=3, sample_rate=16000)
    with torch.no_grad():
        for weights in predictor.stack.parameters():
            weights.add_(0.2 * torch.randn_like(weights))
    return predictor


PREDICTORS = pytest.mark.parametrize(
    "predictor",
    [lambda: make(1), lambda: make(2), make_streaming],
    ids=["1 frame", "2 frames", "streaming"],
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
    error = predictor.error(waveform, quantized, speaker)
    assert error.abs().mean().item() == pytest.approx(0.8, abs=0.1)


def test_error_is_of_standardised_frames():
    predictor, waveform = make(), speech()
    predictor.fit(waveform)
    quantized, speaker = torch.randn(2, 12, D), torch.tensor([0, 2])
    mel = LogMel(16000, HOP // 2, BANDS)(waveform)
    expected = (predictor(quantized, speaker) - mel) / predictor.std
    torch.testing.assert_close(predictor.error(waveform, quantized, speaker), expected)


def test_error_pads_what_ends_within_a_code():
    predictor, waveform = make(), speech()[:, : 11 * HOP + 7]
    predictor.fit(speech())
    quantized, speaker = torch.randn(2, 12, D), torch.tensor([0, 2])
    padded = torch.nn.functional.pad(waveform, (0, HOP - 7))
    torch.testing.assert_close(
        predictor.error(waveform, quantized, speaker), predictor.error(padded, quantized, speaker)
    )


@PREDICTORS
def test_gradients_reach_codes_and_weights_and_not_the_waveform(predictor):
    predictor, waveform = predictor(), speech().requires_grad_()
    predictor.fit(waveform.detach())
    quantized = torch.randn(2, 12, D, requires_grad=True)
    predictor.error(waveform, quantized, torch.tensor([0, 2])).abs().mean().backward()
    assert quantized.grad.abs().sum() > 0 and waveform.grad is None
    for name, weights in predictor.named_parameters():
        assert weights.grad is not None and weights.grad.abs().sum() > 0, name


@PREDICTORS
@pytest.mark.parametrize("sizes", [[12], [1] * 12, [2, 0, 7, 3], [1], []], ids=str)
@torch.no_grad()
def test_a_stream_is_the_whole(predictor, sizes):
    predictor, speaker = predictor().double(), torch.tensor([2])
    quantized = torch.randn(1, sum(sizes), D, dtype=torch.float64)
    stream, found = predictor.stream(speaker), []
    for piece in quantized.split(sizes, dim=1) if sizes else ():
        found.append(stream.add(piece))
    found.append(stream.end())
    found = torch.cat(found, dim=1)
    if not sizes:
        assert found.shape == (1, 0, BANDS)
        return
    whole = predictor.standardised(quantized, speaker)
    torch.testing.assert_close(found, whole, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(predictor.in_nats(found), predictor(quantized, speaker))


@PREDICTORS
@torch.no_grad()
def test_the_lookahead_is_what_a_stream_waits_for(predictor):
    predictor = predictor()
    stream, waited = predictor.stream(torch.tensor([0])), 0
    while not stream.add(torch.randn(1, 1, D)).shape[1]:
        waited += 1
    assert waited == predictor.lookahead


def test_a_streaming_predictor_gives_a_frame_a_code():
    predictor = make_streaming()
    quantized, speaker = torch.randn(2, 12, D), torch.tensor([0, 2])
    frames = predictor(quantized, speaker)
    assert frames.shape == (2, 12, BANDS)
    assert predictor.mel.hop_length == HOP and predictor.mel.floor == 1e-5
    assert predictor.speakers.weight.shape == (3, 5)
    other = predictor(quantized, torch.tensor([1, 2]))
    assert torch.equal(other[1], frames[1]) and ((other[0] - frames[0]).abs().amax(1) > 0).all()


def test_a_frame_depends_on_past_and_lookahead_alone():
    predictor = make_streaming()
    quantized = torch.randn(1, 30, D, requires_grad=True)
    predictor(quantized, torch.tensor([0]))[0, 15].sum().backward()
    used = quantized.grad[0].abs().sum(1).nonzero()[:, 0]
    assert used.min() == 15 - predictor.stack.past and used.max() == 15 + predictor.lookahead


def test_error_at_a_speed_is_of_frames_at_that_pace():
    predictor = make_streaming()
    waveform = torch.cat([speech(), speech()], dim=1)
    predictor.fit(waveform)
    quantized, speaker = torch.randn(2, 12, D), torch.tensor([0, 2])
    speed = torch.tensor([0.9, 1.2])
    mel = predictor.mel.at_speed(waveform, speed, 12)
    expected = (predictor(quantized, speaker) - mel) / predictor.std
    found = predictor.error(waveform, quantized, speaker, speed)
    torch.testing.assert_close(found, expected)
    usual = predictor.error(waveform[:, : 12 * HOP], quantized, speaker)
    assert not torch.allclose(found, usual, atol=0.01)
    ones = predictor.error(waveform, quantized, speaker, torch.ones(2))
    # The last frame sees what comes after it, where the segment alone would end
    torch.testing.assert_close(ones[:, :-1], usual[:, :-1], atol=1e-3, rtol=1e-3)


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
        error = predictor.error(waveform, quantized, speaker).abs().mean()
        errors.append(error.item())
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert errors[-1] < 0.4 * errors[0]
