import librosa
import numpy as np
import pytest
import scipy.fft
import torch

from speechvq.models.cepstra import FrameCepstra, LogMel, SpeakerCepstra, Voice, warped


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


def test_frame_cepstra_are_means_over_frame_and_margin():
    waveform = 0.1 * torch.randn(1, 640 * 3)
    cepstra = FrameCepstra(16000, 640, 12, 6)
    frames = LogMel(16000, 160, 12)(waveform)[0].numpy()
    expected = scipy.fft.dct(frames, norm="ortho", axis=1)[:, :6]
    middle = expected[2:10].mean(0)  # four windows of the frame, two on either side
    np.testing.assert_allclose(cepstra(waveform)[0, 1], middle, atol=1e-4)


@pytest.mark.parametrize("hop_length", [64, 128, 320, 640, 150])
def test_one_vector_of_cepstra_a_code(hop_length):
    cepstra = FrameCepstra(16000, hop_length, 12, 6)(torch.randn(2, 3 * hop_length))
    assert cepstra.shape == (2, 3, 6)


def test_a_warp_moves_what_is_heard():
    """A voice of resonances 1.2 times as high sounds as the others do after its warp."""
    bins = torch.arange(257.0)

    def spectrum(peak: float) -> torch.Tensor:
        return (-0.5 * ((bins - peak) / 12) ** 2).exp()

    filters = LogMel(16000, 160, 20).filters
    here = filters @ spectrum(60.0)
    there = warped(filters, torch.tensor([1.0, 1.2])) @ spectrum(72.0)  # (2, 20)
    torch.testing.assert_close(there[0], filters @ spectrum(72.0))
    assert there[1].argmax() == here.argmax() != there[0].argmax()
    similarity = torch.nn.functional.cosine_similarity(there, here[None])
    assert similarity[1] > 0.98 > 0.9 > similarity[0]


@pytest.mark.parametrize("warp", [0.75, 1.3])
def test_a_warped_band_keeps_its_ends(warp):
    """Every filter hears something, and the band's last bins stay the last."""
    filters = LogMel(16000, 160, 20).filters
    moved = warped(filters, torch.tensor([warp]))[0]
    assert (moved.sum(1) > 0).all() and (moved >= 0).all()
    peaks = moved.argmax(1)
    assert (peaks.diff() > 0).all()
    assert moved[-1].nonzero().max() >= filters[-1].nonzero().max() - 1
    # In the middle of the band the frequencies are in proportion
    assert peaks[10] == pytest.approx(warp * filters.argmax(1)[10].item(), abs=2)


def test_speakers_get_mean_and_matrix_of_their_own():
    cepstra = SpeakerCepstra(FrameCepstra(16000, 160, 12, 6), 2)
    waveform = 0.1 * torch.randn(2, 1600)
    plain = cepstra(waveform, torch.tensor([0, 1]))
    torch.testing.assert_close(plain, cepstra.frames(waveform), rtol=1e-3, atol=1e-3)
    cepstra.mean[1] = torch.arange(6.0)
    cepstra.matrix[1] = torch.randn(6, 6)
    found = cepstra(waveform, torch.tensor([1, 0]))
    torch.testing.assert_close(found[1], plain[1], rtol=1e-3, atol=1e-3)
    expected = (plain[0] - torch.arange(6.0)) @ cepstra.matrix[1]
    torch.testing.assert_close(found[0], expected, rtol=1e-3, atol=1e-3)


def test_what_is_softer_than_the_floor_is_as_soft_as_it():
    frames = FrameCepstra(16000, 160, 12, 6)
    soft, softer = 1e-3 * torch.randn(1, 1600), 1e-5 * torch.randn(1, 1600)
    one, D = torch.ones(1), 6
    heard = Voice(one, 20 * one, torch.zeros(1, D), torch.eye(D)[None])
    torch.testing.assert_close(frames(softer, heard), frames(soft, heard))
    assert (frames(softer) - frames(soft)).abs().max() > 1
