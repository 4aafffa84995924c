"""From a waveform to codes, in bounded memory for recordings of any length.

Shapes: T samples, N codes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from speechvq.features.mfcc import SpeakerTransform
from speechvq.model import Model
from speechvq.sampling.level import NO_GAIN, level_gains

ENCODED_SECONDS = 10.0
"""Seconds of a recording that are encoded at a time."""
ESTIMATION_SECONDS = 60.0
"""Seconds at the beginning of a recording in which its level and its speaker are estimated."""


def encode(model: Model, waveform: np.ndarray) -> np.ndarray:
    """Encode a recording.

    The recording is scaled to the level of the model's training speech first, where the model
    knows that level.

    Parameters
    ----------
    model : Model
        In eval mode.
    waveform : ndarray
        (T,) float in [-1, 1] at `model.sample_rate` Hz.

    Returns
    -------
    ndarray
        Codes (N,), int64 in 0 … K-1, N = ceil(T / hop_length).

    Raises
    ------
    ValueError
        Not one channel, empty, or NaN or infinite samples.
    """
    return encode_source(model, [waveform]).codes


def encode_blocks(model: Model, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Encode a recording that comes in blocks: the codes of `encode`, as soon as they are known.

    See `BlockEncoder`.

    Parameters
    ----------
    model : Model
        In eval mode.
    blocks : iterable of ndarray
        Pieces (T,) of a waveform, float in [-1, 1] at `model.sample_rate` Hz, of any lengths.

    Yields
    ------
    ndarray
        (n,) int64 in 0 … K-1, n at least 1; in all N = ceil(T / hop_length), T samples of all
        blocks.

    Raises
    ------
    ValueError
        A block of more than one channel, or with NaN or infinite samples; no samples at all.
    """
    return iter(BlockEncoder(model, blocks))


@dataclass(frozen=True)
class EncodedSource:
    """A recording as `convert` needs it."""

    codes: np.ndarray
    """(N,) int64."""
    samples: int
    """T."""
    gain: float
    """Factor from drawn speech to the level of the recording."""


def encode_source(model: Model, blocks: Iterable[np.ndarray]) -> EncodedSource:
    """Encode a recording for conversion; arguments and errors as those of `encode_blocks`."""
    encoder = BlockEncoder(model, blocks)
    codes = np.concatenate(list(encoder))
    return EncodedSource(codes, encoder.samples, encoder.gains.to_source)


class BlockEncoder:
    """Iterator over the codes of a recording that comes in blocks.

    `ENCODED_SECONDS` are encoded at a time, with as much context on either side as the encoder's
    receptive field, so that the codes are those of the whole recording. Codes are given as soon as
    the samples that they depend on have come. A model that knows the level of its training speech
    or that normalises speakers waits for `ESTIMATION_SECONDS`.

    Parameters
    ----------
    model, blocks
        As in `encode_blocks`.

    Attributes
    ----------
    samples : int
        T, samples that have come so far.
    gains : Gains
        Known with the first codes.
    """

    def __init__(self, model: Model, blocks: Iterable[np.ndarray]):
        self._model, self._blocks = model, blocks
        self.samples, self.gains = 0, NO_GAIN

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield codes (n,), n at least 1."""
        model, hop = self._model, self._model.hop_length
        margin = -(-model.receptive_field // hop)  # codes, on either side
        chunk = max(1, round(ENCODED_SECONDS * model.frame_rate))  # codes
        window = np.empty((margin + chunk + margin) * hop, dtype=np.float32)
        held = 0  # samples in the window
        first = 0  # the window's next code to be given; the codes before it are its context
        transform, blocks = self._prepared()
        for block in blocks:
            while len(block):
                taken = block[: (first + chunk + margin) * hop - held]
                window[held : held + len(taken)] = taken
                held += len(taken)
                block = block[len(taken) :]
                if held == (first + chunk + margin) * hop:
                    yield _encode(model, window[:held], transform)[first : first + chunk]
                    first += chunk
                    beyond = max(0, first - margin)  # codes whose samples no later code depends on
                    window[: held - beyond * hop] = window[beyond * hop : held]
                    held -= beyond * hop
                    first -= beyond
        if not self.samples:
            raise ValueError("waveform: expected shape (T,), T at least 1, got (0,)")
        for code in range(first, -(-held // hop), chunk):
            begin = max(0, code - margin)
            piece = window[begin * hop : min(held, (code + chunk + margin) * hop)]
            yield _encode(model, piece, transform)[code - begin :][:chunk]

    def _prepared(self) -> tuple[SpeakerTransform | None, Iterable[np.ndarray]]:
        """Speaker transform of the recording, if the model needs one, and levelled blocks."""
        model, blocks = self._model, self._checked()
        model_level = model.speech_level
        if model_level is None and not model.features.needs_transform:
            return None, blocks
        wanted = round(ESTIMATION_SECONDS * model.sample_rate)
        first = []
        while self.samples < wanted and (block := next(blocks, None)) is not None:
            first.append(block)
        if not self.samples:
            return None, []
        beginning = np.concatenate(first)
        if model_level is not None:
            self.gains = level_gains(beginning[:wanted], model.sample_rate, model_level)
        gain = self.gains.to_model
        beginning = gain * beginning
        rest = (gain * block for block in blocks)
        with torch.inference_mode():
            transform = estimate_transform(model, beginning)
        return transform, itertools.chain([beginning], rest)

    def _checked(self) -> Iterator[np.ndarray]:
        """Count and yield blocks (t,) float32; ValueError for a block that is no audio."""
        for block in self._blocks:
            block = np.asarray(block, dtype=np.float32)
            if block.ndim != 1:
                raise ValueError(f"waveform: expected shape (T,), T at least 1, got {block.shape}")
            if not np.isfinite(block).all():
                raise ValueError("waveform: holds NaN or infinite samples")
            self.samples += len(block)
            yield block


def estimate_transform(model: Model, waveform: np.ndarray) -> SpeakerTransform | None:
    """Speaker transform of a recording (T,), estimated in its first `ESTIMATION_SECONDS`.

    None for a model without speaker normalisation.
    """
    beginning = torch.from_numpy(waveform[: round(ESTIMATION_SECONDS * model.sample_rate)])
    return model.features.estimate(beginning.to(model.device))


@torch.inference_mode()
def _encode(model: Model, waveform: np.ndarray, transform: SpeakerTransform | None) -> np.ndarray:
    """Codes (N,) of a waveform (T,), all at once."""
    whole = torch.from_numpy(waveform).unsqueeze(0).to(model.device)
    return model.encode(whole, transform)[0].cpu().numpy()
