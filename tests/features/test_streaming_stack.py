"""A stack on a stream is the stack on the whole; what it looks at lies where it says."""

import pytest
import torch

from speechvq.config import StreamingStackConfig
from speechvq.features.streaming_stack import StreamingStack

C, S = 6, 3
CONFIGS = {
    "usual": StreamingStackConfig(C, (1, 2, 4, 1), (1, 2, 0, 2)),
    "blind": StreamingStackConfig(C, (1, 3), (0, 0)),
    "all ahead": StreamingStackConfig(C, (1, 2, 2), (2, 4, 4)),
    "one layer": StreamingStackConfig(C, (2,), (1,)),
}


def make(name: str, speaker_dim: int = 0) -> StreamingStack:
    torch.manual_seed(0)
    stack = StreamingStack(CONFIGS[name], speaker_dim).eval()
    with torch.no_grad():
        for weights in stack.parameters():
            weights.add_(0.3 * torch.randn_like(weights))
    return stack


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("sizes", [[30], [1] * 30, [2, 0, 19, 9], [1], [2], [3], []], ids=str)
@torch.no_grad()
def test_a_stream_is_the_whole(name, sizes):
    """Also where fewer steps come than a layer looks ahead."""
    stack, x = make(name), torch.randn(1, sum(sizes), C)
    stream, found = stack.stream(), []
    taken = given = 0
    for piece in x.split(sizes, dim=1) if sizes else ():
        found.append(stream.add(piece))
        taken, given = taken + piece.shape[1], given + found[-1].shape[1]
        assert given == max(0, taken - stack.lookahead)  # all that is known, and at once
    found.append(stream.end())
    torch.testing.assert_close(torch.cat(found, dim=1), stack(x), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_stream_of_a_speaker():
    stack, speaker, x = make("usual", S), torch.randn(1, S), torch.randn(1, 20, C)
    stream = stack.stream(speaker)
    found = [stream.add(piece) for piece in x.split(7, dim=1)] + [stream.end()]
    whole = stack(x, speaker)
    torch.testing.assert_close(torch.cat(found, dim=1), whole, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(whole, stack(x, torch.randn(1, S)), atol=1e-2)


@pytest.mark.parametrize("name", CONFIGS)
def test_past_and_lookahead_are_where_the_gradient_ends(name):
    stack = make(name)
    place, N = 40, 80
    x = torch.randn(1, N, C, requires_grad=True)
    stack(x)[0, place].sum().backward()
    seen = x.grad[0].abs().sum(1).nonzero()[:, 0]
    assert int(seen.min()) == place - stack.past
    assert int(seen.max()) == place + stack.lookahead


def test_a_layer_is_a_dilated_convolution():
    """Of the normalised steps, with zeros outside of the sequence."""
    (layer,) = make("one layer").layers
    x = torch.randn(2, 12, C)
    convolution = torch.nn.Conv1d(C, C, 3, dilation=layer.dilation)
    weight = layer.window.weight.unflatten(1, (3, C)).transpose(1, 2)
    convolution.weight.data, convolution.bias.data = weight, layer.window.bias
    padded = torch.nn.functional.pad(layer.norm(x), (0, 0, layer.past, layer.lookahead))
    y = convolution(padded.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(layer(x), x + layer.output(torch.relu(y)))


def test_at_first_the_speaker_shifts_and_does_not_scale():
    torch.manual_seed(0)
    stack = StreamingStack(CONFIGS["usual"], S)
    for layer in stack.layers:
        assert not layer.speaker.weight[:C].any() and layer.speaker.weight[C:].any()
        assert not layer.output.bias.any()


def test_every_weight_gets_a_gradient():
    stack = make("usual", S)
    stack(torch.randn(2, 20, C), torch.randn(2, S)).square().sum().backward()
    for name, weights in stack.named_parameters():
        assert weights.grad.abs().sum() > 0, name


def test_bfloat16_is_near():
    stack, x = make("usual"), torch.randn(2, 20, C)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        near = stack(x)
    assert not torch.equal(near, stack(x))
    torch.testing.assert_close(near.float(), stack(x), atol=0.2, rtol=0.1)
