"""Forced alignment of phones with speech of a known text, by pocketsphinx, offline.

pocketsphinx carries an acoustic model and a dictionary (CMUdict) of American English. On the
stand-in corpus, whose phone times are known exactly, half of its boundaries lie within 8 ms and
85 % within 20 ms.
"""

import re

import numpy as np

from speechvq.analysis.transcripts import spoken
from speechvq.data.labels import SILENCE
from speechvq.data.manifest import Phone

SAMPLE_RATE = 16000
"""Hz, of the acoustic model."""

PADDING = 0.25
"""Seconds of near silence added before and after the speech, as the model expects."""

DITHER = 2.0
"""Standard deviation of the dither, in steps of 16-bit audio: log 0 is not finite."""

FRAMES_PER_SECOND = 100

FRAME_OFFSET = 0.0078
"""Seconds: the window of frame n is 25.6 ms from n / 100 s on, so the frame represents the 10 ms in
the middle of the window."""

SIBILANTS, VOICELESS = ("S", "Z", "SH", "ZH", "CH", "JH"), ("P", "T", "K", "F", "TH")
FILLERS = ("SIL", "+SPN+", "+NSN+")


class AlignmentError(ValueError):
    """A text that cannot be aligned with its speech."""


class Aligner:
    """Aligns the phones of a text with speech. Loading takes a second; reuse one object.

    Raises
    ------
    ValueError
        pocketsphinx is not installed.
    """

    def __init__(self) -> None:
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise ValueError(
                "alignment needs pocketsphinx; install it with: pip install pocketsphinx"
            ) from error
        # The best path through the word lattice has words of one frame, which the second pass
        # refuses: with it a tenth of the stand-in corpus failed, without it nothing.
        self._decoder = Decoder(lm=None, bestpath=False, loglevel="FATAL")

    def words(self, text: str) -> list[str]:
        """Split a text into words as the dictionary writes them, known or not.

        Marks such as ``<noise>`` are no words (`transcripts.spoken`). A word with a hyphen stays
        whole where the dictionary has it so.
        """
        words = []
        for token in spoken(text).lower().replace("\u2019", "'").replace("\u2018", "'").split():
            token = re.sub(r"^[^\w']+|[^\w']+$", "", token)
            # Apostrophes belong to 'tis and dogs', or are quotation marks.
            for whole in (token, token.strip("'")):
                if whole and self._knows(whole):
                    words.append(whole)
                    break
            else:
                words += [w.strip("'") for w in re.findall(r"[\w']+", token) if w.strip("'")]
        return words

    def unknown(self, text: str) -> list[str]:
        """Name the words of a text that are not in the dictionary."""
        return [word for word in self.words(text) if not self._knows(word)]

    def _knows(self, word: str) -> bool:
        if self._decoder.lookup_word(word) is not None:
            return True
        stem = self._decoder.lookup_word(word.removesuffix("'s"))
        if not word.endswith("'s") or not stem:
            return False
        last = stem.split()[-1]  # the dictionary has few possessives: apply the English rule
        ending = "IH Z" if last in SIBILANTS else "S" if last in VOICELESS else "Z"
        self._decoder.add_word(word, f"{stem} {ending}", True)
        return True

    def align(self, waveform: np.ndarray, text: str) -> tuple[Phone, ...]:
        """Align the phones of ``text`` with ``waveform``.

        Parameters
        ----------
        waveform
            Floats (T,) in [-1, 1] at 16 kHz.
        text
            The words that are said, all in the dictionary (see :meth:`unknown`).

        Returns
        -------
        tuple of Phone
            ARPAbet in lower case without stress, silence as ``sil``; together they cover the
            waveform.

        Raises
        ------
        AlignmentError
            No words, unknown words, or the speech does not fit the text.
        """
        words = self.words(text)
        if not words:
            raise AlignmentError(f"no words in the text {text!r}")
        if unknown := self.unknown(text):
            raise AlignmentError(f"not in the dictionary: {', '.join(unknown)}")
        audio = _padded(waveform)
        try:
            self._decoder.set_align_text(" ".join(words))
            self._decode(audio)  # which words, with which pronunciations, when
            self._decoder.set_alignment()
            self._decode(audio)  # which phones, when
            entries = [
                (entry.name, entry.start, entry.duration)
                for entry in self._decoder.get_alignment().phones()
            ]
        except (RuntimeError, AttributeError, TypeError) as error:
            raise AlignmentError("the speech does not fit the text") from error
        phones = _unpadded(entries, len(waveform) / SAMPLE_RATE)
        if all(phone.label == SILENCE for phone in phones):
            raise AlignmentError("the speech does not fit the text")
        return phones

    def _decode(self, audio: bytes) -> None:
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(audio, full_utt=True)
        finally:
            self._decoder.end_utt()


def _padded(waveform: np.ndarray) -> bytes:
    silence = np.zeros(round(PADDING * SAMPLE_RATE))
    samples = np.concatenate([silence, np.asarray(waveform) * 32767, silence])
    samples += np.random.default_rng(0).normal(0, DITHER, len(samples))
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()


def _unpadded(entries: list[tuple[str, int, int]], duration: float) -> tuple[Phone, ...]:
    """Turn (name, first frame, frames) in padded time into phones from 0 to ``duration``."""
    phones: list[Phone] = []
    for name, first, frames in entries:
        begin = first / FRAMES_PER_SECOND + FRAME_OFFSET - PADDING
        start = min(max(begin, 0.0), duration)
        end = min(max(begin + frames / FRAMES_PER_SECOND, 0.0), duration)
        label = SILENCE if name in FILLERS else name.lower()
        if end <= start:
            continue
        if phones and phones[-1].label == label == SILENCE:
            start = phones.pop().start
        phones.append(Phone(start, end, label))
    if phones and phones[-1].end < duration:  # the last frames hold no whole window
        last = phones.pop()
        phones.append(Phone(last.start, duration, last.label))
    return tuple(phones)
