"""Vocal tract length normalisation: warping a mel filterbank.

Shapes: B batch, F mel bands, bins of the power spectrum. After Lee and Rose, "Speaker normalization
using efficient frequency warping procedures", 1996.
"""

import torch
from torch import Tensor

KNEE = 0.8
"""Share of the band up to which a warp is proportional."""


def warp_factors(count: int, largest_log_warp: float) -> Tensor:
    """Warp factors (count,) to try, spaced evenly on a logarithmic scale around 1."""
    return torch.linspace(-largest_log_warp, largest_log_warp, count).exp()


def warp_filters(filters: Tensor, warp: Tensor) -> Tensor:
    """Warp a filterbank by piecewise-linear VTLN factors.

    Filter f then takes the power at `warp` times its frequency. Above `KNEE` of the band the slope
    changes, so that the end of the band stays where it is.

    Parameters
    ----------
    filters : Tensor
        (F, bins), from 0 Hz to half the sample rate.
    warp : Tensor
        (B,), above 1 for a speaker with higher resonances than others.

    Returns
    -------
    Tensor
        (B, F, bins).
    """
    last = filters.shape[1] - 1
    warp = warp.unsqueeze(1)
    bins = torch.arange(last + 1, device=filters.device)  # of the speaker's spectrum
    knee = KNEE * last * warp.clamp(max=1.0)
    slope_above = (last - knee / warp) / (last - knee)
    warped = torch.where(bins < knee, bins / warp, last - (last - bins) * slope_above)  # (B, bins)
    lower = warped.long().clamp(0, last - 1)
    share = (warped - lower).unsqueeze(1)
    columns = filters.T  # (bins, F)
    below, above = columns[lower].transpose(1, 2), columns[lower + 1].transpose(1, 2)
    return below * (1 - share) + above * share
