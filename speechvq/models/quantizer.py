"""The vector quantizer: the nearest of K learned code vectors stands for each latent.

Shapes: B batch, N codes, D codebook_dim, K codebook_size. Equations: van den Oord, Vinyals,
Kavukcuoglu, "Neural Discrete Representation Learning", 2017; noise in place of the quantizer after
Vali and Bäckström, "NSVQ: Noise Substitution in Vector Quantization for Machine Learning", 2022.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import VQVAEConfig


@dataclass
class Quantized:
    """What the quantizer makes of a batch of latents."""

    quantized: Tensor
    """z_q (B, N, D): the code vectors, with the straight-through gradient."""
    codes: Tensor
    """(B, N) int64 in 0 … K-1."""
    codebook_loss: Tensor
    """Second term of equation 3, a scalar; 0 when the codebook learns by moving averages."""
    commitment_loss: Tensor
    """Third term of equation 3 without its beta, a scalar."""


class Quantizer(nn.Module):
    """Nearest code, straight-through gradient, and the two ways to learn the codebook.

    Squared norms are averaged over the D components and the codes of the batch, so that beta
    weighs the same whatever D and the length are.
    """

    def __init__(self, config: VQVAEConfig):
        super().__init__()
        K, D = config.codebook_size, config.codebook_dim
        self.decay = config.decay
        self.update = config.codebook_update
        self.restart_below = config.restart_below
        codebook = torch.randn(K, D)
        if self.update == "loss":
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
        # Moving averages of appendix A.1: N_i, the uses of a code, and m_i, the sum of its latents.
        self.register_buffer("code_counts", torch.ones(K))
        self.register_buffer("code_sums", codebook.clone())

    def nearest(self, latents: Tensor, among: Tensor | None = None) -> Tensor:
        """Equation 1: codes (B, N) with k = argmin_j ‖z_e(x) - e_j‖ for latents (B, N, D).

        With `among`, (B, K) bool, each row takes the codes that are marked for it alone.
        """
        with torch.autocast(latents.device.type, enabled=False):  # codes must not hang on rounding
            z, e = latents.float(), self.codebook.float()
            # ‖z - e‖² without ‖z‖², which is the same for every code
            distance = e.square().sum(1) - 2 * z @ e.T
            if among is not None:
                distance = distance.masked_fill(~among.unsqueeze(1), torch.inf)
            return distance.argmin(-1)

    def lookup(self, codes: Tensor) -> Tensor:
        """Equation 2: code vectors (B, N, D) with z_q(x) = e_k."""
        return F.embedding(codes, self.codebook)

    def forward(self, latents: Tensor) -> Quantized:
        """Quantize latents z_e (B, N, D); in training also learn the codebook from them."""
        z_e = latents.float()
        codes = self.nearest(z_e)
        z_q = self.lookup(codes)

        # Equation 3, second and third term: ‖sg[z_e(x)] - e‖² and ‖z_e(x) - sg[e]‖²
        codebook_loss = z_e.new_zeros(())
        if self.update == "loss":
            codebook_loss = F.mse_loss(z_q, z_e.detach())
        commitment_loss = F.mse_loss(z_e, z_q.detach())

        # Straight-through: forward z_q, backward as if it were z_e
        quantized = z_e + (z_q - z_e).detach()
        if self.training:
            self._learn(z_e.detach().flatten(0, 1), codes.flatten())
        return Quantized(quantized, codes, codebook_loss, commitment_loss)

    def with_noise(self, latents: Tensor) -> Tensor:
        """z_e + ‖z_e - z_q‖ v, v a random direction, for latents (B, N, D); for training alone.

        Noise as large as the quantizer's error stands for it. Unlike the straight-through gradient,
        its gradient knows that an error can grow: it draws latents and, unless that learns by
        moving averages, codebook together.
        """
        z_e = latents.float()
        codes = self.nearest(z_e)
        distance = torch.linalg.vector_norm(z_e - self.lookup(codes), dim=-1, keepdim=True)
        self._learn(z_e.detach().flatten(0, 1), codes.flatten())
        return z_e + distance * F.normalize(torch.randn_like(z_e), dim=-1)

    @torch.no_grad()
    def _learn(self, z: Tensor, codes: Tensor) -> None:
        """Update the moving averages from latents (B·N, D) and codes (B·N,); restart dead codes."""
        K = len(self.code_counts)
        counts = torch.bincount(codes, minlength=K).float()
        sums = torch.zeros_like(self.code_sums).index_add_(0, codes, z)
        _sum_over_processes(counts)
        _sum_over_processes(sums)
        # Appendix A.1, equations 6 to 8
        self.code_counts.lerp_(counts, 1 - self.decay)
        self.code_sums.lerp_(sums, 1 - self.decay)
        if self.update == "ema":
            # A code that is not used keeps its place: its sum and count fade alike, until both
            # are too small to divide
            known = self.code_counts > 1e-5
            self.codebook[known] = self.code_sums[known] / self.code_counts[known].unsqueeze(1)

        dead = self.code_counts < self.restart_below * self.code_counts.mean()
        if dead.any():
            self.restart(dead, z)

    @torch.no_grad()
    def restart(self, dead: Tensor, z: Tensor) -> None:
        """Move the codes marked in `dead` (K,) bool onto random latents of z (B·N, D).

        Count and sum are set together, else the next average would drag the code away; every
        process takes the first one's choice, else their codebooks would part.
        """
        chosen = z[torch.randint(len(z), (int(dead.sum()),), device=z.device)].float()
        take_from_first(chosen)
        count = self.code_counts.mean()
        self.codebook.data[dead] = chosen
        self.code_counts[dead] = count
        self.code_sums[dead] = chosen * count

    @torch.no_grad()
    def initialise(self, z: Tensor) -> None:
        """Start the codebook at the k-means centres of latents z (≥ K, D)."""
        from sklearn.cluster import KMeans

        K = len(self.code_counts)
        if len(z) < K:
            raise ValueError(
                f"{len(z)} latents cannot initialise {K} codes; "
                "use more audio, a larger batch or a smaller codebook_size"
            )
        seed = int(torch.randint(2**31, ()))
        kmeans = KMeans(K, n_init=1, random_state=seed).fit(z.float().cpu().numpy())
        self.start(torch.from_numpy(kmeans.cluster_centers_).to(self.codebook))

    @torch.no_grad()
    def start(self, codebook: Tensor) -> None:
        """Take the code vectors (K, D) as they are, in every process those of the first."""
        take_from_first(codebook)
        self.codebook.data.copy_(codebook)
        self.code_counts.fill_(1.0)
        self.code_sums.copy_(codebook)


def take_from_first(x: Tensor) -> None:
    """Overwrite a tensor, in every process, with that of the first."""
    if dist.is_initialized():
        dist.broadcast(x, src=0)


def _sum_over_processes(x: Tensor) -> None:
    if dist.is_initialized():
        dist.all_reduce(x)
