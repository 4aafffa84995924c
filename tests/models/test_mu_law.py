import librosa
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechvq.models import mu_law


def test_levels_agree_with_librosa():
    # librosa floors to -128 … 127 where we round to the nearest of 256 levels
    waveform = np.linspace(-1, 1, 20001)
    theirs = librosa.mu_compress(waveform, mu=255, quantize=True) + 128
    ours = mu_law.encode(torch.from_numpy(waveform)).numpy()
    assert np.abs(ours - theirs).max() <= 1


def test_decoding_agrees_with_librosa():
    companded = 2 * np.arange(256) / 255 - 1
    theirs = librosa.mu_expand(companded, mu=255, quantize=False)
    np.testing.assert_allclose(mu_law.decode(torch.arange(256)), theirs, atol=1e-6)


def test_every_level_comes_back():
    levels = torch.arange(256)
    assert torch.equal(mu_law.encode(mu_law.decode(levels)), levels)


def test_silence_is_the_level_of_zero():
    assert mu_law.encode(torch.zeros(3)).tolist() == [mu_law.SILENCE] * 3


@given(st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=20))
def test_no_level_out_of_range(values):
    levels = mu_law.encode(torch.tensor(values))
    assert levels.min() >= 0 and levels.max() < mu_law.LEVELS


def test_louder_is_never_a_lower_level():
    levels = mu_law.encode(torch.linspace(-1.2, 1.2, 5001))
    assert (levels.diff() >= 0).all() and levels[0] == 0 and levels[-1] == 255


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        mu_law.encode(torch.tensor([0.0, float("nan")]))
