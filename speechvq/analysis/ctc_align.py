"""Forced alignment of letters with speech of a known text, by a CTC model of torchaudio.

What is aligned are the letters of the text, not phones: of use where spelling is near to sound, in
languages for which there is no dictionary of pronunciations here. A letter's frames are few, since
a CTC model emits blanks between letters; times between letters are divided in the middle.

Shapes: M frames of the model, V letters, L letters of a text.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from speechvq.analysis.align import SAMPLE_RATE, AlignmentError
from speechvq.analysis.torchaudio_models import import_torchaudio, load_pretrained
from speechvq.analysis.transcripts import spoken
from speechvq.data.labels import SILENCE
from speechvq.data.manifest import Phone

REACH = 0.1
"""Seconds that the first and the last letter of a word may reach beyond its frames."""
BLANK, SEPARATOR = 0, "|"


class LetterAligner:
    """Aligns the letters of a text with speech.

    Parameters
    ----------
    name
        A pipeline of torchaudio for recognition or alignment, such as MMS_FA.
    weights
        As in `load_pretrained`.

    Attributes
    ----------
    letters : dict of str to int
        Output of the model of each letter.

    Raises
    ------
    ValueError, OSError
        As `load_pretrained`; or the model has no letters.
    """

    def __init__(self, name: str = "MMS_FA", weights: str | os.PathLike[str] | None = None) -> None:
        self._pretrained = load_pretrained(name, weights)
        bundle = self._pretrained.bundle
        if not hasattr(bundle, "get_labels"):
            raise ValueError(f"{name}: has no letters; take one for alignment, such as MMS_FA")
        labels = [label.lower() for label in bundle.get_labels()]
        self.letters = {x: i for i, x in enumerate(labels) if x.isalpha() or x == "'"}
        self._separator = labels.index(SEPARATOR) if SEPARATOR in labels else None

    def words(self, text: str) -> list[str]:
        """Split a text into words of lower-case letters and apostrophes."""
        text = spoken(text).lower().replace("\u2019", "'").replace("\u2018", "'")
        return [word for word in re.findall(r"[\w']+", text) if word.strip("'")]

    def unknown(self, text: str) -> list[str]:
        """Name the words of a text with letters that the model does not have."""
        return [word for word in self.words(text) if set(word) - set(self.letters)]

    def align(self, waveform: np.ndarray, text: str) -> tuple[Phone, ...]:
        """Align the letters of a text with speech.

        Parameters
        ----------
        waveform
            Floats (T,) in [-1, 1] at `align.SAMPLE_RATE`.
        text
            What is said.

        Returns
        -------
        tuple of Phone
            Letters, and silence as ``sil``; together they cover the waveform. A text that is not
            what was said is not noticed.

        Raises
        ------
        AlignmentError
            No words, unknown letters, or more letters than the speech has frames.
        """
        import torch

        words = self.words(text)
        if not words:
            raise AlignmentError(f"no words in the text {text!r}")
        if unknown := self.unknown(text):
            raise AlignmentError(f"letters that the model lacks: {', '.join(unknown)}")
        if not len(waveform):
            raise AlignmentError("no speech")
        with torch.inference_mode():
            batch = self._pretrained.framed(waveform, SAMPLE_RATE)
            log_probs = self._pretrained.model(batch)[0].log_softmax(-1)
        frames = self.frames(log_probs[0].numpy(), words)
        seconds = self._pretrained.stride / self._pretrained.sample_rate
        return letter_times(words, frames, seconds, len(waveform) / SAMPLE_RATE)

    def frames(self, log_probs: np.ndarray, words: Sequence[str]) -> list[tuple[int, int]]:
        """First frame of each letter and the one after its last, of log probabilities (M, V)."""
        import torch

        functional = import_torchaudio().functional
        gap = [] if self._separator is None else [self._separator]
        targets: list[int] = []
        for word in words:
            targets += [*(gap if targets else []), *(self.letters[x] for x in word)]
        repeats = sum(one == other for one, other in pairwise(targets))
        if len(targets) + repeats > len(log_probs):
            raise AlignmentError("more letters than the speech has frames")
        with warnings.catch_warnings():  # that it is deprecated: 2.9 still has it
            warnings.simplefilter("ignore")
            path, scores = functional.forced_align(
                torch.from_numpy(np.ascontiguousarray(log_probs))[None],
                torch.tensor([targets], dtype=torch.int32),
                blank=BLANK,
            )
        spans = functional.merge_tokens(path[0], scores[0], blank=BLANK)
        return [(span.start, span.end) for span in spans if span.token != self._separator]


def letter_times(
    words: Sequence[str], frames: Sequence[tuple[int, int]], seconds: float, duration: float
) -> tuple[Phone, ...]:
    """Turn the frames of letters into times from 0 to `duration` without gaps.

    A boundary within a word is in the middle between two letters. Between words each letter reaches
    to the middle, but no further than `REACH`; what is left is silence.

    Parameters
    ----------
    words
        Their letters, L in all.
    frames
        First frame, and the one after the last, of each letter (L).
    seconds
        Of a frame.
    duration
        Of the speech.
    """
    first = np.array([start for start, _ in frames]) * seconds
    last = np.minimum(np.array([end for _, end in frames]) * seconds, duration)
    middle = (last[:-1] + first[1:]) / 2
    within = np.concatenate([np.arange(len(word)) < len(word) - 1 for word in words])[:-1]
    starts = np.r_[0.0, middle]
    ends = np.r_[middle, duration]
    starts = np.where(np.r_[False, within], starts, np.maximum(starts, first - REACH))
    ends = np.where(np.r_[within, False], ends, np.minimum(ends, last + REACH))
    phones: list[Phone] = []
    at = 0.0
    for letter, start, end in zip("".join(words), starts.tolist(), ends.tolist(), strict=True):
        if start > at:
            phones.append(Phone(at, start, SILENCE))
        phones.append(Phone(start, end, letter))
        at = end
    if at < duration:
        phones.append(Phone(at, duration, SILENCE))
    return tuple(phones)
