"""Perturbation of the encoder's input (augmentation): stretch, equaliser, gain, low-pass, noise.

The objective's target stays as it was, so that the encoder learns to ignore what changes.

Shapes: B batch, T samples, M frames, bins of the spectrum.
"""

import math
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from speechvq.config import PerturbationConfig
from speechvq.data.segments import Batch, SegmentBatches

N_FFT, HOP_LENGTH = 512, 128
KNOTS = 9
"""Points of the random equaliser, spaced evenly on a mel-like axis."""
STOP_BAND = 60.0
"""dB by which a low-pass attenuates, after a slope of 500 Hz."""


class PerturbedBatches(Dataset):
    """Batches whose `inputs` are their waveforms, perturbed; a function of the step alone."""

    def __init__(self, segments: SegmentBatches, config: PerturbationConfig, sample_rate: int):
        self.segments = segments
        self.config = config
        self.sample_rate = sample_rate
        self.samples_per_step = segments.samples_per_step
        self.steps_per_epoch = segments.steps_per_epoch

    def __len__(self) -> int:
        return len(self.segments)

    def __getitem__(self, step: int) -> Batch:
        batch = self.segments[step]
        seed = zlib.crc32(batch.waveform.numpy().tobytes())  # of this process's rows
        random = np.random.default_rng(seed)
        return batch._replace(inputs=perturb(batch.waveform, self.config, self.sample_rate, random))


def perturb(
    waveform: Tensor, config: PerturbationConfig, sample_rate: int, random: np.random.Generator
) -> Tensor:
    """Perturb waveforms (B, T), each in its own way; sounds stay at their places in time.

    The spectrum is stretched along the frequency axis and multiplied by a random gain, a smooth
    random equaliser and perhaps a low-pass; then white noise may be added.
    """
    B, T = waveform.shape
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(
        waveform, N_FFT, HOP_LENGTH, window=window, pad_mode="constant", return_complex=True
    )
    bins = spectrum.shape[1]
    frequency = np.linspace(0, sample_rate / 2, bins)
    stretch, gains = [], []
    for _ in range(B):
        stretch.append(np.exp(random.uniform(-config.stretch, config.stretch)))
        decibels = _equaliser(frequency, config, random) + _low_pass(frequency, config, random)
        gains.append(10 ** (decibels / 20))
    if config.stretch:
        spectrum = _stretched(spectrum, torch.tensor(stretch, dtype=torch.float32))
    filtered = spectrum * torch.from_numpy(np.stack(gains)).float().unsqueeze(-1)
    perturbed = torch.istft(filtered, N_FFT, HOP_LENGTH, window=window, length=T)
    noisy = random.random(B) < config.noise
    ratio = random.uniform(config.noise_from, config.noise_to, B)
    amplitude = torch.from_numpy(noisy * 10 ** (-ratio / 20)).float().unsqueeze(1)
    noise = torch.from_numpy(random.standard_normal((B, T), dtype=np.float32))
    rms = perturbed.square().mean(1, keepdim=True).sqrt()
    return perturbed + noise * rms * amplitude


def _stretched(spectrum: Tensor, factor: Tensor) -> Tensor:
    """Spectrograms (B, bins, M) whose frequencies are multiplied by factors (B,).

    Bins take their values from the places that are stretched onto them. Phases then advance from
    frame to frame by as much more as the frequency is higher, as in a phase vocoder whose bins
    keep their phases relative to the nearest peak (Laroche and Dolson, "Improved phase vocoder
    time-scale modification of audio", 1999).
    """
    last, frames = spectrum.shape[1] - 1, spectrum.shape[2]
    bins = torch.arange(last + 1)
    source = bins / factor.unsqueeze(1)  # (B, bins), places in the given spectrum
    lower = source.long().clamp(max=last - 1).unsqueeze(-1).expand(-1, -1, frames)
    share = (source - lower[:, :, 0]).unsqueeze(-1)
    # With phases at the middle of a frame neighbouring bins of a partial do not cancel out
    sign = (1 - 2 * (bins % 2)).unsqueeze(-1)
    centred = spectrum * sign
    mixed = centred.gather(1, lower) * (1 - share) + centred.gather(1, lower + 1) * share
    mixed[source > last] = 0

    expected = (2 * math.pi * HOP_LENGTH / N_FFT * source).unsqueeze(-1)  # at a bin's own frequency
    advance = expected + _wrapped(mixed.angle().diff(dim=2) - expected)  # (B, bins, M - 1)
    more = (factor - 1).view(-1, 1, 1) * advance
    peaks = _nearest_peaks(mixed.abs())
    rotation = [torch.zeros(peaks.shape[:2])]
    for m in range(1, frames):
        rotation.append(_wrapped(rotation[-1] + more[:, :, m - 1]).gather(1, peaks[:, :, m]))
    angles = torch.stack(rotation, dim=2)
    return mixed * torch.polar(torch.ones_like(angles), angles) * sign


def _nearest_peaks(magnitude: Tensor) -> Tensor:
    """For each bin of spectrograms (B, bins, M) the bin of the nearest peak in the frame."""
    bins = torch.arange(magnitude.shape[1]).unsqueeze(-1)
    far = len(bins) ** 2
    peak = magnitude >= F.max_pool1d(magnitude.mT, 5, 1, 2).mT
    below = torch.where(peak, bins, -far).cummax(1).values
    above = torch.where(peak, bins, far).flip(1).cummin(1).values.flip(1)
    return torch.where(bins - below <= above - bins, below, above)


def _wrapped(phase: Tensor) -> Tensor:
    """Phases in -π … π."""
    return phase - 2 * math.pi * (phase / (2 * math.pi)).round()


def _equaliser(
    frequency: np.ndarray, config: PerturbationConfig, random: np.random.Generator
) -> np.ndarray:
    """Gain in dB of a smooth random curve and of the level."""
    mel = np.log1p(frequency / 700)
    levels = config.equaliser * random.standard_normal(KNOTS)
    curve = np.interp(mel, np.linspace(0, mel[-1], KNOTS), levels - levels.mean())
    return curve + random.uniform(-config.gain, config.gain)


def _low_pass(
    frequency: np.ndarray, config: PerturbationConfig, random: np.random.Generator
) -> np.ndarray:
    """Gain in dB of a low-pass, which only a share of the segments gets."""
    edge = random.uniform(config.low_pass_from, config.low_pass_to)
    if random.random() >= config.low_pass:
        return np.zeros_like(frequency)
    return -STOP_BAND * np.clip((frequency - edge) / 500, 0, 1)
