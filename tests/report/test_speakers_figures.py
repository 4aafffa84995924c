import numpy as np
import pytest

from speechvq.analysis.bootstrap import Estimate
from speechvq.analysis.speakers import ProbeScores, Shuffled, SpeakerInformation
from speechvq.report.speakers_figures import speakers_figure

PROBES = {
    "codes": ProbeScores(Estimate(0.4, 0.2, 0.6, 9), Estimate(0.3, 0.1, 0.5, 9), 0.25, 8),
    "latents": ProbeScores(Estimate(1.0, np.nan, np.nan, 1), Estimate(0.9, 0.8, 1, 9), 0.25, 4),
}
INFORMATION = {
    "codes": SpeakerInformation(
        Estimate(0.7, 0.6, 0.8, 9), Shuffled(0.5, 0.4, 0.6), Shuffled(0.55, 0.5, 0.6),
        Estimate(0.15, 0.05, 0.25, 9), 1.9,
    )
}  # fmt: skip


@pytest.mark.parametrize("information", [{}, INFORMATION])
def test_bars_are_the_scores(information):
    plots = speakers_figure(PROBES, information, "Speakers").axes
    assert len(plots) == 1 + bool(information)
    assert [bar.get_width() for bar in plots[0].patches] == [0.4, 1.0, 0.3, 0.9]
    assert plots[0].lines[-1].get_xdata()[0] == 0.25
    if information:
        assert [bar.get_width() for bar in plots[1].patches] == [0.7]
        assert "1.90" in plots[1].get_xlabel()
