"""The conditioner: what a condition vector depends on, by gradients, and an oracle."""

import pytest
import torch

from speechvq.config import ConditionerConfig
from speechvq.models.conditioner import Conditioner

D, N = 4, 12


def make(**settings) -> Conditioner:
    torch.manual_seed(0)
    return Conditioner(ConditionerConfig(channels=6, **settings), D, n_speakers=3)


@pytest.mark.parametrize("upsample", [1, 2, 4])
def test_shape(upsample):
    condition = make(upsample=upsample, layers=1)(torch.randn(2, N, D), torch.tensor([0, 2]))
    assert condition.shape == (2, N * upsample, 6)


def test_without_layers_a_vector_is_a_projection_of_its_code_and_the_speaker():
    model, quantized = make(upsample=2), torch.randn(1, N, D)
    speaker = model.speakers.weight[1]
    projected = quantized[0] @ model.project.weight.T + model.project.bias + speaker
    wide = projected @ model.widen.weight.T + model.widen.bias  # (N, 2 · C)
    expected = wide.view(2 * N, 6) + speaker
    torch.testing.assert_close(model(quantized, torch.tensor([1]))[0], expected)


@pytest.mark.parametrize(("upsample", "layers"), [(1, 0), (1, 2), (2, 1), (4, 2), (2, 3)])
def test_codes_that_a_vector_depends_on(upsample, layers):
    """`layers` codes on either side before upsampling, `layers` vectors on either side after it."""
    model = make(upsample=upsample, layers=layers)
    with torch.no_grad():
        for weights in model.parameters():  # so that no ReLU hides a neighbour
            weights.abs_()
    quantized = torch.rand(1, N, D, requires_grad=True)
    m = upsample * (N // 2)  # the first vector of code N / 2
    model(quantized, torch.tensor([0]))[0, m].sum().backward()
    used = quantized.grad[0].abs().sum(-1).nonzero().flatten()
    after = layers if upsample > 1 else 0
    assert used.min() == (m - after) // upsample - layers
    assert used.max() == (m + after) // upsample + layers


def test_the_speaker_changes_every_vector():
    model, quantized = make(upsample=2, layers=1), torch.randn(1, N, D)
    one, other = (model(quantized, torch.tensor([s])) for s in (0, 1))
    assert ((one - other).abs().sum(-1) > 0).all()
