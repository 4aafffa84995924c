"""Phone labels of codes: the phone at the centre of each code's frame."""

from collections.abc import Iterable

import numpy as np

from speechvq.analysis.phone_classes import VOWELS
from speechvq.data.labels import SILENCE
from speechvq.data.manifest import Phone


def frame_labels(phones: Iterable[Phone] | None, n_frames: int, frame_seconds: float) -> np.ndarray:
    """Label every frame with the normalised phone at the centre.

    Frame n covers the seconds from ``n * frame_seconds`` to ``(n + 1) * frame_seconds``.

    Parameters
    ----------
    phones
        In the order of time, not overlapping, as :func:`speechvq.data.labels.read_labels` gives.
    n_frames
        N, the number of codes of the utterance.
    frame_seconds
        Seconds per code.

    Returns
    -------
    ndarray of str, shape (N,)
        A frame whose centre lies in no phone is :data:`~speechvq.data.labels.SILENCE`. A centre
        on a boundary belongs to the later phone.
    """
    centres = (np.arange(n_frames) + 0.5) * frame_seconds
    phones = normalise(phones)
    if not phones:
        return np.full(n_frames, SILENCE)
    starts = np.array([phone.start for phone in phones])
    ends = np.array([phone.end for phone in phones])
    names = np.array([phone.label for phone in phones] + [SILENCE])
    last_started = np.searchsorted(starts, centres, side="right") - 1
    outside = (last_started < 0) | (centres >= ends[last_started])
    return names[np.where(outside, len(phones), last_started)]


def normalise(phones: Iterable[Phone] | None) -> tuple[Phone, ...]:
    """Convert labels to lower case and drop ARPAbet stress: ``AA1`` to ``aa``.

    Only a digit 0, 1 or 2 after an ARPAbet vowel counts as stress, so the labels of other
    alphabets (``a5``, ``2:``) keep theirs.
    """
    assert phones is not None, "utterances without labels are left out before"
    return tuple(Phone(phone.start, phone.end, _folded(phone.label.lower())) for phone in phones)


def _folded(label: str) -> str:
    stressed = label[-1:] in ("0", "1", "2") and label[:-1] in VOWELS
    return label[:-1] if stressed else label
