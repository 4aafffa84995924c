"""Streaming computation of the decoder's condition vectors from codes that come in pieces.

Shapes: N codes, M = N · upsample condition vectors, G condition_channels, F mel bands.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from speechvq.codes import are_codes, shape_of_codes
from speechvq.model import Model
from speechvq.postfilter.guidance import guided
from speechvq.postfilter.predictor import MelPredictor, PredictorStream
from speechvq.sampling.decoder import wavenet_parts
from speechvq.sampling.options import SamplingOptions, check_names


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
    guidance : float, optional
        Of the frames that are appended; none by default.

    Raises
    ------
    ValueError
        Guidance for a model that has none.
    """

    def __init__(self, model: Model, mel_frames: bool = False, guidance: float | None = None):
        self.model = model
        self._conditioner = copy.deepcopy(wavenet_parts(model).conditioner).to("cpu", torch.float64)
        self._quantizer = copy.deepcopy(model.vqvae.quantizer).to("cpu", torch.float64)
        self._mel_condition = model.config.decoder.mel_condition
        self._mel_frames = mel_frames
        self._predictor: MelPredictor | None = None
        if mel_frames or self._mel_condition:
            assert model.mel_predictor is not None
            self._predictor = copy.deepcopy(model.mel_predictor).to("cpu", torch.float64)
        own = None if self._predictor is None else self._predictor.guidance
        if guidance and own is None:
            raise ValueError(
                "guidance: this model has no mel predictor of the kind streaming, which it is for; "
                "leave it at its default"
            )
        self._guidance = guidance if guidance and mel_frames else 0.0

    @property
    def lookahead(self) -> int:
        """Codes that must be known after a code before its first condition vector is given."""
        conditioner = self._conditioner.lookahead
        if self._predictor is None:
            return conditioner
        frames = self._predictor.lookahead
        return frames + conditioner if self._mel_condition else max(frames, conditioner)

    def vectors(self, pieces: Iterable[np.ndarray], speaker: str) -> Iterator[np.ndarray]:
        """Condition vectors of codes that come in pieces.

        Parameters
        ----------
        pieces : iterable of ndarray
            Codes (n,), integers in 0 … K-1, of any lengths; of a product code (n, G).
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
        stream = _Stream(self, torch.tensor([self.model.speaker_index(speaker)]))
        for piece in pieces:
            codes = torch.from_numpy(check_codes(piece, self.model)).unsqueeze(0)
            with torch.autocast("cpu", enabled=False):  # of a caller, whose rounding is another
                vectors = stream.add(codes)
            if len(vectors):
                yield vectors
        with torch.autocast("cpu", enabled=False):
            vectors = stream.end()
        if len(vectors):
            yield vectors


class _Stream:
    """Condition vectors of one utterance; what is held waits for a slower stream."""

    def __init__(self, conditions: Conditions, speaker: Tensor):
        self._of = conditions
        self._vectors = conditions._conditioner.stream(speaker)
        predictor = conditions._predictor
        self._frames: PredictorStream | None = None
        if predictor is not None:
            guides = bool(conditions._guidance)
            stream = predictor.stream_beside_average if guides else predictor.stream
            self._frames = stream(speaker)
        self._held: dict[str, Tensor] = {}  # each (1, n, …)

    @torch.inference_mode()
    def add(self, codes: Tensor) -> np.ndarray:
        """Vectors (m, …) that are known with codes (1, n) or (1, n, G)."""
        quantized = self._of._quantizer.lookup(codes)
        frames = None if self._frames is None else self._frames.add(quantized)
        vectors = self._vectors.add(self._local(quantized, frames))
        return self._joined(vectors, frames)

    @torch.inference_mode()
    def end(self) -> np.ndarray:
        """The remaining vectors (m, …)."""
        frames = None if self._frames is None else self._frames.end()
        vectors = []
        if "quantized" in self._held:
            local = self._local(self._held["quantized"][:, :0], frames)
            vectors.append(self._vectors.add(local))
        vectors.append(self._vectors.end())
        return self._joined(torch.cat(vectors, dim=1), frames)

    def _local(self, quantized: Tensor, frames: Tensor | None) -> Tensor:
        """Input of the conditioner: latents, perhaps with the frames (1, m, F) known for them."""
        if not self._of._mel_condition:
            return quantized
        assert frames is not None
        known, held = frames.shape[1], self._with_held("quantized", quantized)
        self._held["quantized"] = held[:, known:]
        return torch.cat([held[:, :known], frames[:1]], dim=-1)

    def _joined(self, vectors: Tensor, frames: Tensor | None) -> np.ndarray:
        """Vectors, with their log-mel frames if these are wanted."""
        if self._of._mel_frames:
            each, predictor = vectors_per_frame(self._of.model), self._of._predictor
            assert predictor is not None and frames is not None
            if self._of._guidance:
                frames = guided(frames, self._of._guidance)
            frames = predictor.in_nats(frames).repeat_interleave(each, dim=1)
            parts = [self._with_held("vectors", vectors), self._with_held("frames", frames)]
            n = min(part.shape[1] for part in parts)
            self._held["vectors"], self._held["frames"] = (part[:, n:] for part in parts)
            vectors = torch.cat([part[:, :n] for part in parts], dim=-1)
        return vectors[0].float().numpy()

    def _with_held(self, name: str, more: Tensor) -> Tensor:
        """What is held under a name, and `more` after it."""
        return torch.cat([self._held[name], more], dim=1) if name in self._held else more


def conditions_of(model: Model, options: SamplingOptions) -> Conditions:
    """What utterances are drawn from: with the frames of the mel post-filter, if it is applied."""
    mel_frames = options.post_filter and model.mel_predictor is not None
    return Conditions(model, mel_frames, options.of(model).guidance)


def vectors_per_frame(model: Model) -> int:
    """Condition vectors in the time of a log-mel frame of the mel predictor."""
    upsample = wavenet_parts(model).conditioner.upsample
    assert model.mel_predictor is not None
    return model.mel_predictor.mel.hop_length * upsample // model.hop_length


def check_codes(codes: np.ndarray, model: Model) -> np.ndarray:
    """Codes (N,), or (N, G) of a product code, as int64.

    Raises
    ------
    ValueError
        Of another kind or shape, or out of range.
    """
    codes, K, G = np.asarray(codes), model.codebook_size, model.codebooks
    if not are_codes(codes, G):
        raise ValueError(
            f"codes: expected integers of shape {shape_of_codes(G)}; got {codes.dtype} of shape "
            f"{codes.shape}"
        )
    wrong = codes[(codes < 0) | (codes >= K)]
    if len(wrong):
        raise ValueError(f"codes: {wrong[0]} is out of range; this model's codes are 0 … {K - 1}")
    return codes.astype(np.int64)


def check_batch(
    model: Model,
    codes: Sequence[np.ndarray],
    speakers: Sequence[str],
    seeds: Sequence[int] | None,
    options: SamplingOptions,
) -> tuple[list[np.ndarray], list[int]]:
    """The codes and seeds of utterances to draw, or ValueError before anything is drawn."""
    check_names(speakers)
    count = len(codes)
    seeds = [options.seed] * count if seeds is None else list(seeds)
    if not count == len(speakers) == len(seeds):
        raise ValueError(
            f"{count} utterances, {len(speakers)} speakers and {len(seeds)} seeds; "
            "expected one of each an utterance"
        )
    for speaker in speakers:
        model.speaker_index(speaker)
    codes = [check_codes(one, model) for one in codes]
    if not all(map(len, codes)):
        raise ValueError("codes: expected integers of shape (N,), N at least 1; got none")
    return codes, seeds
