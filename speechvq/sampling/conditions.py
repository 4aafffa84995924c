"""Streaming computation of the decoder's condition vectors from codes that come in pieces.

Shapes: N codes, M = N · upsample condition vectors, G condition_channels, F mel bands.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from speechvq.model import Model
from speechvq.sampling.decoder import wavenet_parts


class Conditions:
    """Streaming conditioner of a model.

    A condition vector depends on the codes around its own and is given as soon as these are
    known. The arithmetic is float64, so that the vectors round to the same float32 however the
    codes are cut, and the samples drawn from them are the same.

    Parameters
    ----------
    model : Model
        In eval mode; its weights are copied to the CPU.
    mel_frames : bool
        Append to each vector the log-mel frame (F bands) of the mel predictor.
    """

    def __init__(self, model: Model, mel_frames: bool = False):
        self.model = model
        self._conditioner = copy.deepcopy(wavenet_parts(model).conditioner).to("cpu", torch.float64)
        self._mel_predictor = None
        if mel_frames:
            self._mel_predictor = copy.deepcopy(model.mel_predictor).to("cpu", torch.float64)
        self._codebook = model.vqvae.quantizer.codebook.detach().to("cpu", torch.float64)

    @property
    def lookahead(self) -> int:
        """Codes that must be known after a code before its first condition vector is given."""
        conditioner = self._conditioner
        return len(conditioner.before) + len(conditioner.after) // conditioner.upsample

    def vectors(self, pieces: Iterable[np.ndarray], speaker: str) -> Iterator[np.ndarray]:
        """Condition vectors of codes that come in pieces.

        Parameters
        ----------
        pieces : iterable of ndarray
            Codes (n,), integers in 0 … K-1, of any lengths.
        speaker : str
            A name among `model.speakers`.

        Yields
        ------
        ndarray
            (m, G) or (m, G + F) float32, m at least 1; M of them in all.

        Raises
        ------
        ValueError
            Unknown speaker; codes of another kind or out of range.
        """
        index = torch.tensor([self.model.speaker_index(speaker)])
        upsample = self._conditioner.upsample
        # Context of a vector: in codes before upsampling, in vectors after it
        codes_seen, vectors_seen = len(self._conditioner.before), len(self._conditioner.after)
        held, first = np.empty(0, np.int64), 0  # codes still needed; the index of the first
        given = 0

        def known(until: int) -> np.ndarray:
            """Vectors `given` … `until`; drops the codes that no later vector depends on."""
            nonlocal held, first, given
            with torch.inference_mode():
                quantized = self._codebook[torch.from_numpy(held)].unsqueeze(0)
                vectors = self._conditioner(quantized, index)[0]
                if self._mel_predictor is not None:
                    frames = self._mel_predictor(quantized, index)[0]
                    vectors = torch.cat([vectors, frames], dim=1)
            vectors = vectors[given - first * upsample : until - first * upsample]
            given = until
            needed = max(first, (given - vectors_seen) // upsample - codes_seen)
            held, first = held[needed - first :], needed
            return vectors.float().numpy()

        for piece in pieces:
            held = np.concatenate([held, check_codes(piece, len(self._codebook))])
            until = (first + len(held) - codes_seen) * upsample - vectors_seen
            if until > given:
                yield known(until)
        until = (first + len(held)) * upsample
        if until > given:
            yield known(until)


def check_codes(codes: np.ndarray, codebook_size: int) -> np.ndarray:
    """Codes (N,) as int64; ValueError for another kind, or a code out of range."""
    codes = np.asarray(codes)
    if codes.ndim != 1 or not np.issubdtype(codes.dtype, np.integer):
        raise ValueError(
            f"codes: expected integers of shape (N,); got {codes.dtype} of shape {codes.shape}"
        )
    wrong = codes[(codes < 0) | (codes >= codebook_size)]
    if len(wrong):
        raise ValueError(
            f"codes: {wrong[0]} is out of range; this model's codes are 0 … {codebook_size - 1}"
        )
    return codes.astype(np.int64)
