"""Drawn speech, filtered to the envelope that the model expects of it.

What a small WaveNet draws has more noise between the formants than speech has. So in each frame of
some 25 ms the gain of every mel band is set so that the frame has the log-mel spectrum that the
model expects (models/envelope.py); harmonics and phases stay as they were drawn. Where frames
overlap, each blurs what its neighbours were given, so what comes out is filtered once more.

Shapes: T samples, M frames, F mel bands, W window_length.
"""

from __future__ import annotations

import numpy as np

from speechvq.models.cepstra import LogMel
from speechvq.models.filterbank import FLOOR

MOST = 3.0
"""Nats of amplitude by which a band is raised or lowered at most in one pass: 26 dB."""
PASSES = 2
"""How often it is filtered; a third time brings nothing more (recipes/vctk/RESULTS.md)."""


class Shaper:
    """One utterance's samples, as they are drawn, filtered to the log-mel frames to expect.

    Each pass keeps a sample until no later frame adds to it: some 20 ms.

    Parameters
    ----------
    mel : LogMel
        What makes such frames of a waveform.
    """

    def __init__(self, mel: LogMel):
        self._passes = [_Pass(mel) for _ in range(PASSES)]

    def expect(self, frames: np.ndarray) -> None:
        """Take the log-mel frames (m, F) of samples to come."""
        for one in self._passes:
            one.expect(frames)

    def add(self, waveform: np.ndarray) -> np.ndarray:
        """Take samples (t,); give those (n,) float32 in [-1, 1] that they complete."""
        for one in self._passes:
            waveform = one.add(waveform)
        return waveform

    def end(self) -> np.ndarray:
        """Give the samples (n,) that are left when no more come."""
        left = np.zeros(0, dtype=np.float32)
        for one in self._passes:
            left = np.concatenate([one.add(left), one.end()])
        return left


class _Pass:
    """One filtering of `Shaper`.

    The arithmetic is float64: pieces, however they are cut, then round to the same float32.
    """

    def __init__(self, mel: LogMel):
        self._hop, self._size, self._n_fft = mel.hop_length, mel.window_length, mel.n_fft
        self._window = mel.window.cpu().double().numpy()
        self._filters = mel.filters.cpu().double().numpy()  # (F, bins)
        # Of the bands' gains in each bin; bins that no band hears are left alone
        self._shares = self._filters / np.maximum(self._filters.sum(0), 1e-12)
        margin = self._n_fft - self._hop
        # A frame's first sample before that of its condition vector's
        self._before = margin // 2 - (self._n_fft - self._size) // 2
        self._expected = np.zeros((0, len(self._filters)))
        self._held = np.zeros(self._before)  # samples from the next frame's first one on
        self._sum = np.zeros(self._size)  # filtered frames and squared windows, overlapped
        self._weight = np.zeros(self._size)
        self._skip = self._before  # samples before the utterance's first
        self._left = 0  # samples that are in and not out

    def expect(self, frames: np.ndarray) -> None:
        self._expected = np.concatenate([self._expected, frames.astype(np.float64)])

    def add(self, waveform: np.ndarray) -> np.ndarray:
        self._held = np.concatenate([self._held, waveform.astype(np.float64)])
        self._left += len(waveform)
        return self._shaped()

    def end(self) -> np.ndarray:
        self._held = np.concatenate([self._held, np.zeros(self._size)])
        left = self._left
        shaped = self._shaped()
        rest = np.divide(
            self._sum, self._weight, out=np.zeros_like(self._sum), where=self._weight > 1e-3
        )
        rest = rest[self._skip :].clip(-1, 1).astype(np.float32)
        return np.concatenate([shaped, rest])[:left]

    def _shaped(self) -> np.ndarray:
        """Filter every frame that is whole and expected; give what no later frame adds to."""
        count = max(0, (len(self._held) - self._size) // self._hop + 1)
        count = min(count, len(self._expected))
        done = []
        if count:
            places = self._hop * np.arange(count)[:, None] + np.arange(self._size)
            frames = self._filtered(self._held[places], self._expected[:count])
            self._held = self._held[count * self._hop :]
            self._expected = self._expected[count:]
            for frame in frames:
                self._sum += frame * self._window
                self._weight += self._window**2
                weight = np.maximum(self._weight[: self._hop], 1e-3)
                done.append(self._sum[: self._hop] / weight)
                self._sum = np.append(self._sum[self._hop :], np.zeros(self._hop))
                self._weight = np.append(self._weight[self._hop :], np.zeros(self._hop))
        samples = np.concatenate([np.zeros(0), *done])
        skipped = min(self._skip, len(samples))
        self._skip -= skipped
        self._left -= len(samples) - skipped
        return samples[skipped:].clip(-1, 1).astype(np.float32)

    def _filtered(self, frames: np.ndarray, expected: np.ndarray) -> np.ndarray:
        """Frames (M, W), windowed, with the gains that give them the log-mel spectra (M, F)."""
        spectrum = np.fft.rfft(frames * self._window, self._n_fft)
        mel = np.log(np.square(np.abs(spectrum)) @ self._filters.T + FLOOR)
        gains = ((expected - mel) / 2).clip(-MOST, MOST) @ self._shares  # nats of amplitude
        return np.fft.irfft(spectrum * np.exp(gains), self._n_fft)[:, : self._size]
