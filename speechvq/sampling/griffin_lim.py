"""Speech of the mel predictor alone: phases by Griffin-Lim, in place of a decoder.

It makes codes and mel predictor audible before the decoder is trained, which takes longer than they
do. After Griffin and Lim, "Signal Estimation from Modified Short-Time Fourier Transform", 1984.

Shapes: T samples, N codes, M frames, F mel bands, bins of the power spectrum.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from speechvq import numba_cache
from speechvq.features.log_mel import LogMel
from speechvq.model import Model
from speechvq.sampling.conditions import check_batch
from speechvq.sampling.options import SamplingOptions

ROUNDS = 60
"""Iterations of the phases."""
SPECTRUM_ROUNDS = 80
"""Multiplicative updates from mel bands to a power spectrum."""


def griffin_lim_batch(
    model: Model,
    codes: Sequence[np.ndarray],
    speakers: Sequence[str],
    options: SamplingOptions = SamplingOptions(),  # noqa: B008
    *,
    seeds: Sequence[int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> list[np.ndarray]:
    """As `sample_batch`, but of the predicted log-mel frames; of the options the seed alone counts.

    Raises
    ------
    ValueError
        The model has no mel predictor; else as `sample_batch`.
    """
    if model.mel_predictor is None:
        raise ValueError(
            "model.mel_predictor.bands: this model has no mel predictor, so there are no frames "
            "for Griffin-Lim; draw from the decoder"
        )
    codes, seeds = check_batch(model, codes, speakers, seeds, options)
    found = []
    for own, speaker, seed in zip(codes, speakers, seeds, strict=True):
        waveform = griffin_lim(model.mel_predictor.mel, _frames(model, own, speaker), seed)
        found.append(np.clip(waveform[: len(own) * model.hop_length], -1, 1))
        if progress is not None:
            progress(len(found[-1]))
    return found


@torch.inference_mode()
def _frames(model: Model, codes: np.ndarray, speaker: str) -> np.ndarray:
    """Log-mel frames (M, F) that the mel predictor predicts."""
    quantized = model.vqvae.quantizer.lookup(torch.from_numpy(codes)[None].to(model.device))
    index = torch.tensor([model.speaker_index(speaker)], device=model.device)
    assert model.mel_predictor is not None
    return model.mel_predictor(quantized, index)[0].cpu().numpy()


def griffin_lim(mel: LogMel, frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """A waveform (M · hop_length,) float32 whose log-mel frames are near to `frames` (M, F)."""
    numba_cache.provide()
    import librosa

    power = _spectrum(mel.filters.cpu().numpy(), np.exp(frames) - mel.floor)
    margin = (mel.n_fft - mel.hop_length) // 2
    takes_rng = "rng" in inspect.signature(librosa.griffinlim).parameters  # from librosa 1.0 on
    seeded: dict[str, Any] = {"rng" if takes_rng else "random_state": seed}
    waveform = librosa.griffinlim(
        np.sqrt(power).T,
        n_iter=ROUNDS,
        hop_length=mel.hop_length,
        win_length=mel.window_length,
        center=False,
        **seeded,
    )
    return waveform[margin:][: len(frames) * mel.hop_length].astype(np.float32)


def _spectrum(filters: np.ndarray, bands: np.ndarray) -> np.ndarray:
    """Power spectra (M, bins) at least 0 with mel powers near to `bands` (M, F).

    Multiplicative updates for non-negative least squares, from a spectrum that is flat in a band.
    """
    bands = np.maximum(bands, 1e-12)
    wanted = bands @ filters
    power = bands @ (filters / (filters.sum(1, keepdims=True) + 1e-12)) + 1e-12
    for _ in range(SPECTRUM_ROUNDS):
        power *= wanted / (power @ filters.T @ filters + 1e-20)
    return power
