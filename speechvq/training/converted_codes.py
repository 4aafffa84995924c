"""Codes of utterances, and of the same utterances in other voices.

Codes keep something of the voice that was encoded. A mel predictor that is trained only on a
speaker's own codes passes on what the codes of another speaker keep of that voice. So it is also
trained on codes of conversions: the same speech, drawn in another voice and encoded again.

Shapes: N codes, G codebooks.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from speechvq.data.segments import Waveforms
from speechvq.model import Model
from speechvq.progress import track
from speechvq.sampling import SamplingOptions, encode, sample_batch
from speechvq.training.frozen_codes import FrozenCodes, crop_codes

VERSIONS = 2
"""Conversions of an utterance, each to a voice that is drawn at random."""
MOST_SECONDS = 90.0
"""Of speech that is converted; later utterances have their own codes alone."""


class ConvertedCodes:
    """The codes of each utterance and of conversions of it, as `data.segments.Codes`.

    Parameters
    ----------
    model : Model
        Draws and encodes, in eval mode.
    waveforms : Waveforms
        Of the utterances, at the sample rate of the model.
    own : FrozenCodes
        Their own codes.
    voices : sequence of str
        Speakers of the model to convert to.
    seed : int
        Of the voices and the samples.
    progress : bool
        Show progress on stderr.
    """

    def __init__(
        self,
        model: Model,
        waveforms: Waveforms,
        own: FrozenCodes,
        voices: Sequence[str],
        seed: int,
        progress: bool = False,
    ):
        self._own = own
        self._turns = itertools.cycle(range(VERSIONS + 1))
        rng = np.random.default_rng([seed, VERSIONS])
        before = np.cumsum(waveforms.lengths) - waveforms.lengths
        some = np.flatnonzero(before < MOST_SECONDS * waveforms.sample_rate).tolist()
        self._converted: dict[int, list[np.ndarray]] = {i: [] for i in some}
        for version in track(range(VERSIONS), "converting to learn", " times", shown=progress):
            drawn = sample_batch(
                model,
                [own.crop(i, 0, -(-int(waveforms.lengths[i]) // model.hop_length)) for i in some],
                [voices[int(rng.integers(len(voices)))] for _ in some],
                SamplingOptions(seed=seed),
                seeds=[seed + version * len(some) + i for i in range(len(some))],
            )
            for i, waveform in zip(some, drawn, strict=True):
                self._converted[i].append(encode(model, waveform))

    def crop(self, utterance: int, first: int, count: int) -> np.ndarray:
        """Codes `first` to `first + count` of an utterance, (count,) or (count, G) int64.

        Its own and those of its conversions take turns.
        """
        turn = next(self._turns)
        if turn == VERSIONS or utterance not in self._converted:
            return self._own.crop(utterance, first, count)
        return crop_codes(self._converted[utterance][turn], first, count)
