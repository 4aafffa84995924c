"""Voices in disguise: the same words as if by somebody else.

A recording that is played faster is that of a shorter vocal tract and a higher pitch. With its pace
put right again, and through a filter, it says the same at the same time in another's voice. What
learns from such recordings learns to hear what is said rather than who says it.

Shapes: B batch, T samples, N codes. After Choi et al., "Neural Analysis and Synthesis:
Reconstructing Speech from Self-Supervised Representations", 2021, which perturbs more kindly.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

FILTER = 3.0
"""Standard deviation of the filter's gains, in dB."""
PLACES = 8
"""Frequencies at which gains are drawn; between them they change linearly."""


def of_disguised(
    find: Callable[[Tensor], Tensor], waveform: Tensor, amount: float, hop_length: int
) -> Tensor:
    """What an encoder finds in a disguised recording, at the pace of the original.

    Parameters
    ----------
    find : callable
        From a waveform (B, T) to its codes or latents (B, N, …).
    waveform : Tensor
        (B, T), T a multiple of the hop length.
    amount : float
        The speed is drawn between 1 / (1 + amount) and 1 + amount, one for all; 0 is no disguise.
    hop_length : int
        Samples per code.
    """
    if not amount:
        return find(waveform)
    speed = math.exp(math.log1p(amount) * (2 * torch.rand(()).item() - 1))
    played = F.interpolate(waveform.unsqueeze(1), scale_factor=1 / speed, mode="linear").squeeze(1)
    spectrum = torch.fft.rfft(played)
    gains = FILTER * torch.randn(len(waveform), 1, PLACES, device=waveform.device)
    gains = F.interpolate(gains, size=spectrum.shape[-1], mode="linear", align_corners=True)
    found = find(torch.fft.irfft(spectrum * 10 ** (gains.squeeze(1) / 20), n=played.shape[-1]))
    N = waveform.shape[-1] // hop_length
    places = ((torch.arange(N, device=found.device) + 0.5) / speed).long()
    return found[:, places.clamp(max=found.shape[1] - 1)]
