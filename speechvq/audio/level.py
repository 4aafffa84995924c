"""The speech in a recording: where it is, how loud it is, and what lies below the voice.

All statistics of a recording are those of its speech, whatever pauses, noise, clicks, hum or
constant offset surround it. `find_speech` looks at the whole recording, in bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from speechvq.audio.iir import EIGHTH, SIXTH, IIRFilter
from speechvq.audio.reading import framed

FRAME = 0.02
"""Seconds over which power is averaged."""
LOUD = 0.95
"""Quantile of the power of the frames of speech that is taken as the power of loud speech."""
PAUSE = 30.0
"""Frames at least this many dB below loud speech are pauses."""
PEAK_SECONDS = 0.3
"""Speech is at least this long: what is louder for less time is no speech."""
ACTIVE = 20.0
"""Frames less than this many dB below the loudest speech are speech."""
ABOVE_NOISE = 6.0
"""Speech is at least this many dB above the noise floor."""
NOISE = 0.1
"""Quantile of the power of all frames that is the noise floor."""
LONG_PAUSE = 2.0
"""Longer pauses, in seconds, are left out; at the beginning and the end half as long ones."""
MARGIN = 0.2
"""Seconds around speech that are kept where a pause is left out."""
CLICK = 12.0
"""Frames this many dB above the loudest speech are clicks."""
FAINT = -60.0
"""Speech may be fainter than so many dB, but noise often is."""
VOICE = 80.0
"""Hz below which there is no voice."""
RUMBLE = 25.0
"""Sound below the voice is removed where it is less than this many dB below the loudest speech."""
HUM = 40.0
"""The same for sound that never pauses, such as hum.

Removing what lies below the voice changes codes, too. Hum changes more codes of the packaged model
from 40 dB below the loudest speech on; in speech alone the softest frames lie 50 dB below.
"""


@dataclass(frozen=True)
class Speech:
    """Where the speech of a recording is, and how loud it is."""

    sample_rate: int
    """Hz."""
    kept: np.ndarray
    """bool (frames of `FRAME`,): speech, and short pauses in it; the last frame may be short."""
    level: float
    """Level of the speech without pauses, dB; 0 dB is a root mean square of 1."""
    offset: float
    """Mean of the samples."""
    rumble: bool
    """Whether there is so much sound below the voice that `cleaned` removes it."""
    certain: bool = True
    """Whether what is kept is louder than faint noise; else there may be no speech at all."""

    @property
    def frame(self) -> int:
        """Samples of a frame."""
        return _frame(self.sample_rate)

    @property
    def seconds(self) -> float:
        """Seconds that are kept."""
        return int(self.kept.sum()) * self.frame / self.sample_rate

    def cleaned(self, blocks: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
        """Remove offset and rumble from the blocks (T,) of the recording, if there are any."""
        return _cleaned(blocks, self.sample_rate, self.offset) if self.rumble else blocks


def find_speech(blocks: Iterable[np.ndarray], sample_rate: int) -> Speech:
    """Find the speech in a recording.

    Parameters
    ----------
    blocks : iterable of ndarray
        The recording in blocks (T,), of any lengths.
    sample_rate : int
        Hz.

    Returns
    -------
    Speech
    """
    size = _frame(sample_rate)
    meter = _Meter(sample_rate)
    for block in framed(blocks, size):
        meter.add(block)
    return meter.speech()


def speech_level(blocks: Iterable[np.ndarray], sample_rate: int) -> float:
    """Measure the level of the speech in a recording, without pauses.

    Parameters
    ----------
    blocks : iterable of ndarray
        The recording in blocks (T,), of any lengths.
    sample_rate : int
        Hz.

    Returns
    -------
    float
        dB; 0 dB is a root mean square of 1. Minus infinity for silence.
    """
    return find_speech(blocks, sample_rate).level


class _Meter:
    """Measures frames of a recording: their power, that of the voice, and that below the voice."""

    def __init__(self, sample_rate: int):
        self._rate, self._size = sample_rate, _frame(sample_rate)
        self._high = _voice_filter(sample_rate)
        self._low = IIRFilter(SIXTH, "lowpass", 0.75 * VOICE, sample_rate)
        self._power: list[np.ndarray] = []
        self._voice: list[np.ndarray] = []
        self._below: list[np.ndarray] = []
        self._samples, self._sum, self._start = 0, 0.0, 0.0

    def add(self, block: np.ndarray) -> None:
        """Add whole frames, or the last samples of the recording."""
        if not self._samples:
            self._start = float(block[: self._size].mean())  # so that filters do not ring long
        centred = block - np.float64(self._start)
        self._samples += len(block)
        self._sum += float(block.sum(dtype=np.float64))
        self._power.append(frame_powers(block, self._size))
        self._voice.append(frame_powers(self._high.add(centred), self._size))
        self._below.append(frame_powers(self._low.add(centred), self._size))

    def speech(self) -> Speech:
        """Decide what is speech, and measure its level."""
        if not self._samples:
            return Speech(self._rate, np.zeros(0, bool), -np.inf, 0.0, False)
        power, voice, below = (np.concatenate(x) for x in (self._power, self._voice, self._below))
        kept, loudest = _kept(voice)
        offset = self._sum / self._samples
        below = np.minimum(below, np.quantile(below, 1 - NOISE))  # clicks are no rumble
        low = below.mean() + self._start * (2 * offset - self._start)  # of what is not centred
        steady = np.quantile(below, NOISE)
        rumble = bool(low > loudest * 10 ** (-RUMBLE / 10) > 0)
        rumble |= bool(steady > loudest * 10 ** (-HUM / 10) > 0)
        clear = kept & (voice <= loudest * 10 ** (CLICK / 10))
        level = _level((voice if rumble else power)[clear])
        return Speech(self._rate, kept, level, offset, rumble, loudest > 10 ** (FAINT / 10))


def _level(power: np.ndarray) -> float:
    """Level in dB of frames of these powers, without pauses."""
    if not power.any():
        return -np.inf
    speech = power[power > np.quantile(power, LOUD) * 10 ** (-PAUSE / 10)]
    return float(10 * np.log10(speech.mean() if len(speech) else power.mean()))


def _kept(voice: np.ndarray) -> tuple[np.ndarray, float]:
    """Frames of speech and of short pauses, and the power of the loudest speech."""
    smooth = np.median(
        np.lib.stride_tricks.sliding_window_view(np.pad(voice, 2, mode="edge"), 5), axis=1
    )  # without clicks
    count = min(round(PEAK_SECONDS / FRAME), max(1, len(smooth) // 10))
    loudest = float(np.partition(smooth, -count)[-count])
    if loudest <= 0:
        return np.ones(len(voice), bool), loudest
    noise = float(np.quantile(smooth[smooth > 0], NOISE))
    above_noise = min(noise * 10 ** (ABOVE_NOISE / 10), loudest * 10 ** (-ABOVE_NOISE / 10))
    active = smooth > max(loudest * 10 ** (-ACTIVE / 10), above_noise)
    return _with_short_pauses(active), loudest


def _with_short_pauses(active: np.ndarray) -> np.ndarray:
    """Frames of speech (N,) and those of pauses that are not left out."""
    kept = active.copy()
    changes = np.flatnonzero(np.diff(active, prepend=~active[0], append=~active[-1]))
    margin, longest = round(MARGIN / FRAME), LONG_PAUSE / FRAME
    for begin, end in zip(changes, changes[1:], strict=False):
        at_edge = begin == 0 or end == len(active)
        if active[begin] or end - begin <= (longest / 2 if at_edge else longest):
            kept[begin:end] = True
            continue
        if begin:
            kept[begin : begin + margin] = True
        if end < len(active):
            kept[end - margin : end] = True
    return kept


def _frame(sample_rate: int) -> int:
    return max(1, round(FRAME * sample_rate))


def frame_powers(samples: np.ndarray, size: int) -> np.ndarray:
    """Mean square of each frame of (T,); the last frame may be short."""
    whole = len(samples) // size * size
    powers = np.square(samples[:whole]).reshape(-1, size).mean(1)
    if whole < len(samples):
        powers = np.append(powers, np.square(samples[whole:]).mean())
    return powers


def _voice_filter(sample_rate: int) -> IIRFilter:
    return IIRFilter(EIGHTH, "highpass", VOICE, sample_rate)


def _cleaned(blocks: Iterable[np.ndarray], sample_rate: int, offset: float) -> Iterator[np.ndarray]:
    """Yield the blocks without what lies below the voice."""
    voice = _voice_filter(sample_rate)
    for block in blocks:
        yield voice.add(block - np.float64(offset)).astype(np.float32)
