"""Log-mel frames: librosa's, centred on their samples, and relative to the speech level."""

import librosa
import numpy as np
import pytest
import torch

from speechvq.features.log_mel import (
    FLOOR,
    LogMel,
    floor_log_mel,
    mel_filters,
    speech_level_nats,
)


@pytest.mark.parametrize(
    "sample_rate, n_fft, bands",
    [(16000, 1024, 80), (16000, 512, 23), (22050, 1024, 80), (48000, 2048, 128), (8000, 256, 40),
     (2000, 64, 5), (1999, 64, 5), (1000, 64, 5)],
)  # fmt: skip
def test_filters_are_librosas(sample_rate, n_fft, bands):
    """To the last bit but in a float32 or two: models learned on librosa's own."""
    theirs = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=bands)
    filters = mel_filters(sample_rate, n_fft, bands)
    assert filters.dtype == theirs.dtype
    np.testing.assert_allclose(filters, theirs, rtol=1e-7, atol=1e-16)
    assert (filters != theirs).mean() < 0.01


def test_log_mel_is_librosas():
    waveform = 0.1 * torch.randn(1, 1600)
    mel = LogMel(16000, 160, 12)
    power = librosa.feature.melspectrogram(
        y=np.pad(waveform[0].numpy(), (176, 176)),
        sr=16000,
        n_fft=mel.n_fft,
        win_length=mel.window_length,
        hop_length=160,
        n_mels=12,
        center=False,
    )
    torch.testing.assert_close(mel(waveform)[0], torch.from_numpy(np.log(power.T + 1e-8)))


@pytest.mark.parametrize("hop_length", [64, 160, 256, 640])
def test_a_click_is_loudest_in_its_own_frame(hop_length):
    """And as loud in the neighbours on either side: frames are centred."""
    waveform = torch.zeros(1, 9 * hop_length)
    waveform[0, 4 * hop_length + hop_length // 2] = 1.0
    frames = LogMel(16000, hop_length, 10)(waveform)[0].mean(1)
    assert len(frames) == 9
    assert frames.argmax() == 4
    torch.testing.assert_close(frames[3], frames[5], atol=0.1, rtol=0)


def test_twice_the_amplitude_is_four_times_the_power():
    mel, waveform = LogMel(16000, 160, 10), 0.1 * torch.randn(1, 1600)
    torch.testing.assert_close(mel(2 * waveform), mel(waveform) + np.log(4), atol=1e-4, rtol=0)
    silence = mel(torch.zeros(1, 1600))
    torch.testing.assert_close(silence, torch.full_like(silence, np.log(FLOOR)))


def test_warp_factors_are_of_each_recording():
    mel, waveform = LogMel(16000, 160, 10), 0.1 * torch.randn(2, 1600)
    found = mel(waveform, torch.tensor([1.0, 1.2]))
    torch.testing.assert_close(found[0], mel(waveform[:1])[0])
    torch.testing.assert_close(found[1], mel(waveform[1:], torch.tensor([1.2]))[0])
    assert not torch.allclose(found[1], mel(waveform)[1], atol=0.01)


def test_floor_is_below_the_speech_level_of_each_recording():
    frames = torch.tensor([[[-3.0, 5.0, -20.0]], [[-3.0, 5.0, -20.0]]])
    found = floor_log_mel(frames, torch.tensor([0.0, 2.0]), dynamic_range=4.0)
    assert found.tolist() == [[[-3.0, 5.0, -4.0]], [[-4.0, 3.0, -4.0]]]


def test_the_level_of_speech_does_not_depend_on_pauses():
    speech = torch.randn(1000, 10)
    level = speech_level_nats(speech)
    paused = speech_level_nats(torch.cat([speech, torch.full((1000, 10), -20.0)]))
    assert paused == pytest.approx(level.item(), abs=0.2)
    assert speech_level_nats(speech + 3.0) == pytest.approx(level.item() + 3.0, abs=1e-4)


@pytest.mark.parametrize("hop_length", [80, 160, 640])
def test_frames_at_the_usual_speed_are_those_of_the_waveform(hop_length):
    mel, waveform = LogMel(16000, hop_length, 10), 0.1 * torch.randn(2, 7 * hop_length)
    found = mel.at_speed(waveform, torch.ones(2), 7)
    torch.testing.assert_close(found, mel(waveform), atol=1e-4, rtol=1e-4)


def test_frames_follow_the_speed_of_each_waveform():
    """A sweep of a tone: frame i of a faster reading is where the sweep is at i · speed."""
    mel, T = LogMel(16000, 160, 40), 16000
    time = torch.arange(T) / 16000
    sweep = torch.sin(2 * torch.pi * (400 * time + 600 * time.square())).expand(3, T)
    speeds = torch.tensor([0.8, 1.0, 1.25])
    found = mel.at_speed(sweep, speeds, 75)
    usual = mel(sweep)[0]
    for frames, speed in zip(found, speeds, strict=True):
        places = (torch.arange(75) + 0.5) * speed - 0.5
        near = places.round().long()
        assert (frames.argmax(1) - usual[near].argmax(1)).abs().max() <= 1
    # At a speed of 1.25 four frames go as far as five: frame 2 is centred where frame 2.625 is
    torch.testing.assert_close(found[1], usual[:75], atol=1e-3, rtol=1e-3)


def test_frames_of_slowed_speech_are_those_of_the_resampled_waveform():
    """But for what resampling itself changes: the scale of frequency, not of a flat spectrum."""
    mel = LogMel(16000, 160, 20, floor=1e-6)
    torch.manual_seed(0)
    envelope = 0.02 + torch.rand(41).repeat_interleave(400)[:16000]  # 25 ms steps
    waveform = envelope * 0.3 * torch.sin(2 * torch.pi * 1000 * torch.arange(16000) / 16000)
    speed = 0.8
    spectrum = torch.fft.rfft(waveform)
    slowed = torch.fft.irfft(spectrum, 20000)[:19200] * (20000 / 16000)  # its tone has 800 Hz
    found = mel.at_speed(waveform[None], torch.tensor([speed]), 120)[0]
    level = found.logsumexp(1), mel(slowed[None])[0].logsumexp(1)
    assert torch.corrcoef(torch.stack(level))[0, 1] > 0.97
    shifted = torch.corrcoef(torch.stack([level[0][3:], level[1][:-3]]))[0, 1]
    assert shifted < 0.8


def test_frames_beyond_the_waveform_are_silent():
    mel = LogMel(16000, 160, 10)
    found = mel.at_speed(0.1 * torch.randn(1, 1600), torch.tensor([2.0]), 20)[0]
    silent = (found == found[-1]).all(1)
    assert silent[7:].all() and not silent[:5].any()
    torch.testing.assert_close(found[-1], torch.full((10,), np.log(FLOOR)).float())


def test_the_floor():
    waveform = 1e-5 * torch.randn(1, 1600)
    assert LogMel(16000, 160, 10, floor=1e-3)(waveform).min() == pytest.approx(
        np.log(1e-3), abs=0.1
    )
    assert LogMel(16000, 160, 10, floor=1e-12)(waveform).max() < np.log(1e-6)
