"""A round trip through MP3, as many recordings have been through before anyone encodes them.

Shapes: T samples.
"""

import io

import numpy as np

COMPRESSIONS = (0.8, 0.9, 0.9, 0.95)
"""Settings of libsndfile's encoder: some 40, 24 and 16 kbit/s for 16 kHz."""
DELAY = 1105
"""Samples by which a decoded MP3 is late where the file does not tell its length."""
RMS = 0.05
"""Root mean square at which speech is encoded, where its peaks allow it."""


def mp3_round_trip(waveform: np.ndarray, sample_rate: int, compression: float) -> np.ndarray:
    """Encode a waveform (T,) float32 as MP3 and decode it: (T,), at its level, not delayed.

    `sample_rate` is one of `config.perturbation.MP3_RATES`.
    """
    import soundfile

    level = float(np.sqrt(np.square(waveform).mean()))
    peak = float(np.abs(waveform).max())
    if not peak:
        return waveform
    gain = min(RMS / level, 0.95 / peak)
    file = io.BytesIO()
    soundfile.write(
        file,
        gain * waveform,
        sample_rate,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=compression,
        bitrate_mode="CONSTANT",
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    # A file without its length, which those of low bitrates lack, is decoded with all padding
    late = DELAY if len(decoded) > len(waveform) else 0
    decoded = decoded[late : late + len(waveform)]
    return np.pad(decoded, (0, len(waveform) - len(decoded))) / gain
