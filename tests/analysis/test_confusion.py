import io

import numpy as np
import pytest

from speechvq.analysis.confusion import codes_png, confusion_matrix, confusion_png
from speechvq.analysis.phone_classes import CLASSES, class_of, in_order


def test_rows_are_true_phones():
    true = np.array(["t", "t", "t", "t", "sil", "aa"])
    said = np.array(["t", "t", "t", "aa", "t", "s"])
    shares, phones = confusion_matrix(true, said)
    assert phones == ["aa", "t", "s", "sil"]
    assert shares.tolist() == [[0, 0, 1, 0], [0.25, 0.75, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


def test_phones_are_ordered_by_class():
    assert in_order(["sil", "t", "xx", "b", "aa", "iy", "b", "a5"]) == [
        "iy", "aa", "b", "t", "sil", "a5", "xx",
    ]  # fmt: skip
    assert [class_of(phone) for phone in ("aa", "hh", "ch", "sil", "a5")] == [
        "vowels", "approximants", "fricatives", "silence", "other",
    ]  # fmt: skip
    everything = sum(CLASSES.values(), [])
    assert len(everything) == len(set(everything))


@pytest.mark.parametrize("codebook_size", [6, 200])
def test_pictures_are_pngs_and_leave_the_plotting_backend_alone(codebook_size):
    image = pytest.importorskip("matplotlib.image")
    generator = np.random.default_rng(0)
    codes = generator.integers(0, codebook_size - 1, 400)
    labels = np.array(["aa", "t", "sil", "zz"])[codes % 4]
    for picture in (
        confusion_png(labels, np.roll(labels, 1), "Phones"),
        codes_png(codes, labels, codebook_size, "Codes"),
    ):
        pixels = image.imread(io.BytesIO(picture), format="png")
        assert pixels.ndim == 3
        assert min(pixels.shape[:2]) > 150
        assert pixels[..., :3].std() > 0.05  # something is drawn
