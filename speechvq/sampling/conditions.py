"""What the decoder hears of codes that come piece by piece.

Shapes: N codes, M = N · upsample condition vectors, G condition_channels.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from speechvq.models.vqvae import VQVAE


class Conditions:
    """The conditioner of a model, for one piece of codes after another.

    A condition vector depends on the codes around its own, so it is given as soon as these are
    known. The arithmetic is float64: pieces, however they are cut, then round to the same float32
    as the whole, and the samples drawn from them are the same.

    Parameters
    ----------
    model : VQVAE
        In eval mode; its weights are copied to the CPU.
    envelope : bool
        Give beside each vector the log-mel frame of F bands that the model expects.
    """

    def __init__(self, model: VQVAE, envelope: bool = False):
        self.model = model
        self._conditioner = copy.deepcopy(model.conditioner).to("cpu", torch.float64)
        self._envelope = None
        if envelope:
            self._envelope = copy.deepcopy(model.envelope).to("cpu", torch.float64)
        self._codebook = model.quantizer.codebook.detach().to("cpu", torch.float64)

    @property
    def lookahead(self) -> int:
        """Codes that must be known after one before its first condition vector is given."""
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
        # How far a vector sees: codes by the convolutions before widening, vectors by those after
        codes_seen, vectors_seen = len(self._conditioner.before), len(self._conditioner.after)
        held, first = np.empty(0, np.int64), 0  # codes that are still needed, from this one on
        given = 0

        def known(until: int) -> np.ndarray:
            """Vectors `given` … `until`; forgets the codes that no later one depends on."""
            nonlocal held, first, given
            with torch.inference_mode():
                quantized = self._codebook[torch.from_numpy(held)].unsqueeze(0)
                vectors = self._conditioner(quantized, index)[0]
                if self._envelope is not None:
                    frames = self._envelope(quantized, index)[0]
                    vectors = torch.cat([vectors, frames], dim=1)
            vectors = vectors[given - first * upsample : until - first * upsample]
            given = until
            needed = max(first, (given - vectors_seen) // upsample - codes_seen)
            held, first = held[needed - first :], needed
            return vectors.float().numpy()

        for piece in pieces:
            held = np.concatenate([held, self.check(piece)])
            until = (first + len(held) - codes_seen) * upsample - vectors_seen
            if until > given:
                yield known(until)
        until = (first + len(held)) * upsample
        if until > given:
            yield known(until)

    def check(self, codes: np.ndarray) -> np.ndarray:
        """Codes (N,) as int64; ValueError for another kind, or a code out of range."""
        codes, K = np.asarray(codes), len(self._codebook)
        if codes.ndim != 1 or not np.issubdtype(codes.dtype, np.integer):
            raise ValueError(
                f"codes: expected integers of shape (N,); got {codes.dtype} of shape {codes.shape}"
            )
        wrong = codes[(codes < 0) | (codes >= K)]
        if len(wrong):
            raise ValueError(
                f"codes: {wrong[0]} is out of range; this model's codes are 0 … {K - 1}"
            )
        return codes.astype(np.int64)
