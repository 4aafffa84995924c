"""The loop, with a phase of its own: it serves any module."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from torch import nn

from speechvq.config import PhaseConfig, TrainingConfig
from speechvq.training.checkpoints import BEST, LAST, read_header
from speechvq.training.loop import (
    Interrupted,
    Loop,
    Phase,
    StepOutput,
    Validation,
    learning_rate,
)
from speechvq.training.metrics import FILE
from speechvq.distributed import Processes

CONFIG = TrainingConfig(
    precision="float32",
    log_every=2,
    valid_every=3,
    checkpoint_every=2,
    tensorboard=False,
    samples=0,
)


class Line(nn.Module):
    """Fits y = a x + b; the codes are the signs of x."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(1, 1)

    def forward(self, x, y):
        x = x + 0.01 * torch.randn_like(x)  # needs the seed of the step
        error = (self.line(x) - y).square().mean()
        return StepOutput(error, {"slope": self.line.weight[0, 0]}, (x > 0).long())


class Points(torch.utils.data.Dataset):
    def __init__(self, steps):
        self.steps = steps

    def __len__(self):
        return self.steps

    def __getitem__(self, step):
        x = torch.randn(8, 1, generator=torch.Generator().manual_seed(step))
        return x, 3 * x + 1


class Run:
    """A loop of two phases, and what it did."""

    def __init__(self, folder, steps=(6, 5), before_step=None, config=CONFIG, scores=None):
        torch.manual_seed(0)
        self.module = Line()
        self.validations, self.published = [], []
        scores = iter(scores) if scores else None

        def validate(stop):
            self.validations.append(self.loop.state.step)
            assert not self.module.training
            score = next(scores) if scores else self.module.line.bias.item()
            return None if stop() else Validation({"score": score}, score)

        phases = [
            Phase(
                name,
                self.module,
                list(self.module.parameters()) if name == "both" else [self.module.line.bias],
                PhaseConfig(steps=n, learning_rate=0.1, warmup_steps=2),
                Points(n),
                samples_per_step=8,
                steps_per_epoch=4,
                codebook_size=2,
                validate=validate,
                before_step=before_step or (lambda step: None),
            )
            for name, n in zip(("both", "bias"), steps, strict=True)
        ]
        self.loop = Loop(
            phases,
            {"model": self.module},
            config,
            {"seed": 0},
            folder,
            Processes(torch.device("cpu")),
            publish=lambda state: self.published.append(state.global_step),
            progress=False,
        )

    @property
    def weights(self):
        return torch.cat([p.detach().flatten() for p in self.module.parameters()])


def timeless(records):
    return [
        {k: v for k, v in r.items() if k not in ("seconds", "samples_per_second")} for r in records
    ]


def test_learning_rate():
    config = PhaseConfig(steps=100, learning_rate=1.0, warmup_steps=10)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert rates[55] == pytest.approx((1 + 0.05) / 2)
    assert rates[100] == pytest.approx(0.05)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate(replace(config, warmup_steps=0), 0) == 1.0


def test_what_is_written(tmp_path, read_lines):
    run = Run(tmp_path)
    state = run.loop.run()
    assert (state.phase, state.step, state.global_step) == ("bias", 5, 11)
    records = read_lines(tmp_path / FILE)
    at = {
        kind: [(r["phase"], r["step"]) for r in records if r["kind"] == kind]
        for kind in ("train", "epoch", "valid")
    }
    assert at["train"] == [("both", i) for i in (2, 4, 6)] + [("bias", i) for i in (2, 4, 5)]
    assert at["epoch"] == [("both", 4), ("both", 6), ("bias", 4), ("bias", 5)]
    assert at["valid"] == [("both", 3), ("both", 6), ("bias", 3), ("bias", 5)]
    assert run.validations == [3, 6, 3, 5]
    train = next(r for r in records if r["kind"] == "train")
    assert {"loss", "slope", "gradient_norm", "learning_rate", "samples_per_second"} <= train.keys()
    epoch = next(r for r in records if r["kind"] == "epoch")
    assert epoch["perplexity"] == pytest.approx(2.0, abs=0.1)


def test_a_phase_trains_its_parameters_alone(tmp_path):
    run = Run(tmp_path, steps=(0, 5))
    slope = run.module.line.weight.clone()
    run.loop.phases = run.loop.phases[1:]
    run.loop.state.phase = "bias"
    bias = run.module.line.bias.clone()
    run.loop.run()
    assert torch.equal(run.module.line.weight, slope)
    assert not torch.equal(run.module.line.bias, bias)


def test_the_best_is_the_lowest_score_of_the_phase(tmp_path):
    run = Run(tmp_path, scores=[1.0, 2.0, 9.0, 8.0])
    state = run.loop.run()
    assert run.published == [3, 9, 11]  # 6 was worse; the next phase begins anew
    assert (state.best, state.best_global_step) == (8.0, 11)
    assert read_header(tmp_path / BEST)[0].global_step == 11


def test_a_score_of_none_is_never_the_best(tmp_path):
    run = Run(tmp_path, scores=[None, None, None, 1.0])
    run.loop.run()
    assert run.published == [11]


@pytest.mark.parametrize("stop_after", range(11))
def test_a_resume_repeats_what_would_have_been(tmp_path, read_lines, stop_after):
    """Stop by Ctrl-C after any step, in either phase; then the numbers are those of one run."""
    straight = Run(tmp_path / "straight")
    straight.loop.run()

    done = 0

    def interrupt(step):
        nonlocal done
        done += 1
        if done == stop_after + 1:
            os.kill(os.getpid(), signal.SIGINT)

    folder = tmp_path / "resumed"
    with pytest.raises(Interrupted):
        Run(folder, before_step=interrupt).loop.run()
    assert read_header(folder / LAST)[0].global_step == stop_after + 1
    resumed = Run(folder)
    resumed.loop.run(resume=True)
    assert torch.equal(resumed.weights, straight.weights)
    one, other = (read_lines(tmp_path / name / FILE) for name in ("straight", "resumed"))
    assert timeless(other) == timeless(one)


def test_a_resume_after_a_crash_goes_back_to_the_checkpoint(tmp_path, read_lines):
    straight = Run(tmp_path / "straight")
    straight.loop.run()

    def crash(step):
        if step == 5:
            raise RuntimeError("power cut")

    folder = tmp_path / "resumed"
    with pytest.raises(RuntimeError, match="power cut"):
        Run(folder, before_step=crash).loop.run()
    assert read_header(folder / LAST)[0].step == 4
    resumed = Run(folder)
    resumed.loop.run(resume=True)
    assert torch.equal(resumed.weights, straight.weights)
    one, other = (read_lines(tmp_path / name / FILE) for name in ("straight", "resumed"))
    assert timeless(other) == timeless(one)


def test_signals_are_given_back(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    Run(tmp_path).loop.run()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_training_resumes_to_nothing(tmp_path, read_lines):
    first = Run(tmp_path)
    first.loop.run()
    before = read_lines(tmp_path / FILE)
    again = Run(tmp_path)
    state = again.loop.run(resume=True)
    assert state.global_step == 11
    assert torch.equal(again.weights, first.weights)
    assert read_lines(tmp_path / FILE) == before


def test_a_loss_gone_astray_stops_before_a_checkpoint(tmp_path):
    run = Run(tmp_path)

    def spoil(step):
        if step == 3:
            run.module.line.bias.data.fill_(float("nan"))

    run.loop.phases[0].before_step = spoil
    with pytest.raises(ValueError, match=r"the loss became nan before step 4.*learning_rate"):
        run.loop.run()
    assert read_header(tmp_path / LAST)[0].step == 2
