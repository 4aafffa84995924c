"""Cepstra of code frames, and their normalisation by speaker transforms."""

import numpy as np
import pytest
import scipy.fft
import torch

from speechvq.features.log_mel import LogMel
from speechvq.features.mfcc import MFCC, SpeakerTransform, SpeakerTransforms, dct


@pytest.mark.parametrize(("bands", "cepstra"), [(12, 12), (40, 16)])
def test_dct_is_scipys(bands, cepstra):
    expected = scipy.fft.dct(np.eye(bands), norm="ortho", axis=0)[:cepstra]
    np.testing.assert_allclose(dct(bands, cepstra).numpy(), expected, atol=1e-5)


def test_cepstra_are_means_over_frame_and_margin():
    waveform = 0.1 * torch.randn(1, 640 * 3)
    mfcc = MFCC(16000, 640, 12, 6)
    frames = LogMel(16000, 160, 12)(waveform)[0].numpy()
    expected = scipy.fft.dct(frames, norm="ortho", axis=1)[:, :6]
    middle = expected[2:10].mean(0)  # four windows of the frame, two on either side
    np.testing.assert_allclose(mfcc(waveform)[0, 1], middle, atol=1e-4)


@pytest.mark.parametrize("hop_length", [64, 128, 320, 640, 150])
@pytest.mark.parametrize("T", [1, 299, 300, 301])
def test_one_vector_of_cepstra_a_code(hop_length, T):
    cepstra = MFCC(16000, hop_length, 12, 6)(torch.randn(2, T))
    assert cepstra.shape == (2, -(-T // hop_length), 6)


@pytest.mark.parametrize("hop_length", [64, 320, 640])
def test_receptive_field_by_gradients(hop_length):
    mfcc, n = MFCC(16000, hop_length, 12, 6), 8
    waveform = torch.randn(1, 17 * hop_length, requires_grad=True)
    mfcc(waveform)[0, n].square().sum().backward()
    used = waveform.grad[0].nonzero().flatten()
    # The first sample of a (periodic) Hann window has weight 0
    assert used.max() - used.min() + 1 in (mfcc.receptive_field - 1, mfcc.receptive_field)
    middle = (used.max() + used.min()) / 2
    assert middle == pytest.approx((n + 0.5) * hop_length, abs=mfcc.mel.hop_length / 2 + 2)


def test_more_cepstra_than_bands_are_refused():
    with pytest.raises(ValueError, match="5 mel bands have no 6 cepstra"):
        MFCC(16000, 160, 5, 6)


def test_mean_and_matrix_of_each_speaker():
    mfcc, speakers = MFCC(16000, 160, 12, 6), SpeakerTransforms(6, 2)
    waveform = 0.1 * torch.randn(2, 1600)
    plain = mfcc(waveform, speakers(torch.tensor([0, 1])))
    torch.testing.assert_close(plain, mfcc(waveform), rtol=1e-3, atol=1e-3)
    speakers.mean[1] = torch.arange(6.0)
    speakers.matrix[1] = torch.randn(6, 6)
    found = mfcc(waveform, speakers(torch.tensor([1, 0])))
    torch.testing.assert_close(found[1], plain[1], rtol=1e-3, atol=1e-3)
    expected = (plain[0] - torch.arange(6.0)) @ speakers.matrix[1]
    torch.testing.assert_close(found[0], expected, rtol=1e-3, atol=1e-3)


def test_the_warp_and_the_level_of_the_transform_are_used():
    mfcc, one = MFCC(16000, 160, 12, 6), torch.ones(1)
    waveform = 0.1 * torch.randn(1, 1600)
    mean, matrix = torch.zeros(1, 6), torch.eye(6)[None]
    found = mfcc(waveform, SpeakerTransform(1.2 * one, -2.0 * one, mean, matrix))
    warped = mfcc.of_mel(mfcc.floored(mfcc.mel(waveform, 1.2 * one), -2.0 * one))
    torch.testing.assert_close(found, warped)
    assert not torch.allclose(found, mfcc(waveform), atol=0.1)


def test_below_the_dynamic_range_all_is_alike():
    mfcc = MFCC(16000, 160, 12, 6)
    soft, softer = 1e-3 * torch.randn(1, 1600), 1e-5 * torch.randn(1, 1600)
    one, D = torch.ones(1), 6
    transform = SpeakerTransform(one, 20 * one, torch.zeros(1, D), torch.eye(D)[None])
    torch.testing.assert_close(mfcc(softer, transform), mfcc(soft, transform))
    assert (mfcc(softer) - mfcc(soft)).abs().max() > 1
