import io

import numpy as np
import pytest

from speechvq.report.figures import rendered
from speechvq.report.phone_pictures import codes_figure, confusion_figure


@pytest.mark.parametrize("codebook_size", [6, 200])
def test_pictures_are_pngs_and_leave_the_plotting_backend_alone(codebook_size):
    image = pytest.importorskip("matplotlib.image")
    generator = np.random.default_rng(0)
    codes = generator.integers(0, codebook_size - 1, 400)
    labels = np.array(["aa", "t", "sil", "zz"])[codes % 4]
    for figure in (
        confusion_figure(labels, np.roll(labels, 1), "Phones"),
        codes_figure(codes, labels, codebook_size, "Codes"),
    ):
        pixels = image.imread(io.BytesIO(rendered(figure)), format="png")
        assert pixels.ndim == 3
        assert min(pixels.shape[:2]) > 150
        assert pixels[..., :3].std() > 0.05  # something is drawn
