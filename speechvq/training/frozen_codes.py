"""Codes of whole utterances, for stages that learn on frozen codes.

A code of a streaming encoder depends on all of the utterance before it. The codes of a segment
alone would differ from those that the model gets in use.

Shapes: T samples, N codes, G codebooks.
"""

import logging
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from speechvq import audio
from speechvq.data.segments import Waveforms
from speechvq.distributed import Processes
from speechvq.model import Model
from speechvq.model_folder import fingerprint
from speechvq.progress import track
from speechvq.sampling.encode import encode_blocks
from speechvq.training.run import fingerprint as fingerprint_of_set

logger = logging.getLogger(__name__)


def frozen_codes_of(
    model: Model,
    waveforms: Waveforms,
    group: Processes,
    progress: bool = False,
    file: Path | None = None,
) -> "FrozenCodes | None":
    """Codes of whole utterances, to be found by `find`, for an encoder that streams.

    None for any other encoder: its codes of a segment with a margin are those of the whole.
    """
    if not hasattr(model.vqvae.encoder, "stream"):
        return None
    return FrozenCodes(model, waveforms, group, progress, file)


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
    file : Path, optional
        Where they are kept, for a resume and for the next stage.
    """

    def __init__(
        self,
        model: Model,
        waveforms: Waveforms,
        group: Processes,
        progress: bool,
        file: Path | None = None,
    ):
        self._model, self._waveforms, self._group = model, waveforms, group
        self._progress, self._file = progress, file
        self._codes: list[np.ndarray] = []

    def find(self) -> None:
        """Encode the utterances, as whole recordings of the level that they have.

        Or read what was kept, if it is by the same encoder and of the same speech. Utterances that
        cannot be decoded are left out from now on, in all processes.
        """
        waveforms, model = self._waveforms, self._model
        found, source = None, ""
        if self._file is not None:
            source = f"{fingerprint(model)} {fingerprint_of_set(waveforms.utterances)}"
            found = self._read(self._file, source)
        if self._group.any(found is None):
            found = self._encode()
            if self._file is not None and self._group.first and found:
                self._write(self._file, source, found)
        assert found is not None, "read in all processes"
        for i in set(range(len(waveforms))) - set(found):
            waveforms.leave_out(i)
        none = np.zeros(1 if model.codebooks == 1 else (1, model.codebooks), np.int32)
        self._codes = [found.get(i, none) for i in range(len(waveforms))]

    def _read(self, path: Path, source: str) -> dict[int, np.ndarray] | None:
        """The codes (N,) or (N, G) that are kept, by utterance; None if they do not fit."""
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="np") as file:
                lengths, codes = file.get_tensor("lengths"), file.get_tensor("codes")
                same = file.metadata()["source"] == source
                fault = None if same else "of another encoder or corpus"
        except (SafetensorError, OSError, TypeError, KeyError) as error:
            fault = f"damaged ({error})"
        if fault:
            if self._group.first:
                logger.info("%s: %s; the codes are found anew", path, fault)
            return None
        parts = enumerate(np.split(codes, np.cumsum(lengths)[:-1]))
        return {i: part for i, part in parts if len(part)}

    def _write(self, path: Path, source: str, found: dict[int, np.ndarray]) -> None:
        lengths = [len(found.get(i, ())) for i in range(len(self._waveforms))]
        codes = np.concatenate([found[i] for i in sorted(found)])
        tensors = {"lengths": np.array(lengths), "codes": codes}
        audio.write_bytes(path, save(tensors, {"source": source}))

    def _encode(self) -> dict[int, np.ndarray]:
        """The codes of each utterance that can be decoded, of all processes."""
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
        return found

    def crop(self, utterance: int, first: int, count: int) -> np.ndarray:
        """Codes `first` to `first + count` of an utterance, (count,) or (count, G) int64.

        Before and after the utterance its first and last code.
        """
        return crop_codes(self._codes[utterance], first, count)


def crop_codes(codes: np.ndarray, first: int, count: int) -> np.ndarray:
    """Codes `first` to `first + count` of those of an utterance; outside, its first and last."""
    return codes[np.arange(first, first + count).clip(0, len(codes) - 1)].astype(np.int64)
