"""Codes of whole utterances, for stages that learn on frozen codes.

A streaming encoder has heard all of an utterance up to a code. The codes of a segment alone would
be others than those that the model meets when it is used.

Shapes: T samples, N codes, G codebooks.
"""

import numpy as np

from speechvq.data.segments import Waveforms
from speechvq.distributed import Processes
from speechvq.model import Model
from speechvq.progress import track
from speechvq.sampling.encode import encode_blocks


def frozen_codes_of(
    model: Model, waveforms: Waveforms, group: Processes, progress: bool = False
) -> "FrozenCodes | None":
    """Codes of whole utterances, to be found by `find`, for an encoder that streams.

    None for any other encoder: its codes of a segment with a margin are those of the whole.
    """
    if not hasattr(model.vqvae.encoder, "stream"):
        return None
    return FrozenCodes(model, waveforms, group, progress)


class FrozenCodes:
    """Codes of the utterances of a corpus, by an encoder that no longer learns.

    Parameters
    ----------
    model : Model
    waveforms : Waveforms
    group : Processes
        Each process encodes its share.
    progress : bool
        Show progress on stderr.
    """

    def __init__(self, model: Model, waveforms: Waveforms, group: Processes, progress: bool):
        self._model, self._waveforms, self._group = model, waveforms, group
        self._progress = progress
        self._codes: list[np.ndarray] = []

    def find(self) -> None:
        """Encode the utterances, as whole recordings of the level that they have.

        Those that cannot be decoded are left out from now on, in all processes.
        """
        group, waveforms, model = self._group, self._waveforms, self._model
        encoder, quantizer = model.vqvae.encoder, model.vqvae.quantizer
        training = encoder.training, quantizer.training
        encoder.eval()
        quantizer.eval()
        own = range(group.rank, len(waveforms), group.world_size)
        found = {}
        shown = self._progress and group.first
        for i in track(own, "finding codes", " utterances", shown=shown):
            whole = waveforms.try_crop(i, 0, int(waveforms.lengths[i]))
            if whole is not None:
                blocks = encode_blocks(model, iter([whole]))
                found[i] = np.concatenate(list(blocks)).astype(np.int32)
        encoder.train(training[0])
        quantizer.train(training[1])
        for part in group.gather_objects(found):
            found.update(part)
        for i in set(range(len(waveforms))) - set(found):
            waveforms.leave_out(i)
        none = np.zeros(1 if model.codebooks == 1 else (1, model.codebooks), np.int32)
        self._codes = [found.get(i, none) for i in range(len(waveforms))]

    def crop(self, utterance: int, first: int, count: int) -> np.ndarray:
        """Codes `first` to `first + count` of an utterance, (count,) or (count, G) int64.

        Before and after the utterance its first and last code.
        """
        codes = self._codes[utterance]
        return codes[np.arange(first, first + count).clip(0, len(codes) - 1)].astype(np.int64)
