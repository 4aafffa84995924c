"""Streaming mel post-filter: sets the spectral envelope of drawn speech to predicted mel frames.

A small WaveNet draws more noise between the formants than natural speech has. In each frame of
some 25 ms the filter therefore sets the gain of every mel band, so that the frame has the log-mel
spectrum of the mel predictor; harmonics and phases of the drawn samples stay. Overlapping frames
blur each other's gains, so the output is filtered once more.

Shapes: T samples, M frames, F mel bands, W window_length.
"""

from __future__ import annotations

import numpy as np

from speechvq.features.log_mel import LogMel

MAX_GAIN = 3.0
"""Largest gain or attenuation of a band in one pass, in nats of amplitude (26 dB)."""
PASSES = 2
"""Times that the waveform is filtered; a third pass adds nothing."""


class MelPostFilter:
    """Streaming mel post-filter of one utterance.

    Each pass holds a sample until no later frame overlaps it: some 20 ms.

    Parameters
    ----------
    mel : LogMel
        Computes log-mel frames of a waveform, as those of the mel predictor.
    """

    def __init__(self, mel: LogMel):
        self._passes = [_Pass(mel) for _ in range(PASSES)]

    def add_targets(self, frames: np.ndarray) -> None:
        """Take target log-mel frames (m, F), in nats, of samples to come."""
        for one in self._passes:
            one.add_targets(frames)

    def add(self, waveform: np.ndarray) -> np.ndarray:
        """Take samples (t,); give the filtered samples (n,) that are complete, in [-1, 1]."""
        for one in self._passes:
            waveform = one.add(waveform)
        return waveform

    def end(self) -> np.ndarray:
        """Give the remaining samples (n,) when no more come."""
        left = np.zeros(0, dtype=np.float32)
        for one in self._passes:
            left = np.concatenate([one.add(left), one.end()])
        return left


class _Pass:
    """One pass of `MelPostFilter`, by overlap-add of windowed frames.

    The arithmetic is float64, so that the output rounds to the same float32 however it is cut.
    """

    def __init__(self, mel: LogMel):
        self._hop, self._size, self._n_fft = mel.hop_length, mel.window_length, mel.n_fft
        self._floor = mel.floor
        self._window = mel.window.cpu().double().numpy()
        self._filters = mel.filters.cpu().double().numpy()  # (F, bins)
        # Weights of the bands' gains in each bin; bins outside all bands keep their amplitude
        self._bin_weights = self._filters / np.maximum(self._filters.sum(0), 1e-12)
        margin = self._n_fft - self._hop
        # Samples from a frame's first sample to the first one of its condition vector
        self._before = margin // 2 - (self._n_fft - self._size) // 2
        self._targets = np.zeros((0, len(self._filters)))
        self._held = np.zeros(self._before)  # samples from the next frame's first on
        self._sum = np.zeros(self._size)  # overlapped filtered frames and squared windows
        self._weight = np.zeros(self._size)
        self._skip = self._before  # samples before the utterance's first
        self._left = 0  # samples taken and not yet given

    def add_targets(self, frames: np.ndarray) -> None:
        self._targets = np.concatenate([self._targets, frames.astype(np.float64)])

    def add(self, waveform: np.ndarray) -> np.ndarray:
        self._held = np.concatenate([self._held, waveform.astype(np.float64)])
        self._left += len(waveform)
        return self._filtered_frames()

    def end(self) -> np.ndarray:
        self._held = np.concatenate([self._held, np.zeros(self._size)])
        left = self._left
        filtered = self._filtered_frames()
        rest = np.divide(
            self._sum, self._weight, out=np.zeros_like(self._sum), where=self._weight > 1e-3
        )
        rest = rest[self._skip :].clip(-1, 1).astype(np.float32)
        return np.concatenate([filtered, rest])[:left]

    def _filtered_frames(self) -> np.ndarray:
        """Filter whole frames that have a target; give the samples that no later one overlaps."""
        count = max(0, (len(self._held) - self._size) // self._hop + 1)
        count = min(count, len(self._targets))
        done = []
        if count:
            places = self._hop * np.arange(count)[:, None] + np.arange(self._size)
            frames = self._apply_gains(self._held[places], self._targets[:count])
            self._held = self._held[count * self._hop :]
            self._targets = self._targets[count:]
            for frame in frames:
                self._sum += frame * self._window
                self._weight += self._window**2
                weight = np.maximum(self._weight[: self._hop], 1e-3)
                done.append(self._sum[: self._hop] / weight)
                for kept in (self._sum, self._weight):
                    kept[: -self._hop] = kept[self._hop :]
                    kept[-self._hop :] = 0
        samples = np.concatenate([np.zeros(0), *done])
        skipped = min(self._skip, len(samples))
        self._skip -= skipped
        self._left -= len(samples) - skipped
        return samples[skipped:].clip(-1, 1).astype(np.float32)

    def _apply_gains(self, frames: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Window frames (M, W) and scale their bands to the target log-mel spectra (M, F)."""
        spectrum = np.fft.rfft(frames * self._window, self._n_fft)
        mel = np.log(np.square(np.abs(spectrum)) @ self._filters.T + self._floor)
        # In nats of amplitude
        gains = ((targets - mel) / 2).clip(-MAX_GAIN, MAX_GAIN) @ self._bin_weights
        return np.fft.irfft(spectrum * np.exp(gains), self._n_fft)[:, : self._size]
