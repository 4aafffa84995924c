"""Trimming silence before and after speech.

Shapes: T samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from speechvq import audio
from speechvq.data.manifest import Phone, Utterance

FRAME = 0.01
"""Seconds over which energy is averaged."""


@dataclass(frozen=True)
class Sound:
    """Where there is sound in a recording."""

    duration: float
    """Of the recording, in seconds."""
    peak: float
    """Largest magnitude of a sample."""
    start: float
    """Seconds at which the sound begins, with a margin."""
    end: float
    """Seconds at which it ends, with a margin."""
    seconds: float
    """Of sound, without pauses; 0 where all samples are the same."""


def find_sound(
    blocks: Iterable[np.ndarray], sample_rate: int, threshold: float = 40.0, margin: float = 0.1
) -> Sound:
    """Find the start and the end of the sound in a recording, and measure it.

    Parameters
    ----------
    blocks
        The recording in blocks (T,), of any lengths.
    sample_rate
        Hz.
    threshold
        A frame of 10 ms is sound if its energy is at most this many dB below the energy of the
        loudest frame.
    margin
        Seconds kept on both sides, because words begin and end with quiet consonants.
    """
    hop = max(1, round(FRAME * sample_rate))
    T, lowest, highest, energies = 0, np.inf, -np.inf, [np.zeros(0)]
    for block in audio.framed(blocks, hop):
        T += len(block)
        lowest, highest = min(lowest, block.min()), max(highest, block.max())
        padded = np.pad(block.astype(np.float64), (0, -len(block) % hop), "edge")
        # variance, so that a constant offset is no sound
        energies.append(padded.reshape(-1, hop).var(axis=1))
    duration = T / sample_rate
    if not lowest < highest:
        return Sound(duration, float(abs(lowest)) if T else 0.0, 0.0, duration, 0.0)
    energy = np.concatenate(energies)
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (-threshold / 10))
    return Sound(
        duration,
        float(max(-lowest, highest)),
        start=max(0.0, loud[0] * hop / sample_rate - margin),
        end=min(duration, (loud[-1] + 1) * hop / sample_rate + margin),
        seconds=min(len(loud) * hop, T) / sample_rate,
    )


def trim(utterance: Utterance, start: float, end: float) -> Utterance:
    """Return the part of an utterance from `start` to `end`, in seconds within the utterance."""
    if not 0 <= start < end:
        raise ValueError(f"{utterance.id}: cannot trim to {start:g} to {end:g} s")
    phones = utterance.phones
    end = min(end, utterance.duration)
    return replace(
        utterance,
        start=utterance.start + start,
        duration=end - start,
        phones=None if phones is None else clip_phones(phones, start, end),
    )


def clip_phones(phones: tuple[Phone, ...], start: float, end: float) -> tuple[Phone, ...]:
    """Return the phones between two times in seconds, cut at both, relative to the first."""
    return tuple(
        Phone(max(phone.start, start) - start, min(phone.end, end) - start, phone.label)
        for phone in phones
        if phone.end > start and phone.start < end
    )
