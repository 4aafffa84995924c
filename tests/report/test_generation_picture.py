import numpy as np

from speechvq.analysis.generation import Counter
from speechvq.report.figures import rendered
from speechvq.report.generation_picture import generation_figure


def test_a_picture():
    counter = Counter(np.array(["aa", "aa", "t", "sil"]), 10.0)
    generator = np.random.default_rng(0)
    sets = {name: counter.counts(list(generator.integers(0, 4, (50, 80)))) for name in "abc"}
    figure = generation_figure(counter.phones, sets, 10.0, "title")
    assert rendered(figure).startswith(b"\x89PNG")
    assert rendered(figure, "svg") == rendered(figure, "svg")
