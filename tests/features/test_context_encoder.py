"""The context encoder: a linear map of frames, and a residual context network."""

import pytest
import torch

from speechvq.features.context_encoder import ContextEncoder


@pytest.mark.parametrize("residual_layers", [0, 2])
def test_it_starts_as_the_identity(residual_layers):
    encoder, x = ContextEncoder(5, 8, residual_layers), torch.randn(2, 7, 5)
    torch.testing.assert_close(encoder(x), x)


def test_without_layers_it_is_linear():
    encoder, x = ContextEncoder(5, 8, 0), torch.randn(2, 7, 5)
    torch.nn.init.normal_(encoder.output.weight)
    torch.nn.init.normal_(encoder.output.bias)
    expected = x @ encoder.output.weight.T + encoder.output.bias
    torch.testing.assert_close(encoder(x), expected)
    assert encoder.context is None and encoder.receptive_field == 1


def test_context_is_added_to_the_linear_map():
    """And is computed of its output, so that whitening does not change what the context is of."""
    encoder, x = ContextEncoder(5, 8, 2), torch.randn(2, 7, 5)
    for weights in encoder.parameters():
        torch.nn.init.normal_(weights)
    y = x @ encoder.output.weight.T + encoder.output.bias
    torch.testing.assert_close(encoder(x), y + encoder.context(y))


@pytest.mark.parametrize("residual_layers", [0, 1, 3])
def test_receptive_field_by_gradients(residual_layers):
    torch.manual_seed(0)
    encoder = ContextEncoder(5, 8, residual_layers)
    for weights in encoder.parameters():
        torch.nn.init.normal_(weights)
    x = torch.randn(16, 15, 5, requires_grad=True)
    encoder(x)[:, 7].square().sum().backward()
    used = x.grad.abs().sum((0, 2)).nonzero().flatten()
    assert used.tolist() == list(range(7 - residual_layers, 8 + residual_layers))
    assert encoder.receptive_field == len(used)


def test_context_learns_from_its_start_at_zero():
    encoder = ContextEncoder(5, 8, 1)
    encoder(torch.randn(2, 7, 5)).square().sum().backward()
    assert encoder.context[-1].weight.grad.abs().sum() > 0
