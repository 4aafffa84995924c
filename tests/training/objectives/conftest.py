"""A model, a corpus and batches for the objectives."""

import pytest
import torch

from speechvq.data.manifest import read_manifest
from speechvq.data.segments import Waveforms
from speechvq.distributed import Processes
from speechvq.model import Model
from speechvq.training.corpus import Corpus


@pytest.fixture(autouse=True, scope="module")
def on_one_thread(one_thread):
    """Small products are fastest on one thread."""


@pytest.fixture
def model(tiny_config) -> Model:
    torch.manual_seed(0)
    return Model(tiny_config, ["p225", "p226"])


@pytest.fixture(scope="session")
def waveforms(tiny_config, tiny_corpus) -> Waveforms:
    return Waveforms(read_manifest(tiny_corpus.train), tiny_config.sample_rate)


@pytest.fixture
def corpus(model, waveforms) -> Corpus:
    return Corpus(model, waveforms, waveforms, Processes(torch.device("cpu")), seed=0)


@pytest.fixture
def run(corpus):
    """Start an objective and take some steps; what changed, and the losses."""

    def run(objective, config, steps: int, labels=None, perturbation=None):
        torch.manual_seed(0)
        with torch.no_grad():
            objective.start(corpus)
        before = {name: x.clone() for name, x in objective.state_dict().items()}
        trained = objective.trained()
        optimizer = torch.optim.Adam(trained, lr=config.learning_rate)
        batches = corpus.batches(
            config,
            steps=steps,
            margin=objective.margin,
            labels=labels,
            perturbation=perturbation,
        )
        objective.train()
        losses = []
        for step in range(steps):
            out = objective(corpus.prepare(batches[step]))
            optimizer.zero_grad(set_to_none=True)
            out.total.backward()
            assert all(p.grad is not None for p in trained)
            optimizer.step()
            losses.append(out.total.item())
        after = objective.state_dict()
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        return losses, changed

    return run


@pytest.fixture
def evaluate(corpus):
    """The losses of held-out pieces in eval mode, which changes nothing."""

    def evaluate(objective, labels=None):
        objective.eval()
        before = {name: x.clone() for name, x in objective.state_dict().items()}
        with torch.no_grad():
            out = [objective(corpus.prepare(b)) for b in corpus.held_out_batches(labels)]
        for name, x in objective.state_dict().items():
            assert torch.allclose(x, before[name], rtol=0, atol=0, equal_nan=True), name
        return out

    return evaluate
