"""From a waveform to codes, in bounded memory for recordings of any length.

Shapes: T samples, N codes.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from speechvq import audio
from speechvq.audio.level import frame_powers
from speechvq.model import Model
from speechvq.sampling.level import NO_GAIN, SOFTEST, gains_between

ENCODED_SECONDS = 10.0
"""Seconds of a recording that are encoded at a time."""
LEVEL_SECONDS = 60.0
"""Seconds of a recording that are held in memory, for its level, at first.

So much speech of a recording that can be read only once is waited for before the first code.
"""
LONGEST_WAIT = 600.0
"""Seconds of a recording that can be read only once that are held at most."""
NO_SAMPLES = "waveform: expected shape (T,), T at least 1, got (0,)"


def encode(model: Model, waveform: np.ndarray) -> np.ndarray:
    """Encode a recording.

    The recording is first scaled to the level of the model's training speech, if the model knows
    that level. It is not scaled for a streaming encoder, since the level of a stream is not known;
    only speech far softer than the training speech is raised (`BlockEncoder`).

    Parameters
    ----------
    model : Model
        In eval mode.
    waveform : ndarray
        (T,) float in [-1, 1] at `model.sample_rate` Hz.

    Returns
    -------
    ndarray
        Codes (N,), int64 in 0 … K-1, N = ceil(T / hop_length); of a product code (N, G).

    Raises
    ------
    ValueError
        Not one channel, empty, no floats, or NaN or infinite samples; a model whose weights are not
        float32.
    """
    return encode_source(model, [waveform]).codes


def latents(model: Model, waveform: np.ndarray) -> np.ndarray:
    """Latents z_e (N, D) float32 of a recording: those whose codes `encode` gives.

    Arguments and errors are those of `encode`.
    """
    return np.concatenate(list(BlockEncoder(model, [waveform], quantize=False)))


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
        (n,) int64 in 0 … K-1, n at least 1; of a product code (n, G). In all
        N = ceil(T / hop_length), T samples of all blocks.

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
    """(N,) int64; of a product code (N, G)."""
    samples: int
    """T."""
    gain: float
    """Factor from drawn speech to the level of the recording."""
    powers: np.ndarray
    """(N,) mean square of the recording in each code, at the level of the training speech.

    (0,) where the level is not known: of an iterator, encoded as it came."""


def encode_source(model: Model, blocks: Iterable[np.ndarray]) -> EncodedSource:
    """Encode a recording for conversion; arguments and errors as those of `encode_blocks`."""
    encoder = BlockEncoder(model, blocks)
    # In one array that grows, as `encoder.powers`: many small ones that are kept would stand in
    # the places of the network's large arrays, which then need new memory for each block
    codes, shape = array("q"), ()
    for piece in encoder:
        codes.frombytes(piece.tobytes())
        shape = piece.shape[1:]
    return EncodedSource(
        np.frombuffer(codes, np.int64).reshape(-1, *shape),
        encoder.samples,
        encoder.gains.to_source,
        np.frombuffer(encoder.powers),
    )


class BlockEncoder:
    """Iterator over the codes of a recording that comes in blocks.

    `ENCODED_SECONDS` are encoded at a time, with as much context on either side as the encoder's
    receptive field, so that the codes are those of the whole recording. Codes are given as soon as
    the samples that they depend on have come.

    A model that knows the level of its training speech needs that of the speech in the whole
    recording first. Blocks that can be iterated over again, such as `audio.Recording`, are read
    for it from beginning to end. An iterator is read until `LEVEL_SECONDS` of speech, or
    `LONGEST_WAIT`, have come.

    An encoder with a method `stream` waits for none of it: blocks are encoded as they come. What
    depends on the level of the recording, `gains` and `powers`, is then known only of blocks that
    can be iterated over again. Of these, speech that is more than `level.SOFTEST` below the
    training speech is raised to there.

    Parameters
    ----------
    model, blocks
        As in `encode_blocks`.
    quantize
        Whether to give codes; else the latents z_e (n, D) that they are found for.

    Attributes
    ----------
    samples : int
        T, samples that have come so far.
    gains : Gains
        Known with the first codes.
    powers : array of float
        Mean square of the recording in each code given so far, at the level of the training speech.
    """

    def __init__(self, model: Model, blocks: Iterable[np.ndarray], quantize: bool = True):
        precision = model.vqvae.quantizer.codebooks[0].dtype
        if precision != torch.float32:
            raise ValueError(
                f"the model's weights are {precision}, float32 was expected: model.float()"
            )
        self._model, self._blocks = model, blocks
        self._given = model.vqvae.quantizer.nearest if quantize else lambda latents: latents
        self.samples, self.gains, self.powers = 0, NO_GAIN, array("d")
        self._held = np.zeros(0, np.float32)  # samples whose power is not measured yet

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield codes (n,), n at least 1; of a product code (n, G)."""
        streams = hasattr(self._model.vqvae.encoder, "stream")
        return self._streamed() if streams else self._in_windows()

    @torch.inference_mode()
    def _streamed(self) -> Iterator[np.ndarray]:
        """Codes of an encoder that runs while the recording arrives."""
        model = self._model
        usual = model.speech_level if iter(self._blocks) is not self._blocks else None
        if usual is not None:
            level = audio.speech_level(self._checked(), model.sample_rate)
            self.gains = gains_between(level, usual)
            self.samples = 0
        raised = max(1.0, self.gains.to_model * 10 ** (-SOFTEST / 20))
        stream = model.vqvae.encoder.stream()
        for block in self._checked():
            if usual is not None:
                self._held = np.concatenate([self._held, self.gains.to_model * block])
            with self._exactly():
                latents = stream.add(raised * block)
            yield from self._known(latents)
        if not self.samples:
            raise ValueError(NO_SAMPLES)
        with self._exactly():
            latents = stream.end()
        yield from self._known(latents)

    def _exactly(self) -> torch.autocast:
        """Codes must not depend on what a caller's autocast rounds to."""
        return torch.autocast(self._model.device.type, enabled=False)

    def _known(self, latents: torch.Tensor) -> Iterator[np.ndarray]:
        """Codes of latents (1, n, D), if there are any."""
        n = latents.shape[1]
        if n:
            samples = n * self._model.hop_length
            self._measure(self._held[:samples])
            self._held = self._held[samples:]
            yield _own(self._given(latents)[0])

    def _in_windows(self) -> Iterator[np.ndarray]:
        """Codes of an encoder of windows of the recording with context on either side."""
        model, hop = self._model, self._model.hop_length
        margin = -(-model.receptive_field // hop)  # codes, on either side
        chunk = max(1, round(ENCODED_SECONDS * model.frame_rate))  # codes
        window = np.empty((margin + chunk + margin) * hop, dtype=np.float32)
        held = 0  # samples in the window
        first = 0  # the window's next code to be given; the codes before it are its context
        for block in self._levelled():
            while len(block):
                taken = block[: (first + chunk + margin) * hop - held]
                window[held : held + len(taken)] = taken
                held += len(taken)
                block = block[len(taken) :]
                if held == (first + chunk + margin) * hop:
                    self._measure(window[first * hop : (first + chunk) * hop])
                    yield self._encode(window[:held], first, chunk)
                    first += chunk
                    beyond = max(0, first - margin)  # codes whose samples no later code depends on
                    window[: held - beyond * hop] = window[beyond * hop : held]
                    held -= beyond * hop
                    first -= beyond
        if not self.samples:
            raise ValueError(NO_SAMPLES)
        for code in range(first, -(-held // hop), chunk):
            begin = max(0, code - margin)
            self._measure(window[code * hop : min(held, (code + chunk) * hop)])
            piece = window[begin * hop : min(held, (code + chunk + margin) * hop)]
            yield self._encode(piece, code - begin, chunk)

    @torch.inference_mode()
    def _encode(self, waveform: np.ndarray, first: int, count: int) -> np.ndarray:
        """`count` codes from `first` on, of those of a waveform (T,), computed at once."""
        whole = torch.from_numpy(waveform).unsqueeze(0).to(self._model.device)
        with self._exactly():
            return _own(self._given(self._model.latents(whole))[0, first : first + count])

    def _measure(self, samples: np.ndarray) -> None:
        """Note the power of the samples of the codes that are given next."""
        powers = frame_powers(samples, self._model.hop_length)
        self.powers.frombytes(powers.astype(np.float64).tobytes())

    def _levelled(self) -> Iterable[np.ndarray]:
        """Blocks at the level of the training speech, if the model knows it."""
        blocks, model_level = self._checked(), self._model.speech_level
        if model_level is None:
            return blocks
        speech, source, rest = self._listened(blocks)
        if not len(speech.kept):
            return []
        self.gains = gains_between(speech.level, model_level)
        gain = self.gains.to_model
        if source is self._blocks:
            self.samples, rest = 0, self._checked()
        else:
            rest = itertools.chain(source, rest)
        return (gain * block for block in speech.cleaned(rest))

    def _listened(
        self, blocks: Iterator[np.ndarray]
    ) -> tuple[audio.Speech, Iterable[np.ndarray], Iterator[np.ndarray]]:
        """The speech of the recording, the blocks that it was found in, and the blocks to come."""
        rate = self._model.sample_rate
        held: list[np.ndarray] = []
        wanted = LEVEL_SECONDS
        while True:
            while self.samples < round(wanted * rate) and (block := next(blocks, None)) is not None:
                held.append(block)
            if self.samples < round(wanted * rate):  # all of it
                return audio.find_speech(held, rate), held, blocks
            if iter(self._blocks) is not self._blocks:
                return audio.find_speech(self._checked(), rate), self._blocks, blocks
            speech = audio.find_speech(held, rate)
            wanted *= 2
            enough = speech.certain and speech.seconds >= LEVEL_SECONDS
            if enough or wanted > LONGEST_WAIT:  # 8 minutes by default
                return speech, held, blocks

    def _checked(self) -> Iterator[np.ndarray]:
        """Count and yield short blocks (t,) float32; ValueError for a block that is no audio."""
        longest = round(ENCODED_SECONDS * self._model.sample_rate)
        for block in self._blocks:
            block = audio.checked_waveform(block)
            for first in range(0, len(block), longest):
                piece = block[first : first + longest]
                self.samples += len(piece)
                yield piece


def _own(codes: torch.Tensor) -> np.ndarray:
    """A copy: who keeps a view keeps the codes of the whole piece."""
    return codes.cpu().numpy().copy()
