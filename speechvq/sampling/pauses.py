"""Drawn speech at the level of its source, in pauses, too.

A decoder draws some noise in pauses, however silent those of the recording are. In a conversion a
pause is no louder than in its source; speech is not touched.

Shapes: T samples, N codes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from speechvq.audio.level import frame_powers
from speechvq.model import Model
from speechvq.sampling.encode import EncodedSource
from speechvq.sampling.level import apply_gain

PAUSE = 35.0
"""Sound of a source at least this many dB below its speech is a pause."""
WHOLLY = 40.0
"""Pauses this many dB below the speech are limited wholly, those between in part."""
NEAR = 0.02
"""Seconds on either side of a code in which there is no speech if it is a pause."""


class SourceLevel:
    """Brings drawn speech to the level of its source, in pauses, too.

    What is drawn for a code comes back once `NEAR` and one code more have been drawn.

    Parameters
    ----------
    model : Model
        One that does not know the level of its training speech leaves pauses as they are drawn.
    powers : sequence of float
        (N,) as in `encode.EncodedSource`; may still grow, and is then waited for.
    gain : float
        Factor from drawn speech to the level of the source.
    """

    def __init__(self, model: Model, powers: Sequence[float] | np.ndarray, gain: float):
        self._powers, self._gain, self._speech = powers, gain, model.speech_level
        self._hop, self._near = model.hop_length, int(np.ceil(NEAR * model.frame_rate))
        self._held = np.zeros(0, np.float32)  # drawn, from code `_first` on
        self._first = 0
        self._past = 0  # codes in `_held` that have been given: the context of those to come

    def add(self, samples: np.ndarray) -> np.ndarray:
        """Take drawn samples (t,); return those that are ready, (u,)."""
        if self._speech is None:
            return apply_gain(self._gain, samples)
        self._held = np.concatenate([self._held, samples])
        codes = min(len(self._held) // self._hop, len(self._powers) - self._first)
        return self._given(codes, codes - self._near - 1)

    def end(self) -> np.ndarray:
        """Return the samples (u,) that are left."""
        codes = -(-len(self._held) // self._hop)
        return self._given(codes, codes)

    def _given(self, codes: int, ready: int) -> np.ndarray:
        """The samples of codes `_past` to `ready`, by what is held of a number of codes."""
        hop, past = self._hop, self._past
        if ready <= past:
            return np.zeros(0, np.float32)
        assert self._speech is not None
        drawn = frame_powers(self._held[: codes * hop], hop)
        source = np.array(self._powers[self._first : self._first + codes])
        gains = pause_gains(source, drawn, self._speech, self._near)
        edges = np.maximum(np.append(gains[0], gains), np.append(gains, gains[-1]))
        begin, end = edges[past:ready, None], edges[past + 1 : ready + 1, None]
        samples = self._held[past * hop : ready * hop]
        ramps = (begin + (end - begin) * np.arange(hop) / hop).ravel()[: len(samples)]
        self._past = min(ready, self._near + 1)
        self._first += ready - self._past
        self._held = self._held[(ready - self._past) * hop :]
        return apply_gain(self._gain, (ramps * samples).astype(np.float32))


def at_source_level(model: Model, source: EncodedSource, drawn: np.ndarray) -> np.ndarray:
    """Speech (N · hop_length,) drawn for a source, as a conversion (T,) of it.

    A source of unknown level leaves the level as it is drawn.
    """
    if not len(source.powers):
        return drawn[: source.samples]
    level = SourceLevel(model, source.powers, source.gain)
    return np.concatenate([level.add(drawn[: source.samples]), level.end()])


def pause_gains(source: np.ndarray, drawn: np.ndarray, speech: float, near: int) -> np.ndarray:
    """Factors (N,) by which drawn pauses are no louder than those of the source; 1 for speech.

    Parameters
    ----------
    source, drawn : ndarray
        (N,) mean squares in each code.
    speech : float
        Level of the speech in both, dB.
    near : int
        Codes on either side of a pause that are no speech, either.
    """
    loudest = np.max(_shifted(source, near), axis=0)
    below = speech - 10 * np.log10(np.maximum(loudest, 1e-20))
    part = np.clip((below - PAUSE) / (WHOLLY - PAUSE), 0, 1)
    ratio = sum(_shifted(source, near)) / np.maximum(sum(_shifted(drawn, near)), 1e-20)
    return np.minimum(1, ratio) ** (part / 2)


def _shifted(values: np.ndarray, near: int) -> list[np.ndarray]:
    """The neighbours of (N,) up to `near` on either side, as arrays (N,); the edges repeat."""
    padded = np.pad(values, near, mode="edge")
    return [padded[i : i + len(values)] for i in range(2 * near + 1)]
