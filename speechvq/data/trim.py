"""Trimming silence before and after speech."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from speechvq.data.manifest import Phone, Utterance

FRAME = 0.01
"""Seconds over which energy is averaged."""


def speech_bounds(
    waveform: np.ndarray, sample_rate: int, threshold: float = 40.0, margin: float = 0.1
) -> tuple[float, float]:
    """Find the start and the end of the sound in a waveform (T,).

    Parameters
    ----------
    waveform
        float (T,), not silent throughout.
    sample_rate
        Hz.
    threshold
        A frame of 10 ms is sound if its energy is at most this many dB below the energy of the
        loudest frame.
    margin
        Seconds kept on both sides, because words begin and end with quiet consonants.

    Returns
    -------
    start, end
        Seconds, within the waveform.
    """
    if not np.any(waveform):
        raise ValueError("nothing but silence: there is no speech to find the bounds of")
    loud, hop = _loud_frames(waveform, sample_rate, threshold)
    duration = len(waveform) / sample_rate
    start = max(0.0, loud[0] * hop / sample_rate - margin)
    end = min(duration, (loud[-1] + 1) * hop / sample_rate + margin)
    return start, end


def sound_seconds(waveform: np.ndarray, sample_rate: int, threshold: float = 40.0) -> float:
    """Measure the seconds of sound in a waveform (T,), without pauses, as in `speech_bounds`."""
    if not len(waveform) or np.ptp(waveform) == 0:
        return 0.0
    loud, hop = _loud_frames(waveform, sample_rate, threshold)
    return min(len(loud) * hop, len(waveform)) / sample_rate


def _loud_frames(
    waveform: np.ndarray, sample_rate: int, threshold: float
) -> tuple[np.ndarray, int]:
    """Indices of the frames that are sound, and samples per frame."""
    hop = max(1, round(FRAME * sample_rate))
    padded = np.pad(np.asarray(waveform, dtype=np.float64), (0, -len(waveform) % hop), "edge")
    energy = padded.reshape(-1, hop).var(axis=1)  # variance, so that a constant offset is no sound
    return np.flatnonzero(energy >= energy.max() * 10 ** (-threshold / 10)), hop


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
