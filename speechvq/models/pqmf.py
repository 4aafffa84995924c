"""PQMF: analysis of a waveform into sub-bands of a J-th of the sample rate, and synthesis.

The decoder draws mu-law levels of J sub-bands at each step, so that it needs a J-th of the steps,
in training as in sampling. Each band has its own scale, so that quiet high bands are resolved as
finely as loud low ones.

Shapes: B batch, T samples, J bands. Synthesis gives the waveform back up to errors some 60 dB below
it. Source: Nguyen, "Near-perfect-reconstruction pseudo-QMF banks", 1994.
"""

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.models import mu_law

REACH = 8
"""Steps before and after its own that a sample depends on, where there are several bands."""
LOUDEST = 0.9999
"""Share of a band's samples that its scale leaves unclipped, over some minutes of speech."""


class PQMF(nn.Module):
    """Mu-law levels of J sub-bands of a waveform; J = 1 is the waveform itself.

    Parameters
    ----------
    bands : int
        J.
    """

    scale: Tensor
    filters: Tensor

    def __init__(self, bands: int):
        super().__init__()
        self.bands = bands
        # Amplitude of a band's highest level; full scale for a single band
        self.register_buffer("scale", torch.ones(bands), persistent=bands > 1)
        if bands > 1:
            filters = torch.from_numpy(analysis_filters(bands)).float()
            self.register_buffer("filters", filters.unsqueeze(1), persistent=False)

    def analyse(self, waveform: Tensor) -> Tensor:
        """Bands (B, T / J, J) of a waveform (B, T), T a multiple of J; step t is at sample t·J."""
        if self.bands == 1:
            return waveform.unsqueeze(-1)
        with torch.autocast(waveform.device.type, enabled=False):
            reach = self.filters.shape[-1] // 2
            padded = F.pad(waveform.float(), (reach, reach)).unsqueeze(1)
            return F.conv1d(padded, self.filters, stride=self.bands).transpose(1, 2)

    def encode(self, waveform: Tensor) -> Tensor:
        """Levels (B, T / J, J) of a waveform (B, T), T a multiple of J."""
        return mu_law.encode(self.analyse(waveform) / self.scale)

    @property
    def amplitudes(self) -> np.ndarray:
        """What each level of each band stands for: (J, 256) float32."""
        levels = mu_law.decode(torch.arange(mu_law.LEVELS))
        return (levels * self.scale.cpu().unsqueeze(1)).numpy()

    @torch.no_grad()
    def fit(self, waveforms: Tensor) -> None:
        """Set the scales by typical speech (B, T); of one band it stays full scale."""
        if self.bands > 1:
            magnitudes = self.analyse(waveforms).abs().flatten(0, 1)
            loudest = np.quantile(magnitudes.cpu().numpy(), LOUDEST, axis=0)
            self.scale.copy_(torch.from_numpy(loudest).clamp(min=1e-4))


class PQMFSynthesis:
    """Streaming PQMF synthesis: the drawn levels of one utterance back to a waveform.

    The samples do not depend on how the levels are cut: every sum is taken in the same order.

    Parameters
    ----------
    pqmf : PQMF
    """

    def __init__(self, pqmf: PQMF):
        self._amplitudes = pqmf.amplitudes
        self._filters = synthesis_filters(pqmf.bands)
        self._reach = len(self._filters) // 2
        self._held = np.zeros((self._reach, pqmf.bands))  # steps that later samples depend on

    def decode(self, levels: np.ndarray) -> np.ndarray:
        """The sub-bands (t, J) float32 that levels (t, J) stand for."""
        bands = zip(self._amplitudes, levels.T, strict=True)
        return np.stack([amplitudes[band] for amplitudes, band in bands], axis=1)

    def add(self, bands: np.ndarray) -> np.ndarray:
        """Take sub-bands (t, J); give the samples (n,) float32 in [-1, 1] that they complete."""
        steps = np.concatenate([self._held, bands])
        n = max(0, len(steps) - 2 * self._reach)
        samples = np.zeros((n, bands.shape[1]))
        for i, of_step in enumerate(self._filters):
            for j, of_band in enumerate(of_step):
                samples += steps[i : i + n, j, None] * of_band
        self._held = steps[n:]
        return samples.ravel().clip(-1, 1).astype(np.float32)

    def end(self) -> np.ndarray:
        """Give the samples (n,) that are left when no more sub-bands come."""
        return self.add(np.zeros((self._reach, len(self._amplitudes))))


@functools.cache
def analysis_filters(bands: int) -> np.ndarray:
    """Impulse responses (J, 16·J - 1), as `conv1d` wants them."""
    prototype, time = _prototype(bands)
    j = np.arange(bands)[:, None]
    phase = (2 * j + 1) * math.pi / (2 * bands) * time
    return 2 * prototype * np.cos(phase - (-1.0) ** j * math.pi / 4)


@functools.cache
def synthesis_filters(bands: int) -> np.ndarray:
    """Weights (2·REACH + 1, J, J): of each band of the steps around it, in a step's J samples."""
    if bands == 1:
        return np.ones((1, 1, 1))
    # As symmetric as the prototype is, the analysis filters serve backwards as they are
    responses = np.pad(bands * analysis_filters(bands), ((0, 0), (1, bands)))
    by_step = responses.reshape(bands, 2 * REACH + 1, bands)
    return by_step[:, ::-1].swapaxes(0, 1)


@functools.cache
def _prototype(bands: int) -> tuple[np.ndarray, np.ndarray]:
    """The low-pass filter that is modulated, and its taps' distance from the middle."""
    taps = 2 * REACH * bands - 1
    time = np.arange(taps) - taps // 2
    window = np.kaiser(taps, 9.0)
    crossing = np.cos(math.pi / (2 * bands) * time)  # where a band meets its neighbour
    low, high = 0.4 / bands, 0.8 / bands
    # Two neighbours at half power add up to the whole: the bands together are flat. By bisection
    for _ in range(48):
        cutoff = (low + high) / 2
        if windowed_sinc(window, cutoff) @ crossing < math.sqrt(0.5):
            low = cutoff
        else:
            high = cutoff
    return windowed_sinc(window, (low + high) / 2), time


def windowed_sinc(window: np.ndarray, cutoff: float) -> np.ndarray:
    """A low-pass filter (taps,) of sum 1, its cutoff as a share of half the sample rate.

    As scipy's `firwin`, whose import takes half a second.
    """
    taps = len(window)
    response = np.sinc(cutoff * (np.arange(taps) - (taps - 1) / 2)) * window
    return response / response.sum()
