"""The long-term post-filter: less noise between the harmonics of drawn voiced speech.

    y_t = x_t + g (Σ_k w_k x_{t-kλ} - x_t),    k = 0, 1, 2

A comb over the first sub-band, in which hoarseness is heard. λ and ρ are those of the decoder's
long-term predictor, g rises with ρ. Speech codecs have such a filter. It takes the past alone, and
so delays nothing. This is not in the paper.

Shapes: t steps.
"""

import numpy as np
import torch

from speechvq.models import mu_law
from speechvq.models.long_term import LongTermPredictor

WEIGHTS = (0.4, 0.35, 0.25)
"""w_k: of a step, and of those one and two pitch periods before it."""
UNVOICED, VOICED = 0.3, 0.6
"""ρ up to which g is 0, and from which on it is 1."""


class LongTermPostFilter:
    """The filter on an utterance's first sub-band, which comes in pieces.

    Parameters
    ----------
    predictor : LongTermPredictor
        Finds the lags.
    period : int
        Steps for which a lag holds; a piece has a multiple of them.
    """

    def __init__(self, predictor: LongTermPredictor, period: int):
        self._predictor, self._period = predictor, period
        self._levels = np.full(predictor.history, mu_law.SILENCE)
        self._drawn = np.zeros((len(WEIGHTS) - 1) * predictor.longest)

    def add(self, levels: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Filter the amplitudes `drawn` (t,) of levels (t,); (t,)."""
        reach = len(self._drawn)
        levels = np.concatenate([self._levels, levels])
        past = np.concatenate([self._drawn, drawn])
        # The lags before the first step of each period, as the decoder has found them
        before = torch.from_numpy(levels[: len(levels) - self._period]).unsqueeze(0)
        lags, weights = (
            x[0].repeat_interleave(self._period).numpy()
            for x in self._predictor.lags(before, self._period, torch.float64)
        )
        at = reach + np.arange(len(drawn))
        comb = sum(w * past[at - k * lags] for k, w in enumerate(WEIGHTS))
        g = ((weights - UNVOICED) / (VOICED - UNVOICED)).clip(0, 1)
        self._levels, self._drawn = levels[-len(self._levels) :], past[-reach:]
        return drawn + g * (comb - drawn)
