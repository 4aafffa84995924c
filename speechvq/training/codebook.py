"""The start of the codebook at k-means centres with within-cluster whitening.

Shapes: D codebook_dim, K codebook_size.
"""

import numpy as np
import torch
from torch import Tensor, nn

from speechvq.distributed import broadcast_from_rank0
from speechvq.models.quantizer import Quantizer

WHITENINGS = 3
"""Rounds of whitening and k-means; more change nothing."""


@torch.no_grad()
def start_whitened(quantizer: Quantizer, output: nn.Linear, latents: Tensor) -> None:
    """Start the codebook at clusters of latents (≥ K, D) whose covariance within is the identity.

    Phones differ in some directions of the cepstra more than in others. In turn the latents are
    whitened by the covariance within their clusters, and clustered anew: what expectation
    maximisation does for a mixture of Gaussians of one covariance, in a hundredth of the time. The
    whitening goes into `output`, the encoder's last layer.
    """
    from sklearn.cluster import KMeans

    quantizer.initialise(latents)
    z, centres = latents.double().cpu().numpy(), quantizer.codebook.double().cpu().numpy()
    K, D = centres.shape
    whiten = np.eye(D)
    for _ in range(WHITENINGS):
        kmeans = KMeans(K, init=centres @ whiten, n_init=1).fit(z @ whiten)
        centres = kmeans.cluster_centers_ @ np.linalg.inv(whiten)
        within = np.cov(z - centres[kmeans.labels_], rowvar=False)
        whiten = np.linalg.cholesky(np.linalg.inv(within + 1e-3 * np.eye(D)))
    matrix = torch.from_numpy(whiten).to(latents)  # (D, D), z @ matrix
    output.weight.copy_(matrix.T @ output.weight)
    output.bias.copy_(output.bias @ matrix)
    for parameter in (output.weight, output.bias):  # rounding may differ between machines
        broadcast_from_rank0(parameter.data)
    quantizer.start(torch.from_numpy(centres @ whiten).to(latents))
