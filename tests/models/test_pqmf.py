"""PQMF: near-perfect reconstruction, separation of bands, and streaming synthesis."""

import numpy as np
import pytest
import torch
from scipy.signal import firwin

from speechvq.models import mu_law
from speechvq.models.pqmf import PQMF, REACH, PQMFSynthesis, windowed_sinc


def synthesised(synthesis: PQMFSynthesis, levels: np.ndarray, *cuts: int) -> np.ndarray:
    bands = map(synthesis.decode, np.split(levels, cuts))
    return np.concatenate([*map(synthesis.add, bands), synthesis.end()])


def speechlike(samples: int) -> torch.Tensor:
    """Noise (1, T) that falls by 6 dB an octave, at the level of speech."""
    torch.manual_seed(0)
    noise = torch.randn(1, samples).cumsum(1)
    noise = noise - torch.nn.functional.avg_pool1d(noise, 401, 1, 200)
    return 0.05 * noise / noise.std()


def test_one_band_is_the_waveform_itself():
    pqmf, waveform = PQMF(1), speechlike(1000)
    levels = pqmf.encode(waveform)
    assert torch.equal(levels[..., 0], mu_law.encode(waveform))
    pqmf.fit(waveform)
    back = synthesised(PQMFSynthesis(pqmf), levels[0].numpy(), 300, 301)
    np.testing.assert_array_equal(back, mu_law.decode(levels[0, :, 0]).numpy())
    assert not pqmf.state_dict()


@pytest.mark.parametrize("bands", [2, 4, 8])
def test_bands_together_are_the_waveform(bands):
    """Up to the 8 bits of their levels, without delay."""
    pqmf, waveform = PQMF(bands), speechlike(16000)
    pqmf.fit(waveform)
    levels = pqmf.encode(waveform)
    assert levels.shape == (1, 16000 // bands, bands)
    back = synthesised(PQMFSynthesis(pqmf), levels[0].numpy())
    error, edge = back - waveform[0].numpy(), REACH * bands
    assert back.shape == (16000,)
    assert 10 * np.log10(waveform.var().item() / error[edge:-edge].var()) > 30
    # Without the levels, it is nearly perfect
    synthesis = PQMFSynthesis(pqmf)
    exact = pqmf.analyse(waveform)[0].numpy()
    back = np.concatenate([synthesis.add(exact), synthesis.end()])
    error = (back - waveform[0].numpy())[edge:-edge]
    assert 10 * np.log10(waveform.var().item() / error.var()) > 55


@pytest.mark.parametrize("hertz, band", [(500, 0), (3000, 1), (5000, 2), (7500, 3)])
def test_a_tone_is_in_its_band(hertz, band):
    tone = torch.sin(2 * torch.pi * hertz * torch.arange(4000) / 16000)[None]
    power = PQMF(4).analyse(tone)[0, 50:-50].square().mean(0)
    assert power.argmax() == band
    assert power[band] > 1000 * (power.sum() - power[band])


@pytest.mark.parametrize("bands", [1, 2, 4])
def test_cuts_make_no_difference(bands):
    levels = np.random.default_rng(0).integers(0, 256, (300, bands))
    whole = synthesised(PQMFSynthesis(PQMF(bands)), levels)
    assert whole.dtype == np.float32 and abs(whole).max() <= 1
    for cuts in ([1], [7, 8, 9, 200], range(300)):
        np.testing.assert_array_equal(synthesised(PQMFSynthesis(PQMF(bands)), levels, *cuts), whole)


def test_scales_leave_little_to_clip():
    pqmf, waveform = PQMF(4), speechlike(160_000)
    pqmf.fit(waveform)
    levels = pqmf.encode(waveform)
    assert ((levels == 0) | (levels == 255)).float().mean() < 0.002
    assert (levels.flatten(0, 1).double().std(0) > 20).all()  # each uses its range
    pqmf.fit(torch.zeros(1, 4000))  # silence has no scale, but must not divide by 0
    assert pqmf.encode(waveform).shape == levels.shape


@pytest.mark.parametrize("taps, cutoff", [(33, 0.1875), (63, 0.14), (127, 0.8), (2, 0.5)])
def test_the_low_pass_is_scipys(taps, cutoff):
    found = windowed_sinc(np.kaiser(taps, 9.0), cutoff)
    np.testing.assert_allclose(found, firwin(taps, cutoff, window=("kaiser", 9.0)), atol=1e-15)
    found = windowed_sinc(np.hamming(taps), cutoff)
    np.testing.assert_allclose(found, firwin(taps, cutoff), atol=1e-15)
