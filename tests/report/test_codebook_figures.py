import numpy as np

from speechvq.analysis.codebook import bit_rates, codebook_use
from speechvq.report.codebook_figures import COLOURS, map_figure, use_figure


def test_the_map_shows_used_codes_by_class_and_unused_ones_as_crosses():
    places = np.arange(10.0).reshape(5, 2)
    counts = np.array([4, 0, 1, 1, 2])
    classes = np.array(["vowels", "", "silence", "vowels", ""])
    figure = map_figure([places], [counts], [classes], ["codes"], "Map")
    unused, *kinds = figure.axes[0].collections
    assert unused.get_offsets().tolist() == [[2, 3]]
    drawn = sum((kind.get_offsets().tolist() for kind in kinds), [])
    assert sorted(drawn) == [[0, 1], [4, 5], [6, 7], [8, 9]]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "vowels", "silence", "no labelled frame", "unused",
    ]  # fmt: skip


def test_without_phones_and_unused_codes_there_is_no_legend():
    figure = map_figure([np.eye(3, 2)], [np.ones(3)], [np.array(["", "", ""])], ["codes"], "Map")
    assert not figure.legends
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_use_figure_draws_a_line_of_each_codebook_and_a_bar_of_each_coding():
    use = codebook_use([np.array([0, 0, 1, 3])], 4, 25)
    rates = bit_rates(use.codings, np.array([0.16]))
    figure = use_figure({"a": use.counts, "b": use.counts}, {"a": use.run_counts}, rates, 25, "Use")
    shares, runs, bars = figure.axes
    assert shares.lines[0].get_ydata().tolist() == [0.5, 0.25, 0.25]
    assert runs.lines[0].get_xdata().tolist() == [40, 80]
    assert [bar.get_width() for bar in bars.patches] == [r.rate.value for r in rates.values()]
