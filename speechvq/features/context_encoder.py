"""An encoder of feature frames: a linear map and, on top, a residual context network.

Shapes: B batch, N codes, F features, C channels, D codebook_dim.
"""

from torch import Tensor, nn

from speechvq.models.encoder import ResidualLayer


class ContextEncoder(nn.Module):
    """Latents z_e = y + context(y), y = W x + b, for feature frames x (B, N, F).

    The context network starts at 0. The linear map can be the whitening of the features.

    Parameters
    ----------
    features : int
        F; here F = D, and W starts as the identity.
    channels : int
        C.
    residual_layers : int
        0 for the linear map alone.
    """

    hop_length = 1
    """Feature frames per latent."""

    def __init__(self, features: int, channels: int, residual_layers: int):
        super().__init__()
        self.residual_layers = residual_layers
        self.output = nn.Linear(features, features)
        nn.init.eye_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.context = None
        if residual_layers:
            layers = (ResidualLayer(channels) for _ in range(residual_layers))
            self.context = nn.Sequential(
                nn.Linear(features, channels), *layers, nn.Linear(channels, features)
            )
            nn.init.zeros_(self.context[-1].weight)
            nn.init.zeros_(self.context[-1].bias)

    @property
    def receptive_field(self) -> int:
        """Feature frames that a latent depends on."""
        return 1 + 2 * self.residual_layers

    def trained(self) -> list[nn.Parameter]:
        """The context network; without one the linear map.

        Under a context network the map stays what the codebook's start made of it, so that the
        clusters by which the features normalise a recording stay valid.
        """
        return list((self.output if self.context is None else self.context).parameters())

    def forward(self, x: Tensor) -> Tensor:
        """Latents (B, N, D) of feature frames (B, N, F)."""
        y = self.output(x)
        return y if self.context is None else y + self.context(y)
