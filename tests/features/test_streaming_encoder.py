"""The streaming encoder: a stream is the whole recording; the lookahead is what it says."""

import numpy as np
import pytest
import torch

from speechvq.config import StreamingEncoderConfig, StreamingStackConfig
from speechvq.features.streaming_encoder import StreamingEncoder

RATE, D = 8000, 4


def make(stride: int = 80, ahead: bool = True) -> StreamingEncoder:
    torch.manual_seed(0)
    lookahead = (1, 2, 0) if ahead else (0, 0, 0)
    stack = StreamingStackConfig(8, (1, 2, 1), lookahead)
    config = StreamingEncoderConfig(stride=stride, bands=6, memory=0.5, prior=0.1, stack=stack)
    encoder = StreamingEncoder(config, D, RATE)
    with torch.no_grad():
        for weights in encoder.stack.parameters():
            weights.add_(0.2 * torch.randn_like(weights))
        for _ in range(20):
            encoder(noise(1600, 4))  # the running mean begins as that of the noise
    return encoder.eval()


def noise(samples: int, rows: int = 1, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return 0.1 * torch.randn(rows, samples) * (0.2 + torch.rand(rows, 1))


@pytest.mark.parametrize("samples", [1, 39, 79, 80, 81, 159, 160, 161, 800, 1234])
@pytest.mark.parametrize("size", [1, 7, 80, 333, 10**6])
@torch.no_grad()
def test_a_stream_is_the_whole(samples, size):
    """Whatever the cuts; also where a recording is shorter than one window."""
    encoder, waveform = make(), noise(samples)
    stream, found = encoder.stream(), []
    for block in waveform[0].split(size):
        found.append(stream.add(block.numpy()))
    found.append(stream.end())
    whole = encoder(waveform)
    assert whole.shape == (1, -(-samples // 80), D)
    torch.testing.assert_close(torch.cat(found, dim=1), whole, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("stride", [80, 81])
@pytest.mark.parametrize("ahead", [True, False])
@torch.no_grad()
def test_latents_come_when_what_they_depend_on_has_come(stride, ahead):
    encoder = make(stride, ahead)
    stream, given = encoder.stream(), 0
    for taken, sample in enumerate(noise(12 * stride)[0].numpy(), start=1):
        given += stream.add(np.array([sample])).shape[1]
        # Latent n needs the samples of its own hop and the lookahead
        assert given == max(0, (taken - encoder.lookahead) // stride)


@pytest.mark.parametrize("stride", [80, 81])
@pytest.mark.parametrize("ahead", [True, False])
def test_the_lookahead_is_where_the_gradient_ends(stride, ahead):
    """No latent depends on a later sample, and each depends on the last one."""
    encoder = make(stride, ahead)
    waveform = noise(20 * stride).requires_grad_()
    place = 12
    encoder(waveform)[0, place].sum().backward()
    seen = waveform.grad[0].nonzero()[:, 0]
    last = (place + 1) * stride + encoder.lookahead - 1
    # The window of the filterbank falls to zero: its last sample has a weight of 0
    assert last - 1 <= int(seen.max()) <= last
    assert int(seen.max()) - int(seen.min()) < encoder.receptive_field


@torch.no_grad()
def test_samples_after_the_lookahead_do_not_matter_by_change():
    """Also through the running mean, which has no gradient."""
    encoder = make()
    waveform = noise(1600)
    changed = waveform.clone()
    changed[:, 960:] = noise(640, seed=1)
    same = (960 - encoder.lookahead) // 80
    one, other = encoder(waveform)[0], encoder(changed)[0]
    assert torch.equal(one[:same], other[:same])
    assert not torch.allclose(one[same], other[same])


@torch.no_grad()
def test_a_gain_is_forgotten():
    """What a recording's level changes is gone once the running mean has it."""
    encoder, waveform = make(), noise(RATE * 4)
    usual = encoder(waveform)[0]
    louder = encoder(4 * waveform)[0]
    change = (louder - usual).norm(dim=1) / usual.norm(dim=1).mean()
    assert change[0] > 0.2
    assert change[-100:].mean() < 0.02


@torch.no_grad()
def test_only_training_moves_the_mean_at_the_beginning():
    encoder = make()
    before = encoder.running_mean.mean.clone()
    encoder(3 * noise(800, 2))
    assert torch.equal(encoder.running_mean.mean, before)
    encoder.train()(3 * noise(800, 2))
    assert not torch.equal(encoder.running_mean.mean, before)


def test_every_weight_gets_a_gradient():
    encoder = make().train()
    encoder(noise(1600, 2)).square().sum().backward()
    for name, weights in encoder.named_parameters():
        assert weights.grad.abs().sum() > 0, name


@torch.no_grad()
def test_log_powers_do_not_depend_on_autocast():
    encoder, waveform = make(), noise(800)
    with torch.autocast("cpu", torch.bfloat16):
        near = encoder(waveform)
    assert near.dtype == torch.float32
    torch.testing.assert_close(near, encoder(waveform), atol=0.1, rtol=0.1)
