"""The picture of a spectrogram and its codes."""

import io

import numpy as np
import PIL.Image
import pytest

from speechvq.demo.picture import SECONDS, codes_png


@pytest.mark.parametrize(
    ("seconds", "codebooks"), [(0.1, 1), (1.0, 4), (3 * SECONDS, 1), (3 * SECONDS, 8)]
)
def test_pictures_of_all_kinds_have_one_size(seconds, codebooks):
    rng = np.random.default_rng(0)
    N = round(100 * seconds)
    codes = rng.integers(0, 8, N if codebooks == 1 else (N, codebooks))
    waveform = np.zeros(round(8000 * seconds), np.float32)  # silence is drawn, too
    picture = PIL.Image.open(io.BytesIO(codes_png(waveform, codes, 8000, 80)))
    assert picture.size == (780, 405)
    assert picture.getpixel((0, 0))[3] == 0  # for light and dark pages


def test_only_what_is_drawn_counts():
    """Of a long recording the beginning is drawn, and the same codes give the same picture."""
    rng = np.random.default_rng(0)
    waveform = rng.standard_normal(round(2 * SECONDS * 8000)).astype(np.float32)
    codes = rng.integers(0, 8, round(2 * SECONDS * 100))
    picture = codes_png(waveform, codes, 8000, 80)
    changed = codes.copy()
    changed[len(codes) // 2 :] = 0
    assert codes_png(waveform, changed, 8000, 80) == picture
    changed[5] = (changed[5] + 4) % 8
    assert codes_png(waveform, changed, 8000, 80) != picture
