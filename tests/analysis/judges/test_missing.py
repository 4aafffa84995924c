"""Judges that are not there, and what they say."""

import sys
import warnings

import pytest

from speechvq.analysis.judges.closeness import STOI, ViSQOL
from speechvq.analysis.judges.missing import INSTALL, MissingJudge, importing
from speechvq.analysis.judges.phones import PhoneErrorRate
from speechvq.analysis.judges.pitch import Pitch
from speechvq.analysis.judges.quality import DNSMOS
from speechvq.analysis.judges.speakers import SpeakerSimilarity
from speechvq.analysis.judges.words import WordErrorRate

JUDGES = {
    "resemblyzer": SpeakerSimilarity,
    "pocketsphinx": PhoneErrorRate,
    "faster_whisper": WordErrorRate,
    "speechmos": DNSMOS,
    "pyworld": Pitch,
    "pystoi": STOI,
    "visqol": ViSQOL,
}


@pytest.mark.parametrize("package", JUDGES)
def test_one_line_says_how_to_install(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingJudge) as missing:
        JUDGES[package]()
    assert package.replace("_", "-") in str(missing.value)
    assert INSTALL in str(missing.value)
    assert "\n" not in str(missing.value)


def test_the_packages_own_warnings_are_not_shown():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with importing("x"):
            warnings.warn("pkg_resources is deprecated", UserWarning, stacklevel=1)


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), importing("x"):
        1 / 0  # noqa: B018
