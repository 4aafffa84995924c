import io

import numpy as np
import pytest

from speechvq.analysis.confusion import phone_recalls
from speechvq.analysis.phonemes import score_map
from speechvq.report.figures import rendered
from speechvq.report.phone_pictures import codes_figure, confusion_figure
from speechvq.report.phonemes_figures import learning_curve_figure, recall_figure


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


def test_recalls_and_curves_are_drawn_in_order():
    true = np.array(["aa", "aa", "t", "zz"])
    recalls = phone_recalls(true, np.array(["aa", "t", "t", "t"]), np.arange(4))
    (axes,) = recall_figure(recalls, "Recall").axes
    assert [bar.get_height() for bar in axes.patches] == [0.5, 1, 0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["aa\n2", "t\n1", "zz\n1"]

    scores = [score_map(np.roll(true, n), true, true, 4) for n in (2, 1, 0)]
    steps, stages = (10, 20, 35), ("cepstra", "cepstra", "decoder")
    figure = learning_curve_figure(steps, stages, (False, True, True), scores, "Curve")
    axes = figure.axes[0]
    assert axes.lines[0].get_xdata().tolist() == list(steps)
    assert axes.lines[0].get_ydata().tolist() == [s.accuracy for s in scores]
    assert [text.get_text() for text in axes.texts] == ["cepstra", "decoder"]
