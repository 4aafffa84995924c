"""The level at which the judges hear speech, the same for originals and conversions.

It matters to most of them. On the stand-in corpus, 20 dB less cost 0.3 of DNSMOS' overall quality
and changed a quarter of the phones that pocketsphinx hears; 10 dB more brought Resemblyzer's
embeddings down to a similarity of 0.91 to what they were, for its spectrogram is not logarithmic.
Whisper hears relative to the loudest, and pyworld's pitch has no level.
"""

import numpy as np

from speechvq import audio

SAMPLE_RATE = 16000
"""Hz, what all judges hear."""

LEVEL = -26.0
"""Of the speech, decibels below full scale, as is usual where quality is judged."""


def normalised(waveform: np.ndarray) -> np.ndarray:
    """Bring speech to :data:`LEVEL`, or as near as it can be without clipping.

    Parameters
    ----------
    waveform
        Floats (T,) at 16 kHz.

    Returns
    -------
    ndarray
        (T,) float32 in [-1, 1]; silence stays silence.
    """
    waveform = np.asarray(waveform, dtype=np.float32)
    if not waveform.any():
        return waveform
    gain = 10 ** ((LEVEL - audio.speech_level([waveform], SAMPLE_RATE)) / 20)
    return (waveform * min(gain, 1 / np.abs(waveform).max())).astype(np.float32).clip(-1, 1)
