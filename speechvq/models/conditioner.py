"""The conditioner: local conditioning on the codes, global conditioning on the speaker.

Shapes: B batch, N codes, M = N · upsample condition vectors, C channels, D codebook_dim.
"""

from torch import Tensor, nn

from speechvq.config import ConditionerConfig


class Conditioner(nn.Module):
    """Condition vectors from quantized latents and a speaker, `upsample` of them per code.

    With no layers each vector is a projection of one code plus the speaker embedding; with layers,
    convolutions smooth over neighbouring codes, which are 40 ms apart at 25 Hz.

    Parameters
    ----------
    config : ConditionerConfig
    codebook_dim : int
        D.
    n_speakers : int
    """

    def __init__(self, config: ConditionerConfig, codebook_dim: int, n_speakers: int):
        super().__init__()
        C = config.channels
        self.upsample = config.upsample
        self.speakers = nn.Embedding(n_speakers, C)
        self.project = nn.Linear(codebook_dim, C)
        self.widen = nn.Linear(C, C * self.upsample)
        self.before = _convolutions(C, config.layers)
        self.after = _convolutions(C, config.layers if self.upsample > 1 else 0)

    def forward(self, quantized: Tensor, speaker: Tensor) -> Tensor:
        """Condition (B, M, C) of quantized latents (B, N, D) and speaker indices (B,)."""
        s = self.speakers(speaker).unsqueeze(1)  # (B, 1, C)
        x = self.project(quantized) + s
        x = _along_time(self.before, x)
        x = self.widen(x).unflatten(-1, (self.upsample, -1)).flatten(1, 2) + s
        return _along_time(self.after, x)


def _convolutions(channels: int, layers: int) -> nn.ModuleList:
    return nn.ModuleList(
        nn.Sequential(
            nn.Conv1d(channels, channels, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv1d(channels, channels, kernel_size=1),
        )
        for _ in range(layers)
    )


def _along_time(layers: nn.ModuleList, x: Tensor) -> Tensor:
    x = x.transpose(1, 2)
    for layer in layers:
        x = x + layer(x)
    return x.transpose(1, 2)
