"""Trimming the silence before and after speech."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from speechvq.data.manifest import Phone, Utterance

FRAME = 0.01
"""Seconds over which energy is averaged."""


def speech_bounds(
    waveform: np.ndarray, sample_rate: int, threshold: float = 40.0, margin: float = 0.1
) -> tuple[float, float]:
    """Where the sound of a waveform (T,) begins and ends.

    Parameters
    ----------
    waveform
        float (T,), not silent throughout.
    sample_rate
        Hz.
    threshold
        A frame of 10 ms counts as sound when its energy is at most this many dB below that of
        the loudest frame.
    margin
        Seconds kept on either side: quiet consonants begin and end words.

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
    """Seconds of a waveform (T,) that are sound, as `speech_bounds` has it; pauses do not count."""
    if not len(waveform) or np.ptp(waveform) == 0:
        return 0.0
    loud, hop = _loud_frames(waveform, sample_rate, threshold)
    return min(len(loud) * hop, len(waveform)) / sample_rate


def _loud_frames(
    waveform: np.ndarray, sample_rate: int, threshold: float
) -> tuple[np.ndarray, int]:
    """Places of the frames that are sound, and the samples of a frame."""
    hop = max(1, round(FRAME * sample_rate))
    padded = np.pad(np.asarray(waveform, dtype=np.float64), (0, -len(waveform) % hop), "edge")
    energy = padded.reshape(-1, hop).var(axis=1)  # the variance: a constant offset is no sound
    return np.flatnonzero(energy >= energy.max() * 10 ** (-threshold / 10)), hop


def trim(utterance: Utterance, start: float, end: float) -> Utterance:
    """The part of an utterance from `start` to `end`, in seconds from its own beginning."""
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
    """The phones between two times, cut at both and counted from the first; seconds."""
    return tuple(
        Phone(max(phone.start, start) - start, min(phone.end, end) - start, phone.label)
        for phone in phones
        if phone.end > start and phone.start < end
    )
