"""Perturbation of the encoder's input (augmentation), so that the encoder ignores what changes.

Speed (with pitch and formants), equaliser, gain, low-pass, reverberation, noise and MP3. The
objective's target stays as it was; it is taken at the pace of the input.

Shapes: B batch, S samples of a target, T samples of an input, bins of the spectrum.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from speechvq.config import PerturbationConfig
from speechvq.data.segments import Batch, SegmentBatches
from speechvq.features.lossy_codec import COMPRESSIONS, mp3_round_trip

KNOTS = 9
"""Points of the random equaliser, spaced evenly on a mel-like axis."""
STOP_BAND = 60.0
"""dB by which a low-pass attenuates, after a slope of 500 Hz."""
GRID = 320
"""Numbers of samples are multiples of this, for the sake of the transform."""


class PerturbedBatches(Dataset[Batch]):
    """Batches with `inputs` (B, T), the perturbed waveforms, and their `speed` (B,).

    Labels, if there are any, are those of T samples: they suit a speed of 1 alone. A row is a
    function of the step and of its place in the batch of all processes.

    Parameters
    ----------
    segments : SegmentBatches
        Segments of `source_length` samples.
    config : PerturbationConfig
    sample_rate : int
        Hz.
    length : int
        T.
    """

    def __init__(
        self, segments: SegmentBatches, config: PerturbationConfig, sample_rate: int, length: int
    ):
        self.segments = segments
        self.config = config
        self.sample_rate = sample_rate
        self.length = length
        self.samples_per_step = segments.batch_size * length
        self.steps_per_epoch = segments.steps_per_epoch

    def __len__(self) -> int:
        return len(self.segments)

    def places(self, step: int) -> list[tuple[int, int]]:
        """As those of the segments."""
        return self.segments.places(step)

    def __getitem__(self, step: int) -> Batch:
        batch = self.segments[step]
        random = [self.segments.random(step, row) for row in range(len(batch.waveform))]
        inputs, speed = perturb(batch.waveform, self.length, self.config, self.sample_rate, random)
        labels = batch.labels
        if labels is not None:
            labels = labels[:, : self.length // self.segments.hop_length]
        return batch._replace(inputs=inputs, labels=labels, speed=speed)


def source_length(length: int, config: PerturbationConfig) -> int:
    """S, samples of which `length` samples are perturbed, whatever the speed."""
    return -(-math.ceil(length * math.exp(config.speed)) // GRID) * GRID + GRID


def perturb(
    waveform: Tensor,
    length: int,
    config: PerturbationConfig,
    sample_rate: int,
    random: Sequence[np.random.Generator],
) -> tuple[Tensor, Tensor]:
    """Perturb waveforms (B, S), each by the random numbers of its own generator.

    The spectrum of the whole waveform is multiplied by a gain, a smooth random equaliser and
    perhaps a low-pass. Taken back to another number of samples, speech has another speed, and
    pitch and formants move with it.

    Returns
    -------
    inputs : Tensor
        (B, length).
    speed : Tensor
        (B,): sample i of `inputs` is sample i · speed of `waveform`.
    """
    B, S = waveform.shape
    spectrum = torch.fft.rfft(waveform)
    frequency = np.linspace(0, sample_rate / 2, spectrum.shape[1])
    inputs, speeds = [], []
    for row, own in zip(spectrum, random, strict=True):
        speed = np.exp(own.uniform(-config.speed, config.speed))
        samples = max(round(S / speed / GRID), -(-length // GRID)) * GRID if config.speed else S
        decibels = _equaliser(frequency, config, own) + _low_pass(frequency, config, own)
        shaped = row * torch.from_numpy(10 ** (decibels / 20)).float()
        resampled = torch.fft.irfft(shaped, samples)[:length] * (samples / S)
        inputs.append(_recorded(resampled.numpy(), config, sample_rate, own))
        speeds.append(S / samples)
    return torch.from_numpy(np.stack(inputs)), torch.tensor(speeds)


def _recorded(
    waveform: np.ndarray, config: PerturbationConfig, sample_rate: int, random: np.random.Generator
) -> np.ndarray:
    """A waveform (T,) as recorded in a room, perhaps reverberant, noisy, or kept as MP3."""
    if random.random() < config.reverberation:
        waveform = _reverberant(waveform, sample_rate, random)
    if random.random() < config.noise:
        ratio = random.uniform(config.noise_from, config.noise_to)
        rms = np.sqrt(np.square(waveform).mean())
        noise = random.standard_normal(len(waveform))
        if random.random() < 0.5:  # more at low frequencies, as in most rooms
            low = np.convolve(noise, np.full(24, 0.2), "same")[: len(noise)]
            noise = (0.6 * noise + 0.8 * low) / 1.08  # of power 1
        waveform = waveform + rms * 10 ** (-ratio / 20) * noise
    if random.random() < config.codec:
        waveform = mp3_round_trip(waveform, sample_rate, random.choice(COMPRESSIONS))
    return waveform.astype(np.float32)


def _reverberant(waveform: np.ndarray, sample_rate: int, random: np.random.Generator) -> np.ndarray:
    """Add an exponentially decaying tail of .1 to .4 s, 4 to 16 dB below the direct sound."""
    seconds = random.uniform(0.1, 0.4)  # until it is 60 dB down
    time = np.arange(int(seconds * sample_rate)) / sample_rate
    tail = random.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    tail *= 10 ** (random.uniform(-16, -4) / 20) / np.linalg.norm(tail)
    tail[0] = 1.0
    n_fft = -(-(len(waveform) + len(tail)) // GRID) * GRID
    product = np.fft.rfft(waveform, n_fft) * np.fft.rfft(tail, n_fft)
    return np.fft.irfft(product, n_fft)[: len(waveform)]


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
