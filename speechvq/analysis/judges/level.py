"""Level normalisation of speech before it is judged, the same for recordings and conversions.

Most judges depend on the level. On the stand-in corpus, 20 dB less lowered DNSMOS overall by 0.3
and changed a quarter of the phones that pocketsphinx recognises; 10 dB more changed Resemblyzer's
embeddings to a similarity of 0.91 with those before, as its spectrogram is not logarithmic.
Whisper normalises by the maximum, and pyworld does not depend on the level.
"""

import numpy as np

from speechvq import audio

SAMPLE_RATE = 16000
"""Hz, of the speech that is judged."""

LEVEL = -26.0
"""dB relative to full scale, as is usual in quality tests."""


def normalised(waveform: np.ndarray, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Scale speech to :data:`LEVEL`, or as near as possible without clipping.

    Parameters
    ----------
    waveform
        Floats (T,).
    sample_rate
        Hz of the waveform, which is resampled to :data:`SAMPLE_RATE`.

    Returns
    -------
    ndarray
        (T,) float32 in [-1, 1] at 16 kHz; silence stays silence.
    """
    if sample_rate != SAMPLE_RATE:
        import soxr

        waveform = soxr.resample(waveform, sample_rate, SAMPLE_RATE)
    waveform = np.asarray(waveform, dtype=np.float32)
    if not waveform.any():
        return waveform
    gain = 10 ** ((LEVEL - audio.speech_level([waveform], SAMPLE_RATE)) / 20)
    return (waveform * min(gain, 1 / np.abs(waveform).max())).astype(np.float32).clip(-1, 1)
