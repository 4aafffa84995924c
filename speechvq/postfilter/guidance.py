"""Speaker guidance: the mel post-filter's targets, further from the average speaker's speech.

    y = f_s + w (f_s - f_0)

f_s are the frames that the mel predictor gives for a speaker, f_0 those for the average speaker.
The predictor learned an average, by L1, and something of the source's voice is left in codes: f_s
is less the speaker's than it could be. As classifier-free guidance (Ho and Salimans, 2021), but of
frames in place of a distribution. The decoder is still given f_s. This is not in the paper.

Shapes: m frames, F mel bands.
"""

from __future__ import annotations

from torch import Tensor


def guided(frames: Tensor, w: float) -> Tensor:
    """Guided frames (1, m, F) of those for the speaker and for the average speaker (2, m, F)."""
    own, average = frames.chunk(2)
    return own + w * (own - average)
