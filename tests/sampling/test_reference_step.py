"""How a step is recorded on a GPU: with stand-ins for CUDA, since the rest is the same code."""

import contextlib
import types

import numpy as np
import pytest
import torch

from speechvq.config import WaveNetConfig
from speechvq.models.long_term import LongTermPredictor
from speechvq.models.wavenet import WaveNet
from speechvq.sampling import reference_step
from speechvq.sampling.reference_step import ReferenceSampler


class Cuda:
    """As much of torch.cuda as recording asks for; playing runs the recorded step again."""

    def __init__(self, breaks: bool):
        self.breaks, self.played, self.recorded, self.run = breaks, 0, 0, None

    def install(self, monkeypatch, run):
        self.run = run
        stream = types.SimpleNamespace(wait_stream=lambda other: None)
        monkeypatch.setattr(
            torch.cuda, "CUDAGraph", lambda: types.SimpleNamespace(replay=self.play)
        )
        monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
        monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
        monkeypatch.setattr(torch.cuda, "graph", self.graph)

    @contextlib.contextmanager
    def graph(self, graph):
        self.recorded += 1
        yield  # recording runs nothing on a GPU; here it does, and must be undone all the same
        if self.breaks:
            raise RuntimeError("operation not permitted when stream is capturing")

    def play(self):
        self.played += 1
        self.run()


@pytest.mark.parametrize("long_term", [False, True])
@pytest.mark.parametrize("bands", [1, 4])
@pytest.mark.parametrize("breaks", [False, True])
def test_a_recorded_step_draws_the_same(monkeypatch, breaks, bands, long_term):
    torch.manual_seed(0)
    predictor = LongTermPredictor(8, bands, 400.0) if long_term else None
    decoder = WaveNet(WaveNetConfig(3, 3, 2, 8, 8, 8), 256, 4, 128, bands, predictor)
    rng = np.random.default_rng(0)
    condition = rng.standard_normal((2, 5, 4)).astype(np.float32)
    uniforms = rng.random((2, 40, bands))
    arguments = [1, 0], condition, 8, uniforms
    expected = ReferenceSampler(decoder).streams(2).draw(*arguments)

    cuda, recorded = Cuda(breaks), reference_step._recorded

    def as_if_on_a_gpu(run, state):
        cuda.install(monkeypatch, run)
        device = types.SimpleNamespace(type="cuda")
        first = types.SimpleNamespace(device=device, clone=lambda: None, copy_=lambda earlier: None)
        return recorded(run, [first, *state])

    monkeypatch.setattr(reference_step, "_recorded", as_if_on_a_gpu)
    streams = ReferenceSampler(decoder).streams(2)
    for first, last in ((0, 2), (2, 5)):  # recorded once for all chunks
        part = slice(8 * first, 8 * last)
        drawn = streams.draw([1, 0], condition[:, first:last], 8, uniforms[:, part])
        np.testing.assert_array_equal(drawn, expected[:, part])
    assert cuda.played == (0 if breaks else 40)
    assert cuda.recorded == 1
