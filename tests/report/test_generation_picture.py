import numpy as np

from speechvq.analysis.generation import Counter
from speechvq.report.generation_picture import generation_png


def test_a_picture():
    counter = Counter(np.array(["aa", "aa", "t", "sil"]), 10.0)
    generator = np.random.default_rng(0)
    sets = {name: counter.counts(list(generator.integers(0, 4, (50, 80)))) for name in "abc"}
    assert generation_png(counter.phones, sets, 10.0, "title").startswith(b"\x89PNG")
