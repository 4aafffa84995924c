"""The vector quantizer: the nearest of K learned code vectors stands for each latent.

Shapes: B batch, N codes, D codebook_dim, K codebook_size. Equations: van den Oord, Vinyals,
Kavukcuoglu, "Neural Discrete Representation Learning", 2017.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechvq.config import QuantizerConfig
from speechvq.distributed import broadcast_from_rank0, rows_of_all, sum_over_processes


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

    Squared norms are averaged over the D components and the codes of the batch, where the paper
    has sums: beta then weighs the same whatever D and the length are.
    """

    codebook: Tensor
    started: Tensor
    code_counts: Tensor
    code_sums: Tensor

    def __init__(self, config: QuantizerConfig):
        super().__init__()
        K, D = config.codebook_size, config.codebook_dim
        self.decay = config.decay
        self.update = config.update
        self.restart_below = config.restart_below
        codebook = torch.randn(K, D)
        if self.update == "loss":
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
        self.beta = config.beta
        # Moving averages of appendix A.1: N_i, the uses of a code, and m_i, the sum of its latents.
        self.register_buffer("started", torch.tensor(False))
        self.register_buffer("code_counts", torch.ones(K))
        self.register_buffer("code_sums", codebook.clone())

    @property
    def codebooks(self) -> list[Tensor]:
        """The codebook (K, D), as a list of one."""
        return [self.codebook]

    def nearest(self, latents: Tensor) -> Tensor:
        """Equation 1: codes (B, N) with k = argmin_j ‖z_e(x) - e_j‖ for latents (B, N, D)."""
        # Codes must not depend on rounding
        with torch.autocast(latents.device.type, enabled=False):
            z, e = latents.float(), self.codebook.float()
            # ‖z - e‖² without ‖z‖², which is the same for every code
            distance = torch.addmm(e.square().sum(1), z.flatten(0, -2), e.T, alpha=-2)
            return distance.argmin(-1).unflatten(0, z.shape[:-1])

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
            self._update_ema(z_e.detach().flatten(0, 1), codes.flatten())
        return Quantized(quantized, codes, codebook_loss, commitment_loss)

    @torch.no_grad()
    def _update_ema(self, z: Tensor, codes: Tensor) -> None:
        """Update the moving averages from latents (B·N, D) and codes (B·N,); restart dead codes."""
        K = len(self.code_counts)
        counts = torch.bincount(codes, minlength=K).float()
        sums = torch.zeros_like(self.code_sums).index_add_(0, codes, z)
        sum_over_processes(counts)
        sum_over_processes(sums)
        # Appendix A.1, equations 6 to 8: N_i ← γ N_i + (1 - γ) n_i, m_i ← γ m_i + (1 - γ) Σ_j z_ij,
        # and e_i = m_i / N_i below
        self.code_counts.lerp_(counts, 1 - self.decay)
        self.code_sums.lerp_(sums, 1 - self.decay)
        if self.update == "ema":
            # A code that is not used keeps its place: its sum and count fade alike, until both
            # are too small to divide
            known = self.code_counts > 1e-5
            self.codebook[known] = self.code_sums[known] / self.code_counts[known].unsqueeze(1)

        dead = self.code_counts < self.restart_below * self.code_counts.mean()
        if dead.any():
            self.restart(dead, rows_of_all(z))

    @torch.no_grad()
    def restart(self, dead: Tensor, z: Tensor) -> None:
        """Move the codes marked in `dead` (K,) bool onto random latents of z (B·N, D).

        Count and sum are set together, else the next average would drag the code away. In several
        processes all give the latents of all, and take the choice of rank 0.
        """
        chosen = z[torch.randint(len(z), (int(dead.sum()),), device=z.device)].float()
        broadcast_from_rank0(chosen)
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
        """Take these code vectors (K, D), in every process those of rank 0."""
        broadcast_from_rank0(codebook)
        self.started.fill_(True)
        self.codebook.data.copy_(codebook)
        self.code_counts.fill_(1.0)
        self.code_sums.copy_(codebook)
