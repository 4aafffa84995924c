"""The raw waveform as the encoder's input, as in the paper."""

from torch import Tensor, nn


class WaveformFeatures(nn.Module):
    """The waveform itself: nothing is computed."""

    hop_length = 1
    receptive_field = 1

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, T) as it is."""
        return waveform
