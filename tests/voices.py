"""Synthetic speech for tests of speaker normalisation."""

import numpy as np

RATE = 8000
VOWELS = np.random.default_rng(0).uniform((250, 900, 2000), (800, 1900, 2900), size=(12, 3))
"""Resonances of a few vowels, Hz."""


def speech(rng: np.random.Generator, stretch: float, seconds: float) -> np.ndarray:
    """Noise through the resonances of vowels in random order, all of them `stretch` times as high.

    Another vowel every 0.1 s; some are silent.
    """
    length = RATE // 10
    frequency = np.fft.rfftfreq(2 * length, 1 / RATE)[:, None]
    parts = []
    for vowel in rng.integers(len(VOWELS) + 2, size=round(10 * seconds)):
        loud = 0.1 if vowel < len(VOWELS) else 1e-4
        peaks = stretch * VOWELS[vowel % len(VOWELS)]
        gains = (1 / (1 + ((frequency - peaks) / (80 * stretch)) ** 2)).sum(1)
        noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(2 * length)) * gains)
        parts.append(loud * noise[:length] / noise.std())
    return np.concatenate(parts).astype(np.float32)
