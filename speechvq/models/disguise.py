"""Voices in disguise: the same words as if by somebody else.

A recording that is played faster is that of a shorter vocal tract and a higher pitch. With its pace
put right again, and through a filter, it says the same at the same time in another's voice. What
learns from such recordings learns to hear what is said rather than who says it.

Shapes: B batch, T samples, N codes. After Choi et al., "Neural Analysis and Synthesis:
Reconstructing Speech from Self-Supervised Representations", 2021, which perturbs more kindly.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

FILTER = 3.0
"""Standard deviation of the filter's gains, in dB."""
PLACES = 8
"""Frequencies at which gains are drawn; between them they change linearly."""


def disguise(waveform: Tensor, amount: float) -> tuple[Tensor, float]:
    """Play waveforms (B, T) at another speed, and through a filter each.

    Parameters
    ----------
    waveform : Tensor
        (B, T).
    amount : float
        The speed is drawn between 1 / (1 + amount) and 1 + amount, one for all.

    Returns
    -------
    tuple
        The waveforms (B, about T / speed), and the speed.
    """
    speed = math.exp(math.log1p(amount) * (2 * torch.rand(()).item() - 1))
    played = F.interpolate(waveform.unsqueeze(1), scale_factor=1 / speed, mode="linear").squeeze(1)
    spectrum = torch.fft.rfft(played)
    gains = FILTER * torch.randn(len(waveform), 1, PLACES, device=waveform.device)
    gains = F.interpolate(gains, size=spectrum.shape[-1], mode="linear", align_corners=True)
    return torch.fft.irfft(spectrum * 10 ** (gains.squeeze(1) / 20), n=played.shape[-1]), speed


def at_pace(x: Tensor, speed: float, count: int) -> Tensor:
    """What a disguised recording's codes or latents (B, N', …) were `count` codes long before."""
    places = ((torch.arange(count, device=x.device) + 0.5) / speed).long()
    return x[:, places.clamp(max=x.shape[1] - 1)]
