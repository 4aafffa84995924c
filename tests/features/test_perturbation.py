"""Perturbation of the encoder's input: each change by itself, measured in the waveform."""

import dataclasses

import numpy as np
import pytest
import torch

from speechvq.config import PerturbationConfig
from speechvq.data.manifest import Utterance
from speechvq.data.segments import SegmentBatches, Waveforms
from speechvq.features.perturbation import STOP_BAND, PerturbedBatches, perturb

RATE = 16000
EVERYTHING = PerturbationConfig(stretch=0.1, equaliser=6.0, gain=10.0, low_pass=0.5, noise=0.5)


def perturbed(waveform: torch.Tensor, seed: int = 0, **settings) -> torch.Tensor:
    random = np.random.default_rng(seed)
    return perturb(waveform, PerturbationConfig(**settings), RATE, random)


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


@pytest.mark.parametrize("T", [1, 100, 511, 5000])
def test_length_and_type_stay(T):
    waveform = noise(2, T)
    before = waveform.clone()
    found = perturb(waveform, EVERYTHING, RATE, np.random.default_rng(0))
    assert found.shape == (2, T) and found.dtype == torch.float32
    assert found.isfinite().all()
    assert torch.equal(waveform, before), "the target must stay as it is"


@pytest.mark.parametrize("frequency", [300, 1010, 2222])
def test_stretch_multiplies_the_frequency_of_a_tone(frequency):
    stretch, rows = 0.1, 12
    found = perturbed(tones(frequency, rows), stretch=stretch)
    factors = torch.tensor([peak(x[2000:-2000]) / frequency for x in found])
    assert (factors.log().abs() < stretch + 0.01).all()
    assert factors.min() < 0.95 and factors.max() > 1.05
    # A tone stays a tone, nearly as loud as before
    middle = found[:, 2000:-2000]
    assert (decibels(rms(middle) / rms(tones(frequency, 1))).abs() < 2.0).all()
    for x, factor in zip(middle, factors, strict=True):
        power = torch.fft.rfft(x * torch.hann_window(len(x))).abs().square()
        place = round(factor.item() * frequency * len(x) / RATE)
        assert power[place - 10 : place + 11].sum() > 0.9 * power.sum()


def test_harmonics_are_stretched_by_one_factor():
    found = perturbed(tones(400, 1) + tones(1400, 1), seed=3, stretch=0.2)[0, 2000:-2000]
    power = torch.fft.rfft(found * torch.hann_window(len(found))).abs()
    split = round(900 * len(found) / RATE)
    low = power[:split].argmax().item()
    high = split + power[split:].argmax().item()
    assert abs(low * RATE / len(found) - 400) > 10
    assert high / low == pytest.approx(1400 / 400, rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_stretch_hardly_changes_the_level_of_noise(seed):
    """Frames overlap in phase; without it 4 dB are lost."""
    waveform = noise(4)
    found = perturbed(waveform, seed, stretch=0.1)
    assert (decibels(rms(found) / rms(waveform)).abs() < 2.0).all()


def test_stretch_leaves_a_tone_at_its_place_in_time():
    waveform = torch.zeros(8, RATE)
    waveform[:, 8000:9600] = tones(1000, 1)[0, :1600]
    energy = perturbed(waveform, stretch=0.1).square()
    centre = (energy * torch.arange(RATE)).sum(1) / energy.sum(1)
    assert (centre - 8800).abs().max() < 0.005 * RATE
    # Within the reach of one frame of the transform
    assert (energy[:, 8000 - 512 : 9600 + 512].sum(1) > 0.999 * energy.sum(1)).all()


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
    waveform = noise(20)
    found = perturbed(waveform, noise=1.0, noise_from=12.0, noise_to=12.0)
    added = found - waveform
    ratio = decibels(rms(waveform) / rms(added))
    torch.testing.assert_close(ratio, torch.full((20,), 12.0), atol=0.2, rtol=0)
    power = torch.fft.rfft(added).abs().square().mean(0)  # white
    thirds = torch.stack([part.mean() for part in power[:-1].chunk(3)])
    assert thirds.max() < 1.1 * thirds.min()


def test_ratios_lie_in_their_range_and_a_share_has_noise():
    waveform = noise(300, 2048)
    found = perturbed(waveform, noise=0.4, noise_from=10.0, noise_to=30.0)
    ratio = decibels(rms(waveform) / rms(found - waveform))
    noisy = ratio < 60  # else there is the rounding of the transform alone
    assert noisy.float().mean().item() == pytest.approx(0.4, abs=0.1)
    assert ratio[noisy].min() > 9.5 and ratio[noisy].max() < 30.5
    assert ratio[noisy].min() < 12 and ratio[noisy].max() > 28


def test_silence_stays_silent():
    found = perturb(torch.zeros(2, 2048), EVERYTHING, RATE, np.random.default_rng(0))
    assert not found.any()


def test_rows_are_perturbed_each_in_its_own_way():
    found = perturb(noise(1).repeat(3, 1), EVERYTHING, RATE, np.random.default_rng(0))
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert not torch.allclose(found[one], found[other], atol=1e-3)


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
        segment_length=2048,
        hop_length=64,
        steps=steps,
    )


def test_batches_are_a_function_of_the_step():
    """Whatever was drawn before, so that a resumed training sees the same ones."""
    segments = batches()
    data = PerturbedBatches(segments, EVERYTHING, RATE)
    assert len(data) == 6
    assert data.samples_per_step == segments.samples_per_step
    assert data.steps_per_epoch == segments.steps_per_epoch
    in_order = [data[step] for step in range(6)]
    np.random.seed(1)
    torch.manual_seed(1)
    again = PerturbedBatches(batches(), EVERYTHING, RATE)
    for step in (4, 1, 4):
        assert torch.equal(again[step].inputs, in_order[step].inputs)
    assert not torch.equal(in_order[0].inputs, in_order[1].inputs)


def test_only_the_inputs_are_perturbed():
    segments = batches()
    data = PerturbedBatches(segments, EVERYTHING, RATE)
    for step in range(3):
        plain, found = segments[step], data[step]
        assert plain.inputs is None
        assert torch.equal(found.waveform, plain.waveform)
        assert torch.equal(found.speaker, plain.speaker)
        assert not torch.allclose(found.inputs, plain.waveform, atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stretch": 0.6}, "stretch: must be at most 0.5, got 0.6"),
        ({"noise": 1.5}, "noise"),
        ({"gain": -1.0}, "gain"),
        ({"low_pass_from": 5000.0, "low_pass_to": 4000.0}, "low_pass_to: must be at least"),
        ({"noise_from": 20.0, "noise_to": 10.0}, "noise_to: must be at least noise_from"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(EVERYTHING, **settings)
