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


SHAPES = [(1, 0), (1, 2), (2, 1), (3, 1), (3, 4), (4, 2), (2, 3)]


@pytest.mark.parametrize(("upsample", "layers"), SHAPES)
@pytest.mark.parametrize("sizes", [[N], [1] * N, [2, 0, 7, 3], [1], [2], []], ids=str)
@torch.no_grad()
def test_a_stream_is_the_whole(upsample, layers, sizes):
    """In float64, as sampling streams; each vector as soon as it is known."""
    model = make(upsample=upsample, layers=layers).double()
    speaker, quantized = torch.tensor([1]), torch.randn(1, sum(sizes), D, dtype=torch.float64)
    stream, found = model.stream(speaker), []
    taken = given = 0
    after = layers if upsample > 1 else 0
    for piece in quantized.split(sizes, dim=1) if sizes else ():
        found.append(stream.add(piece))
        taken, given = taken + piece.shape[1], given + found[-1].shape[1]
        assert given == max(0, (taken - layers) * upsample - after)
    found.append(stream.end())
    whole = model(quantized, speaker) if sizes else torch.zeros(1, 0, 6, dtype=torch.float64)
    torch.testing.assert_close(torch.cat(found, dim=1), whole, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(("upsample", "layers"), SHAPES)
@torch.no_grad()
def test_a_stream_holds_few_latents(upsample, layers):
    model = make(upsample=upsample, layers=layers)
    stream = model.stream(torch.tensor([0]))
    for _ in range(60):
        stream.add(torch.randn(1, 1, D))
        assert stream._held.shape[1] <= 2 * (layers + -(-layers // upsample)) + 2


@pytest.mark.parametrize(("upsample", "layers"), SHAPES)
@torch.no_grad()
def test_the_lookahead_is_what_a_stream_waits_for(upsample, layers):
    model = make(upsample=upsample, layers=layers)
    stream, waited = model.stream(torch.tensor([0])), 0
    while not stream.add(torch.randn(1, 1, D)).shape[1]:
        waited += 1
    assert waited == model.lookahead


def test_the_speaker_changes_every_vector():
    model, quantized = make(upsample=2, layers=1), torch.randn(1, N, D)
    one, other = (model(quantized, torch.tensor([s])) for s in (0, 1))
    assert ((one - other).abs().sum(-1) > 0).all()
