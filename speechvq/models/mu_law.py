"""Mu-law companding (ITU-T G.711's curve): a waveform as 256 levels, fine near silence."""

import math

import torch
from torch import Tensor

LEVELS = 256
SILENCE = LEVELS // 2  # the level of a zero sample
_MU = LEVELS - 1


def encode(waveform: Tensor) -> Tensor:
    """Levels of a waveform.

    Parameters
    ----------
    waveform : Tensor
        Floats of any shape; values outside [-1, 1] are clamped.

    Returns
    -------
    Tensor
        int64 in 0 … 255, of the same shape.

    Raises
    ------
    ValueError
        If a value is NaN, which has no level.
    """
    x = waveform.clamp(-1.0, 1.0)
    if torch.isnan(x).any():
        raise ValueError("waveform: contains NaN; expected numbers between -1 and 1")
    companded = x.sign() * torch.log1p(_MU * x.abs()) / math.log1p(_MU)
    return ((companded + 1) / 2 * _MU + 0.5).long()


def decode(levels: Tensor) -> Tensor:
    """Waveform of levels: float32 in [-1, 1], of the same shape."""
    companded = 2 * levels.float() / _MU - 1
    return companded.sign() * torch.expm1(companded.abs() * math.log1p(_MU)) / _MU
