"""Log-mel frames: librosa's, centred on their samples, and relative to the speech level."""

import librosa
import numpy as np
import pytest
import torch

from speechvq.features.log_mel import FLOOR, LogMel, floor_log_mel, speech_level_nats


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
