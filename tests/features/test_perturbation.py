"""Perturbation of the encoder's input: each change by itself, measured in the waveform."""

import dataclasses

import numpy as np
import pytest
import torch

from speechvq.config import PerturbationConfig
from speechvq.data.manifest import Utterance
from speechvq.data.segments import SegmentBatches, Waveforms
from speechvq.features.perturbation import (
    GRID,
    STOP_BAND,
    PerturbedBatches,
    _reverberant,
    perturb,
    source_length,
)

RATE = 16000
EVERYTHING = PerturbationConfig(
    speed=0.1, equaliser=6.0, gain=10.0, low_pass=0.5, noise=0.5, reverberation=0.5, codec=0.5
)


def perturbed(waveform: torch.Tensor, seed: int = 0, **settings) -> torch.Tensor:
    """Without change of speed, as long as the waveform."""
    config, random = PerturbationConfig(**settings), np.random.default_rng(seed)
    inputs, speed = perturb(waveform, waveform.shape[1], config, RATE, [random] * len(waveform))
    assert (speed == 1).all()
    return inputs


def faster(waveform: torch.Tensor, length: int, speed: float, seed: int = 0):
    """Inputs and speeds where nothing but the speed changes."""
    random = np.random.default_rng(seed)
    return perturb(
        waveform, length, PerturbationConfig(speed=speed), RATE, [random] * len(waveform)
    )


def noise(rows: int, T: int = RATE) -> torch.Tensor:
    torch.manual_seed(0)
    return 0.1 * torch.randn(rows, T)


def tones(frequency: float, rows: int, T: int = RATE) -> torch.Tensor:
    return (0.3 * torch.sin(2 * torch.pi * frequency * torch.arange(T) / RATE)).repeat(rows, 1)


def decibels(ratio: torch.Tensor) -> torch.Tensor:
    return 20 * ratio.log10()


def rms(waveform: torch.Tensor) -> torch.Tensor:
    return waveform.square().mean(-1).sqrt()


def peak(waveform: torch.Tensor) -> float:
    """Frequency, in Hz, of the largest component of (T,)."""
    power = torch.fft.rfft(waveform * torch.hann_window(len(waveform))).abs()
    return power.argmax().item() * RATE / len(waveform)


@pytest.mark.parametrize("T", [1, 100, 511, 512, 5000])
def test_without_settings_nothing_changes(T):
    """But for the rounding of the transform there and back."""
    waveform = noise(3, T)
    torch.testing.assert_close(perturbed(waveform), waveform, atol=1e-6, rtol=0)


@pytest.mark.parametrize("length", [1, 100, 511, 5000])
@pytest.mark.parametrize("seed", range(4))
def test_length_and_type(length, seed):
    waveform = noise(2, source_length(length, EVERYTHING))
    before = waveform.clone()
    found, speed = perturb(waveform, length, EVERYTHING, RATE, [np.random.default_rng(seed)] * 2)
    assert found.shape == (2, length) and found.dtype == torch.float32
    assert speed.shape == (2,) and speed.dtype == torch.float32
    assert found.isfinite().all()
    assert torch.equal(waveform, before), "the target must stay as it is"


@pytest.mark.parametrize("speed", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("length", [1, 320, 321, 4000])
def test_the_source_is_long_enough_at_any_speed(length, speed):
    S = source_length(length, PerturbationConfig(speed=speed))
    assert S % GRID == 0 and length * np.exp(speed) + 2 * GRID >= S
    _, speeds = faster(noise(50, S), length, speed)
    assert (length * speeds <= S).all()


@pytest.mark.parametrize("frequency", [300, 1010, 2222])
def test_speed_multiplies_the_frequency_of_a_tone(frequency):
    """By the factor that is returned; it stays a tone, as loud as before."""
    speed, rows = 0.2, 12
    found, speeds = faster(tones(frequency, rows, 20800), 16000, speed)
    assert (speeds.log().abs() < speed + 0.02).all()
    assert speeds.min() < 0.9 and speeds.max() > 1.1
    middle = found[:, 2000:-2000]
    for x, speed in zip(middle, speeds, strict=True):
        assert peak(x) == pytest.approx(frequency * speed.item(), abs=1.0)
        power = torch.fft.rfft(x * torch.hann_window(len(x))).abs().square()
        place = round(speed.item() * frequency * len(x) / RATE)
        assert power[place - 4 : place + 5].sum() > 0.99 * power.sum()
    assert (decibels(rms(middle) / rms(tones(frequency, 1))).abs() < 0.1).all()


def test_harmonics_keep_their_ratio():
    found, _ = faster(tones(400, 1, 20800) + tones(1400, 1, 20800), 16000, 0.2, seed=3)
    found = found[0, 2000:-2000]
    power = torch.fft.rfft(found * torch.hann_window(len(found))).abs()
    split = round(900 * len(found) / RATE)
    low, high = power[:split].argmax().item(), split + power[split:].argmax().item()
    assert abs(low * RATE / len(found) - 400) > 10
    assert high / low == pytest.approx(1400 / 400, rel=0.01)


@pytest.mark.parametrize("place", [400, 6000, 12345])
def test_speed_tells_where_a_sample_is_from(place):
    """A click at sample i of the inputs lies at i · speed of the source."""
    waveform = torch.zeros(12, 20800)
    waveform[:, place] = 1.0
    found, speeds = faster(waveform, 16000, 0.25)
    found, speeds = found[place / speeds < 15900], speeds[place / speeds < 15900]
    assert len(speeds) > 5 and (speeds - 1).abs().max() > 0.15
    places = found.abs().argmax(1)
    assert ((places * speeds - place).abs() < 1).all()


def test_speeds_are_spread_evenly_on_a_logarithmic_scale():
    _, speeds = faster(noise(300, 20800), 16000, 0.2)
    logarithms = speeds.log()
    assert logarithms.mean().abs() < 0.03
    assert logarithms.std() == pytest.approx(0.2 / 3**0.5, rel=0.15)


@pytest.mark.parametrize("edge", [1000, 3400])
def test_low_pass_removes_what_is_above(edge):
    waveform = noise(4)
    found = perturbed(waveform, low_pass=1.0, low_pass_from=edge, low_pass_to=edge)
    window = torch.hann_window(RATE - 1024)  # away from the ends, where the segment is cut off
    before, after = (
        torch.fft.rfft(x[:, 512:-512] * window).abs().square() for x in (waveform, found)
    )
    hertz = torch.linspace(0, RATE / 2, before.shape[1])
    passed, stopped = hertz < edge - 100, hertz > edge + 600
    gain = 10 * (after[:, passed].sum(1) / before[:, passed].sum(1)).log10()
    assert (gain.abs() < 0.2).all()
    gain = 10 * (after[:, stopped].sum(1) / before[:, stopped].sum(1)).log10()
    assert (gain < 5 - STOP_BAND).all()


def test_a_share_of_the_segments_is_low_passed():
    found = perturbed(noise(200, 1024), low_pass=0.3, low_pass_from=2000, low_pass_to=3000)
    high = torch.fft.rfft(found).abs()[:, 400:].square().mean(1)  # above 6 kHz
    share = (high < 0.01 * high.max()).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.1)


def test_edges_of_the_low_pass_lie_in_the_range():
    found = perturbed(noise(50), low_pass=1.0, low_pass_from=2000, low_pass_to=5000)
    cumulative = torch.fft.rfft(found).abs().square().cumsum(1)
    edges = (cumulative < 0.999 * cumulative[:, -1:]).sum(1) * RATE / 2 / cumulative.shape[1]
    assert edges.min() > 1900 and edges.max() < 5500
    assert edges.min() < 2600 and edges.max() > 4400


def test_gain_is_within_its_decibels():
    waveform = noise(200, 2048)
    found = perturbed(waveform, gain=6.0)
    gains = decibels(rms(found) / rms(waveform))
    assert gains.abs().max() <= 6.01
    assert gains.min() < -5 and gains.max() > 5 and gains.mean().abs() < 1
    expected = waveform * 10 ** (gains / 20).unsqueeze(1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_equaliser_is_smooth_and_has_its_standard_deviation():
    waveform = noise(100, 8192)
    found = perturbed(waveform, equaliser=4.0)
    spectra = [torch.fft.rfft(x).abs().square() for x in (found, waveform)]
    bands = [torch.stack([p.sum(1) for p in s.split(128, dim=1)], 1) for s in spectra]
    curves = 10 * (bands[0] / bands[1]).log10()[:, :-1]  # (100, 32), of 250 Hz each
    assert curves.std(0).mean() == pytest.approx(4.0 * (8 / 9) ** 0.5, rel=0.25)
    # Differences of neighbouring bands; unrelated bands would have 1.1
    assert curves.diff(dim=1).abs().mean() < 0.5 * curves.std()


def test_noise_has_the_stated_ratio():
    """White in one half of the segments, and stronger below 500 Hz in the other."""
    waveform = noise(40)
    added = perturbed(waveform, noise=1.0, noise_from=12.0, noise_to=12.0) - waveform
    ratio = decibels(rms(waveform) / rms(added))
    torch.testing.assert_close(ratio, torch.full((40,), 12.0), atol=0.4, rtol=0)
    assert ratio.mean() == pytest.approx(12.0, abs=0.1)
    power = torch.fft.rfft(added).abs().square()
    tilt = 10 * (power[:, :400].mean(1) / power[:, 4000:].mean(1)).log10()
    white = tilt.abs() < 3
    assert 10 < white.sum() < 30
    assert (tilt[~white] > 10).all()
    thirds = torch.stack([part.mean() for part in power[white].mean(0)[:-1].chunk(3)])
    assert thirds.max() < 1.1 * thirds.min()


def test_ratios_lie_in_their_range_and_a_share_has_noise():
    waveform = noise(300, 2048)
    found = perturbed(waveform, noise=0.4, noise_from=10.0, noise_to=30.0)
    ratio = decibels(rms(waveform) / rms(found - waveform))
    noisy = ratio < 60  # else there is the rounding of the transform alone
    assert noisy.float().mean().item() == pytest.approx(0.4, abs=0.1)
    assert ratio[noisy].min() > 8.5 and ratio[noisy].max() < 30.5
    assert ratio[noisy].min() < 12 and ratio[noisy].max() > 28


def test_reverberation_adds_a_decaying_tail():
    """After a click; nothing before it, and the click itself stays."""
    click = torch.zeros(40, RATE)
    click[:, 4000] = 1.0
    found = perturbed(click, reverberation=1.0)
    torch.testing.assert_close(found[:, 4000], torch.ones(40), atol=1e-5, rtol=0)
    assert found[:, :4000].abs().max() < 1e-5
    tail = found[:, 4001:]
    direct = -10 * tail.square().sum(1).log10()  # dB of the direct sound above the tail
    assert direct.min() > 3 and direct.max() < 17 and direct.max() - direct.min() > 6
    assert tail[:, : RATE // 10].abs().amax(1).min() > 0.001
    assert tail[:, int(0.4 * RATE) :].abs().max() < 1e-5
    parts = tail[:, : RATE // 10].square().unflatten(1, (4, -1)).sum(2)  # of 25 ms
    assert (parts[:, :-1] > 2 * parts[:, 1:]).all()


def test_a_reverberant_waveform_is_a_convolution():
    """Not a circular one: what sounds at the end is not heard at the beginning."""
    late = np.zeros(8000, np.float32)
    late[-10:] = 1.0
    found = _reverberant(late, RATE, np.random.default_rng(0))
    assert found.shape == (8000,) and np.abs(found[:-10]).max() < 1e-5


@pytest.mark.parametrize("name", ["reverberation", "codec"])
def test_a_share_of_the_segments_is_changed(name):
    waveform = noise(120, 1600)
    found = perturbed(waveform, **{name: 0.3})
    changed = (found - waveform).abs().amax(1) > 1e-3
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.12)


def test_mp3_keeps_the_place_of_the_inputs():
    waveform = tones(500, 4, 6400) + 0.05 * noise(4, 6400)
    found = perturbed(waveform, codec=1.0)
    assert not torch.allclose(found, waveform, atol=1e-4)
    for x, y in zip(found, waveform, strict=True):
        assert torch.dot(x, y) > 0.98 * x.norm() * y.norm()


def test_silence_stays_silent():
    random = np.random.default_rng(0)
    found, _ = perturb(torch.zeros(8, 2560), 2048, EVERYTHING, RATE, [random] * 8)
    assert not found.any()


def test_rows_are_perturbed_each_in_its_own_way():
    random = np.random.default_rng(0)
    found, speeds = perturb(noise(1, 20800).repeat(3, 1), 16000, EVERYTHING, RATE, [random] * 3)
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert not torch.allclose(found[one], found[other], atol=1e-3)
        assert speeds[one] != speeds[other]


def batches(steps: int = 6) -> SegmentBatches:
    rng = np.random.default_rng(0)
    utterances = [Utterance(name, name, "unread.wav", 1.0) for name in "ab"]
    spoken = [0.1 * rng.standard_normal(RATE).astype(np.float32) for _ in utterances]
    waveforms = Waveforms(utterances, RATE, waveforms=spoken)
    return SegmentBatches(
        waveforms,
        ["a", "b"],
        seed=0,
        stage="mel",
        batch_size=2,
        segment_length=source_length(2048, EVERYTHING),
        hop_length=64,
        steps=steps,
    )


def test_batches_are_a_function_of_the_step():
    """Whatever was drawn before, so that a resumed training sees the same ones."""
    segments = batches()
    data = PerturbedBatches(segments, EVERYTHING, RATE, 2048)
    assert len(data) == 6
    assert data.samples_per_step == 2 * 2048
    assert data.steps_per_epoch == segments.steps_per_epoch
    in_order = [data[step] for step in range(6)]
    np.random.seed(1)
    torch.manual_seed(1)
    again = PerturbedBatches(batches(), EVERYTHING, RATE, 2048)
    for step in (4, 1, 4):
        assert torch.equal(again[step].inputs, in_order[step].inputs)
        assert torch.equal(again[step].speed, in_order[step].speed)
    assert not torch.equal(in_order[0].inputs, in_order[1].inputs)


def test_only_the_inputs_are_perturbed():
    segments = batches()
    data = PerturbedBatches(segments, EVERYTHING, RATE, 2048)
    for step in range(3):
        plain, found = segments[step], data[step]
        assert plain.inputs is None and plain.speed is None
        assert found.inputs.shape == (2, 2048) and found.speed.shape == (2,)
        assert torch.equal(found.waveform, plain.waveform)
        assert torch.equal(found.speaker, plain.speaker)
        assert not torch.allclose(found.inputs, plain.waveform[:, :2048], atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"speed": 0.6}, "speed: must be at most 0.5, got 0.6"),
        ({"noise": 1.5}, "noise"),
        ({"gain": -1.0}, "gain"),
        ({"reverberation": 1.1}, "reverberation"),
        ({"codec": -0.1}, "codec"),
        ({"low_pass_from": 5000.0, "low_pass_to": 4000.0}, "low_pass_to: must be at least"),
        ({"noise_from": 20.0, "noise_to": 10.0}, "noise_to: must be at least noise_from"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(EVERYTHING, **settings)
