"""From a waveform to codes, in bounded memory however long the recording is.

Shapes: T samples, N codes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from speechvq.models.cepstra import Voice
from speechvq.models.vqvae import VQVAE

CHUNK = 10.0
"""Seconds of a recording encoded at a time."""
VOICE_SECONDS = 60.0
"""At the beginning of a recording, in which its voice is found."""


def encode(model: VQVAE, waveform: np.ndarray) -> np.ndarray:
    """Codes of a recording.

    Parameters
    ----------
    model : VQVAE
        In eval mode.
    waveform : ndarray
        (T,) float in [-1, 1] at `model.sample_rate` Hz.

    Returns
    -------
    ndarray
        (N,) int64 in 0 … K-1, N = ceil(T / hop_length).

    Raises
    ------
    ValueError
        Not one channel, empty, or NaN or infinite samples.
    """
    return np.concatenate(list(encode_blocks(model, [waveform])))


def encode_blocks(model: VQVAE, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Codes of a recording that comes in pieces.

    `CHUNK` seconds are encoded at a time, with as much of what is before and after them as the
    encoder can see, so that the codes are those of the whole. They are given as soon as the samples
    that they depend on have come; for an encoder that listens to voices these are the first
    `VOICE_SECONDS`, in which it finds the voice of the recording.

    Parameters
    ----------
    model : VQVAE
        In eval mode.
    blocks : iterable of ndarray
        Pieces (T,) of a waveform, float in [-1, 1] at `model.sample_rate` Hz, of any lengths.

    Yields
    ------
    ndarray
        (n,) int64 in 0 … K-1, n at least 1; in all N = ceil(T / hop_length), T samples of all
        pieces.

    Raises
    ------
    ValueError
        A piece of more than one channel, or with NaN or infinite samples; no samples at all.
    """
    hop = model.hop_length
    margin = -(-receptive_field(model) // hop)  # codes, on either side
    chunk = max(1, round(CHUNK * model.frame_rate))  # codes
    window = np.empty((margin + chunk + margin) * hop, dtype=np.float32)
    T = held = 0  # samples that came, and those of them in the window
    first = 0  # the window's code that is next to be given; those before it are its context
    voice, blocks = _hear(model, _checked(blocks))
    for block in blocks:
        T += len(block)
        while len(block):
            taken = block[: (first + chunk + margin) * hop - held]
            window[held : held + len(taken)] = taken
            held += len(taken)
            block = block[len(taken) :]
            if held == (first + chunk + margin) * hop:
                yield _encode(model, window[:held], voice)[first : first + chunk]
                first += chunk
                beyond = max(0, first - margin)  # codes whose samples no later code depends on
                window[: held - beyond * hop] = window[beyond * hop : held]
                held -= beyond * hop
                first -= beyond
    if not T:
        raise ValueError("waveform: expected shape (T,), T at least 1, got (0,)")
    for code in range(first, -(-held // hop), chunk):
        begin = max(0, code - margin)
        piece = window[begin * hop : min(held, (code + chunk + margin) * hop)]
        yield _encode(model, piece, voice)[code - begin :][:chunk]


def _checked(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Pieces (t,) float32; ValueError for one that is no audio."""
    for block in blocks:
        block = np.asarray(block, dtype=np.float32)
        if block.ndim != 1:
            raise ValueError(f"waveform: expected shape (T,), T at least 1, got {block.shape}")
        if not np.isfinite(block).all():
            raise ValueError("waveform: holds NaN or infinite samples")
        yield block


def find_voice(model: VQVAE, waveform: np.ndarray) -> Voice | None:
    """The voice of a recording (T,), found in its first `VOICE_SECONDS`, if the model wants it."""
    beginning = torch.from_numpy(waveform[: round(VOICE_SECONDS * model.sample_rate)])
    return model.find_voice(beginning[None].to(_device(model)))


@torch.inference_mode()
def _hear(model: VQVAE, blocks: Iterator[np.ndarray]) -> tuple[Voice | None, Iterable[np.ndarray]]:
    """The voice of a recording, if the model wants it, and the recording from its beginning."""
    if not model.hears_voices:
        return None, blocks
    wanted = round(VOICE_SECONDS * model.sample_rate)
    first, samples = [], 0
    while samples < wanted and (block := next(blocks, None)) is not None:
        first.append(block)
        samples += len(block)
    if not samples:
        return None, []
    return find_voice(model, np.concatenate(first)), itertools.chain(first, blocks)


@torch.inference_mode()
def _encode(model: VQVAE, waveform: np.ndarray, voice: Voice | None) -> np.ndarray:
    """Codes (N,) of a waveform (T,), all at once."""
    whole = torch.from_numpy(waveform).unsqueeze(0).to(_device(model))
    return model.encode(whole, voice)[0].cpu().numpy()


def _device(model: VQVAE) -> torch.device:
    return model.decoder.embed.weight.device


def receptive_field(model: VQVAE) -> int:
    """Samples that one code depends on, of a recording whose voice is known.

    Windows of 2 · stride, or those of a frame's cepstra; then windows of three codes.
    """
    config = model.config
    if model.hears_voices:
        samples = model.encoder.frames.receptive_field
    else:
        samples, hop = 1, 1
        for stride in config.strides:
            samples += (2 * stride - 1) * hop
            hop *= stride
    return samples + 2 * config.hop_length * config.encoder_residual_layers
