"""The start of the codebook with within-cluster whitening."""

import torch
from torch import nn

from speechvq.config import QuantizerConfig
from speechvq.models.quantizer import Quantizer
from speechvq.training.codebook import start_whitened


def test_clusters_get_an_identity_covariance():
    """Clusters that are long in one direction; the whitening goes into the last layer."""
    torch.manual_seed(0)
    centres = 30 * torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]])
    stretch = torch.tensor([[2.0, 0.5, 0.0], [0.0, 0.3, 0.0], [0.1, 0.0, 0.7]])
    member = torch.arange(3000) % 6
    inputs = centres[member] + torch.randn(3000, 3) @ stretch
    output = nn.Linear(3, 3)
    nn.init.eye_(output.weight)  # variances far above what keeps the inverse finite
    quantizer = Quantizer(QuantizerConfig(6, 3))
    with torch.no_grad():
        start_whitened(quantizer, output, output(inputs))
        latents = output(inputs)
    codes = quantizer.nearest(latents[None])[0]
    assert quantizer.started
    for k in range(6):  # each cluster has a code of its own
        assert len(codes[member == k].unique()) == 1
    within = latents - quantizer.lookup(codes)
    torch.testing.assert_close(within.T @ within / 3000, torch.eye(3), atol=0.05, rtol=0)
    assert within.view(500, 6, 3).mean(0).abs().max() < 0.1
