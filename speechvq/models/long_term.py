"""The long-term predictor: what the voice was a pitch period ago, as an input of the WaveNet.

Voiced speech repeats itself from one pitch period to the next. The dilations of a WaveNet are fixed
and the pitch is not, so a small WaveNet does not find the period, and draws hoarse speech. This
module finds the lag at which the past repeats itself best, anew for each condition vector. The
elements around that lag are a further input of the first layer, weighted by how well they repeat:

    h_t = embed(x_{t-1}) + ρ Σ_k embed_k(x_{t-λ+k})

λ is the lag of the largest normalised autocorrelation of the first sub-band's past, ρ ≥ 0 that
autocorrelation. Both depend on the past alone, so that p(x_t | x_<t, condition) is as exact as it
was. Speech codecs predict in the same way ("long-term prediction", with "backward adaptation").
This is not in the paper; for pitch-dependent taps of a WaveNet see Wu et al., "Quasi-Periodic
WaveNet", 2021.

Shapes: B batch, T steps, J bands, M condition vectors, C residual_channels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.models import mu_law

TAPS = 5
"""Elements around the lag that are looked at: a pitch period is no whole number of steps."""
LOWEST, HIGHEST = 55.0, 450.0
"""Hz, of the pitch."""
WINDOW = 0.04
"""Seconds of the past that are compared with what was a lag before."""
FLOOR = 1e-3
"""Added to the energy of the window: what is much softer than speech repeats nothing."""


def amplitudes(levels: Tensor) -> Tensor:
    """What levels stand for: float32 of the same shape, 0 for silence, which repeats nothing."""
    return mu_law.decode(levels) - mu_law.decode(torch.tensor(mu_law.SILENCE, device=levels.device))


class LongTermPredictor(nn.Module):
    """An input of the first layer from the elements around a lag.

    Parameters
    ----------
    channels : int
        C.
    bands : int
        J.
    step_rate : float
        Steps in a second.
    """

    def __init__(self, channels: int, bands: int, step_rate: float):
        super().__init__()
        self.bands = bands
        self.shortest = max(TAPS // 2 + 1, int(step_rate / HIGHEST))
        self.longest = max(self.shortest, int(step_rate / LOWEST))
        self.window = round(WINDOW * step_rate)
        self.embed = nn.Embedding(TAPS * bands * mu_law.LEVELS, channels)

    @property
    def history(self) -> int:
        """Steps that a lag depends on."""
        return self.window + self.longest

    def forward(self, before: Tensor, period: int) -> Tensor:
        """Input (B, T, C) of each step.

        Parameters
        ----------
        before : Tensor
            (B, T, J) levels before each step.
        period : int
            Steps for which a lag holds; a divisor of T.
        """
        with torch.no_grad():
            first = F.pad(before[..., 0], (self.history - 1, 0), value=mu_law.SILENCE)
            lag, weight = (x.repeat_interleave(period, dim=1) for x in self.lags(first, period))
            step = torch.arange(before.shape[1], device=before.device)
            reach = self.longest + TAPS
            past = F.pad(before, (0, 0, reach, 0), value=mu_law.SILENCE)
            # x_{t-λ+k} stands in `before` one step later
            at = (step + 1 - lag).unsqueeze(-1) + self._taps() + reach  # (B, T, TAPS)
            at = at.flatten(1).unsqueeze(-1).expand(-1, -1, self.bands)
            levels = past.gather(1, at).unflatten(1, (-1, TAPS))
        return self.embedded(levels, weight)

    def embedded(self, levels: Tensor, weight: Tensor) -> Tensor:
        """The input (…, C) of the levels (…, TAPS, J) around the lag, with weights ρ (…,)."""
        tables = torch.arange(TAPS * self.bands, device=levels.device)
        rows = levels.flatten(-2) + mu_law.LEVELS * tables
        sums = F.embedding_bag(rows.flatten(0, -2), self.embed.weight, mode="sum")
        return weight.unsqueeze(-1) * sums.unflatten(0, weight.shape)

    def around(self, history: Tensor, lag: Tensor) -> Tensor:
        """Levels (B, TAPS, J) around lags (B,), before the step after a history (B, T, J)."""
        at = history.shape[1] - lag.unsqueeze(-1) + self._taps()
        return history.gather(1, at.unsqueeze(-1).expand(-1, -1, self.bands))

    @torch.no_grad()
    def lags(
        self, levels: Tensor, period: int = 1, dtype: torch.dtype = torch.float32
    ) -> tuple[Tensor, Tensor]:
        """Find the lags after the first `history` levels, and every `period` levels from there.

        Parameters
        ----------
        levels : Tensor
            (B, history + (M - 1) · period) of the first band.
        period : int
            Steps from one lag to the next.
        dtype : torch.dtype
            Of the correlations.

        Returns
        -------
        lag, weight : Tensor
            λ (B, M) in steps, and ρ (B, M).
        """
        best, place = self.correlations(levels, period, dtype).max(-1)
        return self.longest - place, best.clamp(min=0)

    @torch.no_grad()
    def correlations(
        self, levels: Tensor, period: int = 1, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Normalised autocorrelations (B, M, L) at L lags, from `longest` down to `shortest`.

        Arguments as those of `lags`.
        """
        pasts = amplitudes(levels).to(dtype).unfold(1, self.history, period)  # the latest last
        now = pasts[..., self.longest :]
        lagged = pasts.unfold(-1, self.window, 1)[:, :, : self.longest - self.shortest + 1]
        products = (lagged @ now.unsqueeze(-1)).squeeze(-1)
        energy = lagged.square().sum(-1) * now.square().sum(-1, keepdim=True)
        return products / (energy.sqrt() + FLOOR)

    def _taps(self) -> Tensor:
        return torch.arange(TAPS, device=self.embed.weight.device) - TAPS // 2
