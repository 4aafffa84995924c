"""The trainer in two processes, as torchrun would start them."""

import pytest
import torch

from speechvq.training.checkpoint import LAST, _load, read_header
from speechvq.training.metrics import FILE

PROGRAM = """
import sys
from pathlib import Path
import torch
from torch import nn
from speechvq.config import StageConfig, TrainingConfig
from speechvq.distributed import processes
from speechvq.training.objective import Losses, Objective
from speechvq.training.stage import Stage
from speechvq.training.trainer import Trainer

torch.set_num_threads(1)


class Line(Objective):
    def __init__(self, rank, unused):
        super().__init__()
        self.line = nn.Linear(1, 1)
        self.spare = nn.Linear(1, 1)
        self.frozen = nn.Linear(1, 1)
        self.register_buffer("offset", torch.zeros(()))
        self.rank, self.unused = rank, unused

    def start(self, corpus):
        self.offset.fill_(0.5 + self.rank)  # the other ranks take that of rank 0

    def trained(self):
        return [*self.line.parameters(), *(self.spare.parameters() if self.unused else [])]

    def forward(self, x):
        y = 3 * x + 1
        error = (self.line(x) + self.offset - y).square().mean()
        return Losses(error, {"first": x[0, 0]}, (x > 0).long(), len(x))


class Rows(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, step):
        x = torch.randn(8, 1, generator=torch.Generator().manual_seed(step))
        return x[group.rank * 8 // group.world_size :][: 8 // group.world_size]


config = TrainingConfig(
    precision="float32", log_every=1, valid_every=2, checkpoint_every=2, tensorboard=False,
    gradient_clip=0.5,
)
with processes("cpu") as group:
    torch.manual_seed(0)
    objective = Line(group.rank, UNUSED)
    held_out = [torch.full((1, 1), 1.0), torch.tensor([[-2.0], [3.0]]), torch.full((3, 1), 4.0)]
    stage = Stage(
        "line", StageConfig(steps=4, learning_rate=0.1, warmup_steps=2), objective, Rows(),
        lambda: held_out[:HELD_OUT][group.rank :: group.world_size], 8, 2, 2,
    )
    trainer = Trainer(
        [stage], lambda x: x, {"objective": objective}, config, {}, Path(sys.argv[1]), group,
        publish=lambda state: None, progress=False,
    )
    trainer.run(RESUME)
"""


@pytest.fixture(scope="module")
def run(launch):
    def train(folder, count, unused=False, held_out=3, resume=False) -> list[str]:
        """Train in `count` processes; what each wrote to stderr, "" for a success."""
        program = PROGRAM.replace("UNUSED", str(unused)).replace("RESUME", str(resume))
        return launch(program.replace("HELD_OUT", str(held_out)), count, str(folder))

    return train


@pytest.fixture(scope="module")
def one(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    assert run(folder, 1) == [""]
    return folder


@pytest.fixture(scope="module")
def two(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    assert run(folder, 2) == ["", ""]
    return folder


def test_two_processes_are_one(one, two, read_lines):
    """Half the batch each; the first step and the later ones average gradients alike."""
    for name, tensor in _load(one / LAST).items():
        assert torch.allclose(_load(two / LAST)[name], tensor, rtol=1e-5, atol=1e-6), name
    assert _load(two / LAST)["weights.objective.offset"] == 0.5
    here, there = (read_lines(folder / FILE) for folder in (two, one))
    assert [r["kind"] for r in here] == [r["kind"] for r in there]
    for record, expected in zip(here, there, strict=True):
        assert record.keys() == expected.keys()
        for key in {"loss", "perplexity", "dead_codes", "step", "gradient_norm"} & record.keys():
            assert record[key] == pytest.approx(expected[key], rel=1e-5), key
    first = [r["first"] for r in here if r["kind"] == "valid"]
    assert first == pytest.approx([(1 - 2 * 2 + 3 * 4) / 6] * 2)  # weighted by samples


def test_a_process_without_held_out_batches(run, tmp_path, read_lines):
    assert run(tmp_path, 2, held_out=1) == ["", ""]
    assert all(r["first"] == 1 for r in read_lines(tmp_path / FILE) if r["kind"] == "valid")


def test_a_parameter_without_a_gradient_is_named_in_every_process(run, tmp_path):
    for error in run(tmp_path, 2, unused=True):
        assert "ValueError: stage line: Line.trained() has spare.weight, which gets no" in error
    assert read_header(tmp_path / LAST)[0].step == 0


def test_a_finished_training_resumes_to_nothing(run, two, read_lines):
    before = read_lines(two / FILE)
    assert run(two, 2, resume=True) == ["", ""]
    assert read_lines(two / FILE) == before
