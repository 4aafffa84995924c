"""Marks by DNSMOS."""

import numpy as np
import pytest

pytest.importorskip("speechmos")
pytest.importorskip("onnxruntime")

from speechvq.analysis.judges.level import normalised  # noqa: E402
from speechvq.analysis.judges.quality import DNSMOS, MARKS  # noqa: E402


@pytest.fixture(scope="module")
def quality():
    return DNSMOS()


def test_noise_lowers_the_rating(quality, standin):
    clean, _, _ = standin("p225", 0)
    noise = np.random.default_rng(0).normal(0, 0.02, len(clean))
    clear, noisy = quality.rate(clean), quality.rate(normalised(clean + noise))
    assert set(clear) == set(MARKS)
    assert all(1 <= mark <= 5 for mark in clear.values())
    for name in ("overall", "background", "p808"):
        assert noisy[name] < clear[name] - 0.3, name


def test_quiet_speech_is_marked_down_unless_brought_to_level(quality, standin):
    speech, _, _ = standin("p225", 0)
    usual = quality.rate(speech)["overall"]
    assert quality.rate(speech / 100)["overall"] < usual - 0.2
    assert quality.rate(normalised(speech / 100))["overall"] == pytest.approx(usual, abs=0.02)


def test_short_sounds_have_marks(quality):
    assert all(np.isfinite(mark) for mark in quality.rate(np.zeros(800)).values())
