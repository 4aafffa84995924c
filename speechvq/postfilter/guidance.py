"""Speaker guidance: the mel post-filter's targets, further from the average speaker's speech.

    y = f_s + w (f_s - f_0)

f_s are the frames that the mel predictor gives for a speaker, f_0 those for the average speaker.
The predictor learned an average, by L1, and something of the source's voice is left in codes: f_s
is less the speaker's than it could be. As classifier-free guidance (Ho and Salimans, 2021), but of
frames in place of a distribution. The decoder is still given f_s. This is not in the paper.

Shapes: n codes, D codebook_dim, m frames, F mel bands.
"""

from __future__ import annotations

from torch import Tensor

from speechvq.postfilter.predictor import StreamingMelPredictor


class SpeakerGuidance:
    """Guided frames of codes that come in pieces.

    Parameters
    ----------
    predictor : StreamingMelPredictor
    w : float
        How much further, as a share of the distance.
    """

    def __init__(self, predictor: StreamingMelPredictor, w: float):
        self._average, self._w = predictor.stream_of_average(), w

    def add(self, quantized: Tensor, frames: Tensor) -> Tensor:
        """Take z_q (1, n, D), and the speaker's frames (1, m, F) that are known with them.

        Give the guided ones, standardised (1, m, F).
        """
        return self._guided(frames, self._average.add(quantized))

    def end(self, frames: Tensor) -> Tensor:
        """Take the speaker's remaining frames (1, m, F); give the guided ones."""
        return self._guided(frames, self._average.end())

    def _guided(self, frames: Tensor, average: Tensor) -> Tensor:
        return frames + self._w * (frames - average)
