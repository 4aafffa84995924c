"""From a waveform to codes, in bounded memory however long the recording is.

Shapes: T samples, N codes.
"""

from __future__ import annotations

import numpy as np
import torch

from speechvq.config import VQVAEConfig
from speechvq.models.vqvae import VQVAE

CHUNK = 10.0
"""Seconds of a recording encoded at a time."""


def encode(model: VQVAE, waveform: np.ndarray) -> np.ndarray:
    """Codes of a recording.

    Long recordings are encoded in pieces, each with as much of its neighbours as the encoder can
    see, so that the codes are those of the whole.

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
    waveform = np.asarray(waveform, dtype=np.float32)
    if waveform.ndim != 1 or not len(waveform):
        raise ValueError(f"waveform: expected shape (T,), T at least 1, got {waveform.shape}")
    if not np.isfinite(waveform).all():
        raise ValueError("waveform: holds NaN or infinite samples")
    hop, device = model.hop_length, model.decoder.embed.weight.device
    margin = -(-receptive_field(model.config) // hop)  # codes, on either side
    chunk = max(1, round(CHUNK * model.frame_rate))  # codes
    N = -(-len(waveform) // hop)
    pieces = []
    with torch.inference_mode():
        for first in range(0, N, chunk):
            begin = max(0, first - margin)
            piece = torch.from_numpy(waveform[begin * hop : (first + chunk + margin) * hop])
            codes = model.encode(piece.unsqueeze(0).to(device))[0]
            pieces.append(codes[first - begin :][:chunk].cpu().numpy())
    return np.concatenate(pieces)


def receptive_field(config: VQVAEConfig) -> int:
    """Samples that one code depends on: windows of 2 · stride, then windows of three codes."""
    samples, hop = 1, 1
    for stride in config.strides:
        samples += (2 * stride - 1) * hop
        hop *= stride
    return samples + 2 * hop * config.encoder_residual_layers
