"""Features of self-supervised models at the frames of codes: HuBERT, WavLM, wav2vec 2.0.

Shapes: T samples, M frames of the model, N codes, D channels of a layer.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from speechvq.analysis.torchaudio_models import load_pretrained

Features = Callable[[np.ndarray, int], np.ndarray]
"""From a waveform (T,) and the number N of its codes to features (N, D)."""


def parsed_choice(choice: str) -> tuple[str, int | None]:
    """The name and the layer of ``NAME`` or ``NAME:LAYER``; ValueError for another form."""
    name, colon, layer = choice.partition(":")
    if not name or (colon and not (layer.isascii() and layer.isdecimal() and int(layer))):
        raise ValueError(f"{choice!r}: expected NAME or NAME:LAYER, with a layer from 1 on")
    return name, int(layer) if colon else None


def self_supervised(
    choice: str,
    sample_rate: int,
    hop_length: int,
    weights: str | os.PathLike[str] | None = None,
    device: str = "cpu",
) -> tuple[str, Features]:
    """Load a self-supervised model; return its name with the layer, and its features.

    Parameters
    ----------
    choice
        ``NAME:LAYER``: a pipeline of torchaudio and a transformer layer, from 1 on; without
        a layer the one in the middle, as GSLM takes layer 6 of HuBERT Base.
    sample_rate
        Hz, of the waveforms.
    hop_length
        Samples per code.
    weights
        As in `load_pretrained`.
    device
        Where it computes.

    Raises
    ------
    ValueError, OSError
        As `load_pretrained`; or there is no such layer.
    """
    import torch

    name, layer = parsed_choice(choice)
    pretrained = load_pretrained(name, weights)
    layer = layer or max(1, pretrained.layers // 2)
    if layer > pretrained.layers:
        raise ValueError(f"{choice}: {name} has the layers 1 to {pretrained.layers}")
    model: Any = pretrained.model.to(device)
    seconds = pretrained.stride / pretrained.sample_rate

    @torch.inference_mode()
    def features(waveform: np.ndarray, n_frames: int) -> np.ndarray:
        batch = pretrained.framed(waveform, sample_rate).to(device)
        found = model.extract_features(batch, num_layers=layer)[0][-1][0]
        return at_codes(found.float().cpu().numpy(), seconds, n_frames, hop_length / sample_rate)

    return f"{name}, layer {layer}", features


def at_codes(
    features: np.ndarray, frame_seconds: float, n_frames: int, code_seconds: float
) -> np.ndarray:
    """Features (M, D) of frames of another length at the frames of codes, (N, D).

    A code has the mean of the frames whose centre it covers, or else the frame whose centre is the
    nearest to its own.
    """
    M = len(features)
    sums = np.concatenate([np.zeros_like(features[:1]), features.cumsum(0, dtype=np.float64)])
    edges = np.arange(n_frames + 1) * code_seconds / frame_seconds - 0.5
    # A centre on an edge, to the rounding of floats, belongs to the later code
    edges = np.clip(np.ceil(edges - 1e-6).astype(int), 0, M)
    counts = np.diff(edges)[:, None]
    centres = (np.arange(n_frames) + 0.5) * code_seconds / frame_seconds
    nearest = np.clip(centres.astype(int), 0, M - 1)
    means = (sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(counts, 1)
    return np.where(counts > 0, means, features[nearest]).astype(np.float32)
