"""The raw waveform as the encoder's input, as in the paper."""

from torch import Tensor, nn


class WaveformFeatures(nn.Module):
    """The waveform itself: nothing is computed, and no speaker transform is needed."""

    hop_length = 1
    needs_transform = False
    receptive_field = 1

    def estimate(self, waveform: Tensor) -> None:
        """No speaker transform, for any recording (T,)."""

    def forward(self, waveform: Tensor, transform: None = None) -> Tensor:
        """(B, T) as it is."""
        return waveform
