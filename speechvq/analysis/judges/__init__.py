"""Judges of speech that were trained elsewhere, each with its weights inside its package.

Each judge is one file with one class (:class:`judge.Judge`): its `score` takes a piece of speech at
:data:`level.SAMPLE_RATE` and gives numbers. Optional packages are imported when a judge is made;
:class:`missing.MissingJudge` says how to install a package that is missing. Judges know no models.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from speechvq.analysis.judges.judge import Judge
from speechvq.analysis.judges.phones import PhoneErrorRate
from speechvq.analysis.judges.pitch import Pitch
from speechvq.analysis.judges.quality import DNSMOS
from speechvq.analysis.judges.speakers import SpeakerSimilarity
from speechvq.analysis.judges.words import WordErrorRate


def judge_makers(recogniser: str | Path | None = None) -> dict[str, Callable[[], Judge]]:
    """Every judge of the package: its title, and what makes it.

    Parameters
    ----------
    recogniser
        Model folder of faster-whisper for the WER; by default the packaged tiny.en.
    """
    return {
        SpeakerSimilarity.title: SpeakerSimilarity,
        WordErrorRate.title: partial(WordErrorRate, folder=recogniser),
        PhoneErrorRate.title: PhoneErrorRate,
        DNSMOS.title: DNSMOS,
        Pitch.title: Pitch,
    }
