"""Whitening by the Cholesky factor of a precision matrix."""

import torch
from torch import Tensor


def whitening(within: Tensor) -> Tensor:
    """The matrix W (D, D) for which x W has an identity covariance, x (T, D) of mean 0."""
    covariance = within.T @ within / len(within)
    covariance.diagonal().add_(1e-3)  # a constant dimension must not lead to a division by zero
    return torch.linalg.cholesky(torch.linalg.inv(covariance))
