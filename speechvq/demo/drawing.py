"""What the demo draws, apart from the page: arrays in, arrays out.

Shapes: T samples, N codes, G codebooks.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from speechvq import audio
from speechvq.model import Model
from speechvq.models.prior import Prior
from speechvq.sampling import SamplingOptions, stream
from speechvq.sampling.generation import sample_codes

FIRST_BLOCK, BLOCK = 0.5, 1.0
"""Seconds of drawn speech that are sent at a time: a block costs a request of the player."""


def read_speech(path: Path, sample_rate: int, most_minutes: float) -> np.ndarray:
    """Read the waveform (T,) of a recording that is not too long for the demo.

    Raises
    ------
    AudioError
        No audio, too short, too long, or silent; the message begins with the path.
    """
    seconds, _ = audio.info(path)
    if seconds > 60 * most_minutes:
        raise audio.AudioError(
            f"{path}: {seconds / 60:.1f} minutes long; at most {most_minutes:g} are taken here"
        )
    return np.concatenate(list(audio.Recording(path, sample_rate)))


def new_speech(
    model: Model, prior: Prior, speaker: str, seconds: float, seed: int
) -> tuple[np.ndarray, Iterator[np.ndarray]]:
    """Draw codes from the prior, as `speechvq-sample` does.

    Returns
    -------
    codes : ndarray
        (N,), of product codes (N, G).
    chunks : iterator of ndarray
        The speech (t,), drawn while it is iterated over.
    """
    count = max(1, round(seconds * model.frame_rate))
    options = SamplingOptions(seed=seed)
    codes = sample_codes(prior, count, [speaker], options)[0]
    return codes, stream(model, [codes], speaker, options)


def in_blocks(chunks: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
    """Gather chunks (t,) to blocks of `BLOCK` seconds at least; the first is shorter."""
    held: list[np.ndarray] = []
    wanted = FIRST_BLOCK
    for chunk in chunks:
        held.append(chunk)
        if sum(map(len, held)) >= wanted * sample_rate:
            yield np.concatenate(held)
            held, wanted = [], BLOCK
    if held:
        yield np.concatenate(held)


def wav_bytes(waveform: np.ndarray, sample_rate: int) -> bytes:
    """A waveform (T,) as a 16-bit WAV file in memory."""
    file = io.BytesIO()
    soundfile.write(file, audio.to_pcm(waveform), sample_rate, format="WAV")
    return file.getvalue()
