"""The trainer, with an objective of its own: a line fitted to points."""

import itertools
import os
import signal
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import pytest
import torch
from torch import nn

from speechvq.config import StageConfig, TrainingConfig
from speechvq.distributed import Processes
from speechvq.training import trainer
from speechvq.training.checkpoint import BEST, LAST, _load, read_header
from speechvq.training.metrics import FILE
from speechvq.training.objective import Losses, Objective
from speechvq.training.stage import Stage, learning_rate
from speechvq.training.threads import ThreadChooser
from speechvq.training.trainer import Interrupted, Trainer

CONFIG = TrainingConfig(
    precision="float32",
    log_every=2,
    valid_every=3,
    checkpoint_every=2,
    tensorboard=False,
    samples=0,
)


class Points(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


class Line(Objective):
    """Fits y = a x + b; the codes are the signs of x. Every call is written down."""

    def __init__(self, line, names, offset, calls, score=None):
        super().__init__()
        self.line = line
        self.names = names
        self.offset = offset  # a random number, which a stage draws once
        self.calls = calls
        self.score = score

    def start(self, corpus):
        self.calls.append("start")
        assert corpus == "corpus"
        assert not torch.is_grad_enabled()
        self.offset.copy_(torch.randn(()))

    def finish(self):
        self.calls.append("finish")
        self.line.bias += 1.0

    def trained(self):
        return [getattr(self.line, name) for name in self.names]

    def forward(self, batch):
        x = batch.x
        if self.training:
            x = x + 0.01 * torch.randn_like(x)  # needs the seed of the step
        error = (self.line(x) + self.offset - batch.y).square().mean()
        score = None if self.score is None or self.training else torch.tensor(next(self.score))
        terms = {"slope": self.line.weight[0, 0]}
        return Losses(error, terms, (batch.x > 0).long(), len(batch.x), score)

    def metrics(self):
        return {"constant": 7.0}


class Training(torch.utils.data.Dataset):
    def __init__(self, steps):
        self.steps = steps

    def __len__(self):
        return self.steps

    def __getitem__(self, step):
        x = torch.randn(8, 1, generator=torch.Generator().manual_seed(step))
        return Points(x, 3 * x + 1)


HELD_OUT = [
    Points(torch.tensor([[1.0]]), torch.tensor([[2.0]])),
    Points(torch.tensor([[-1.0], [2.0], [3.0]]), torch.tensor([[0.0], [1.0], [5.0]])),
]


class Run:
    """A training of two stages, and what it did."""

    def __init__(self, folder, steps=(6, 5), before_step=None, config=CONFIG, scores=None):
        torch.manual_seed(0)
        self.line = nn.Linear(1, 1)
        self.line.register_buffer("offset", torch.zeros(()))
        self.calls, self.published = [], []
        scores = iter(scores) if scores else None
        stages = [
            Stage(
                name,
                StageConfig(steps=n, learning_rate=0.1, warmup_steps=2),
                Line(self.line, names, self.line.offset, self.calls, scores),
                Training(n),
                lambda: HELD_OUT[:1] if scores else HELD_OUT,
                samples_per_step=8,
                steps_per_epoch=4,
                codebook_size=2,
            )
            for name, names, n in zip(
                ("both", "bias"), (("weight", "bias"), ("bias",)), steps, strict=True
            )
        ]

        def prepare(batch):
            assert not torch.is_grad_enabled()
            state = self.trainer.state
            (stage,) = (s for s in self.trainer.stages if s.name == state.stage)
            if before_step and stage.objective.training:
                before_step(state.step)
            return batch

        self.trainer = Trainer(
            stages,
            prepare,
            {"line": self.line},
            config,
            {"seed": 0},
            folder,
            Processes(torch.device("cpu")),
            publish=lambda state: self.published.append(state.global_step),
            corpus="corpus",
            progress=False,
        )

    @property
    def weights(self):
        return torch.cat([x.detach().flatten() for x in self.line.state_dict().values()])


def timeless(records):
    return [
        {k: v for k, v in r.items() if k not in ("seconds", "samples_per_second")} for r in records
    ]


def test_learning_rate():
    config = StageConfig(steps=100, learning_rate=1.0, warmup_steps=10)
    rates = [learning_rate(config, step) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(1.0)
    assert rates[55] == pytest.approx((1 + 0.05) / 2)
    assert rates[100] == pytest.approx(0.05)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert learning_rate(replace(config, warmup_steps=0), 0) == 1.0


def test_what_is_written(tmp_path, read_lines):
    run = Run(tmp_path)
    state = run.trainer.run()
    assert (state.stage, state.step, state.global_step) == ("bias", 5, 11)
    records = read_lines(tmp_path / FILE)
    at = {
        kind: [(r["stage"], r["step"]) for r in records if r["kind"] == kind]
        for kind in ("train", "epoch", "valid")
    }
    assert at["train"] == [("both", i) for i in (2, 4, 6)] + [("bias", i) for i in (2, 4, 5)]
    assert at["epoch"] == [("both", 4), ("both", 6), ("bias", 4), ("bias", 5)]
    assert at["valid"] == [("both", 3), ("both", 6), ("bias", 3), ("bias", 5)]
    train = next(r for r in records if r["kind"] == "train")
    assert {"loss", "slope", "gradient_norm", "learning_rate", "samples_per_second"} <= train.keys()
    assert train["learning_rate"] == pytest.approx(0.1)
    epoch = next(r for r in records if r["kind"] == "epoch")
    assert epoch["perplexity"] == pytest.approx(2.0, abs=0.1)
    assert run.calls == ["start", "finish", "start", "finish"]


def test_checkpoints_are_kept_every_so_many_steps(tmp_path):
    """Of all stages, at the end of the first one too; a training that keeps none is the same."""
    config = replace(CONFIG, keep_every=3)
    kept = Run(tmp_path / "kept", config=config)
    kept.trainer.run()
    files = sorted(path.name for path in (tmp_path / "kept/checkpoints").glob("step-*"))
    assert files == ["step-0000003.safetensors", "step-0000006.safetensors",
                     "step-0000009.safetensors"]  # fmt: skip
    states = [read_header(tmp_path / "kept/checkpoints" / name)[0] for name in files]
    assert [(s.stage, s.step, s.global_step) for s in states] == [
        ("both", 3, 3), ("both", 6, 6), ("bias", 3, 9),
    ]  # fmt: skip
    plain = Run(tmp_path / "plain")
    plain.trainer.run()
    assert torch.equal(plain.weights, kept.weights)
    last = _load(tmp_path / "kept" / "checkpoints" / files[-1])
    assert not any(name.startswith("optimizer") for name in last)


def test_a_stage_trains_its_parameters_alone(tmp_path):
    run = Run(tmp_path, steps=(0, 5))
    slope, bias = run.line.weight.clone(), run.line.bias.clone()
    run.trainer.run()
    assert torch.equal(run.line.weight, slope)
    assert not torch.equal(run.line.bias, bias)
    assert run.line.weight.grad is None
    assert run.calls == ["start", "finish"]  # a stage without steps is none


def test_validation_is_a_mean_over_samples(tmp_path, read_lines):
    """The last validation, with the weights as they are at the end."""
    run = Run(tmp_path)
    run.trainer.run()
    x, y = (torch.cat(parts) for parts in zip(*HELD_OUT, strict=True))
    with torch.no_grad():
        errors = (run.line(x) + run.line.offset - y).square()
    record = [r for r in read_lines(tmp_path / FILE) if r["kind"] == "valid"][-1]
    assert record["loss"] == pytest.approx(float(errors.mean()), rel=1e-6)
    assert record["slope"] == pytest.approx(float(run.line.weight.detach()), rel=1e-6)
    assert record["constant"] == 7.0
    assert record["dead_codes"] == 0
    p = torch.tensor([0.25, 0.75])  # one x of four is negative
    assert record["perplexity"] == pytest.approx(float((-(p * p.log()).sum()).exp()))
    assert "score" not in record and "weight" not in record


def test_the_best_is_the_lowest_score_of_the_stage(tmp_path):
    run = Run(tmp_path, scores=[1.0, 2.0, 9.0, 8.0])
    state = run.trainer.run()
    assert run.published == [3, 9, 11]  # 6 was worse; the next stage begins anew
    assert (state.best, state.best_global_step) == (8.0, 11)
    assert read_header(tmp_path / BEST)[0].global_step == 11


def test_without_a_score_the_loss_is_the_score(tmp_path, read_lines):
    state = Run(tmp_path).trainer.run()
    losses = [r["loss"] for r in read_lines(tmp_path / FILE) if r["kind"] == "valid"]
    assert state.best == min(losses[2:])


@pytest.mark.parametrize("stop_after", range(11))
def test_a_resume_repeats_what_would_have_been(tmp_path, read_lines, stop_after):
    """Stop by Ctrl-C after any step, in either stage; then the numbers are those of one run."""
    straight = Run(tmp_path / "straight")
    straight.trainer.run()

    done = 0

    def interrupt(step):
        nonlocal done
        done += 1
        if done == stop_after + 1:
            os.kill(os.getpid(), signal.SIGINT)

    folder = tmp_path / "resumed"
    stopped = Run(folder, before_step=interrupt)
    with pytest.raises(Interrupted):
        stopped.trainer.run()
    assert read_header(folder / LAST)[0].global_step == stop_after + 1
    resumed = Run(folder)
    resumed.trainer.run(resume=True)
    assert torch.equal(resumed.weights, straight.weights)
    one, other = (read_lines(tmp_path / name / FILE) for name in ("straight", "resumed"))
    assert timeless(other) == timeless(one)
    assert stopped.calls + resumed.calls == straight.calls  # no second start, no second finish


@pytest.mark.parametrize("stop_after", [2, 4, 5, 6, 8])
def test_a_resume_takes_the_threads_of_the_training(tmp_path, stop_after, monkeypatch):
    """Timing is on in both stages, and ends in the first; two threads take half the time."""
    ticks = itertools.accumulate(iter(lambda: 1 / torch.get_num_threads(), None))
    chooser = partial(ThreadChooser, [1, 2], lambda: next(ticks))
    monkeypatch.setattr(trainer, "ThreadChooser", lambda candidates: chooser())
    used, runs = {}, []

    def before_step(step):
        state = runs[-1].trainer.state
        used[name].append((state.stage, step, torch.get_num_threads()))
        if name == "stopped" and state.global_step == stop_after:
            runs[-1].trainer._signal = signal.SIGINT

    for name in ("straight", "stopped", "resumed"):
        used[name] = []
        folder = tmp_path / name.replace("resumed", "stopped")
        runs.append(Run(folder, steps=(9, 8), before_step=before_step))
        with pytest.raises(Interrupted) if name == "stopped" else nullcontext():
            runs[-1].trainer.run(resume=name == "resumed")
    assert used["stopped"] + used["resumed"] == used["straight"]
    assert [n for stage, _, n in used["straight"]] == [1, *[1, 2] * 3, 2, 2, 2, *[1, 2] * 3, 2]
    assert torch.get_num_threads() == 2  # all are given back
    torch.set_num_threads(1)


def test_a_stage_begins_with_a_checkpoint(tmp_path, read_lines):
    """What `start` made is there before the first step; a resume does not make it again."""
    straight = Run(tmp_path / "straight")
    straight.trainer.run()

    for global_step in (0, 6):
        folder = tmp_path / str(global_step)

        def crash(step, run, global_step=global_step):
            if run.trainer.state.global_step == global_step:
                raise RuntimeError("power cut")

        run = Run(folder, before_step=lambda step, f=crash: f(step, run))  # noqa: B023
        with pytest.raises(RuntimeError, match="power cut"):
            run.trainer.run()
        state = read_header(folder / LAST)[0]
        assert (state.step, state.global_step) == (0, global_step)
        assert state.stage == ("bias" if global_step else "both")
        offset = _load(folder / LAST)["weights.line.offset"]
        assert torch.equal(offset, run.line.offset) and offset != 0
        resumed = Run(folder)
        resumed.trainer.run(resume=True)
        assert run.calls + resumed.calls == straight.calls
        assert torch.equal(resumed.weights, straight.weights)
        one, other = (read_lines(f / FILE) for f in (tmp_path / "straight", folder))
        assert timeless(other) == timeless(one)


def test_a_resume_after_a_crash_goes_back_to_the_checkpoint(tmp_path, read_lines):
    straight = Run(tmp_path / "straight")
    straight.trainer.run()

    def crash(step):
        if step == 5:
            raise RuntimeError("power cut")

    folder = tmp_path / "resumed"
    with pytest.raises(RuntimeError, match="power cut"):
        Run(folder, before_step=crash).trainer.run()
    assert read_header(folder / LAST)[0].step == 4
    resumed = Run(folder)
    resumed.trainer.run(resume=True)
    assert torch.equal(resumed.weights, straight.weights)
    one, other = (read_lines(tmp_path / name / FILE) for name in ("straight", "resumed"))
    assert timeless(other) == timeless(one)


def test_an_interrupted_validation_is_repeated(tmp_path, read_lines):
    straight = Run(tmp_path / "straight")
    straight.trainer.run()
    folder = tmp_path / "resumed"
    run = Run(folder)
    prepare = run.trainer.prepare

    def interrupt(batch):
        if batch is HELD_OUT[0]:
            os.kill(os.getpid(), signal.SIGINT)
        return prepare(batch)

    run.trainer.prepare = interrupt
    with pytest.raises(Interrupted):
        run.trainer.run()
    state = read_header(folder / LAST)[0]
    assert (state.step, state.validated) == (3, 0)
    Run(folder).trainer.run(resume=True)
    one, other = (read_lines(tmp_path / name / FILE) for name in ("straight", "resumed"))
    assert timeless(other) == timeless(one)


def test_signals_are_given_back(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    Run(tmp_path).trainer.run()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_training_resumes_to_nothing(tmp_path, read_lines):
    first = Run(tmp_path)
    first.trainer.run()
    before = read_lines(tmp_path / FILE)
    again = Run(tmp_path)
    state = again.trainer.run(resume=True)
    assert state.global_step == 11
    assert torch.equal(again.weights, first.weights)
    assert read_lines(tmp_path / FILE) == before
    assert again.calls == []


def test_more_steps_go_on_by_the_longer_schedule(tmp_path, read_lines):
    Run(tmp_path).trainer.run()
    before = read_lines(tmp_path / FILE)
    longer = Run(tmp_path, steps=(6, 9))
    assert longer.trainer.run(resume=True).step == 9
    assert longer.calls == ["finish"]
    records = read_lines(tmp_path / FILE)
    assert records[: len(before)] == before
    schedule = StageConfig(steps=9, learning_rate=0.1, warmup_steps=2)
    rates = [r["learning_rate"] for r in records[len(before) :] if r["kind"] == "train"]
    assert rates == [learning_rate(schedule, step - 1) for step in (6, 8, 9)]


def test_a_loss_gone_astray_stops_before_a_checkpoint(tmp_path):
    def spoil(step):
        if step == 3:
            run.line.bias.data.fill_(float("nan"))

    run = Run(tmp_path, before_step=spoil)
    with pytest.raises(ValueError, match=r"the loss became nan at step 4 of stage both.*lower"):
        run.trainer.run()
    assert read_header(tmp_path / LAST)[0].step == 2


@pytest.mark.parametrize("codebook_size", [2, 8])
def test_a_collapsed_codebook_is_told_at_the_end_of_a_stage(tmp_path, codebook_size, caplog):
    run = Run(tmp_path)
    pieces = {"held_out": lambda: HELD_OUT * 20, "codebook_size": codebook_size}
    run.trainer.stages = [replace(stage, **pieces) for stage in run.trainer.stages]
    run.trainer.run()
    told = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    fault = "6 of 8 codes were never used on the validation data (80 codes, perplexity 1.8)"
    advice = "docs/training.md#codebook-collapse"
    stages = ("both", "bias") if codebook_size == 8 else ()
    assert told == [f"stage {stage}: {fault}; {advice}" for stage in stages]


def test_sounds_of_a_validation(tmp_path):
    run = Run(tmp_path)
    stages = run.trainer.stages
    stages[1] = replace(stages[1], listen=lambda: {"hum": (torch.zeros(80).numpy(), 8000)})
    run.trainer.run()
    files = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert files == ["bias-0000009-hum.wav", "bias-0000011-hum.wav"]


def test_stages_have_names(tmp_path):
    with pytest.raises(ValueError, match=r"stages: expected different names, at least one, got \["):
        Run(tmp_path, steps=(0, 0))


class Unused(Line):
    """Declares a parameter as trained that the loss does not depend on."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.spare = nn.Linear(1, 1)

    def trained(self):
        return [*super().trained(), *self.spare.parameters()]


def test_a_parameter_without_a_gradient_is_named(tmp_path):
    run = Run(tmp_path)
    stage = run.trainer.stages[0]
    objective = Unused(run.line, ("weight",), run.line.offset, [])
    run.trainer.stages[0] = replace(stage, objective=objective)
    with pytest.raises(
        ValueError, match=r"^stage both: Unused\.trained\(\) has spare\.weight, which gets no grad"
    ):
        run.trainer.run()


def test_a_parameter_of_another_module_is_refused(tmp_path):
    run = Run(tmp_path)
    stage = run.trainer.stages[0]
    stage.objective.trained = lambda: [run.line.bias, nn.Parameter(torch.zeros(1))]
    with pytest.raises(ValueError, match=r"Line\.trained\(\) has a parameter of another module"):
        run.trainer.run()


def test_a_stage_that_trains_nothing_is_refused(tmp_path):
    run = Run(tmp_path)
    run.trainer.stages[0].objective.trained = list
    with pytest.raises(ValueError, match=r"stage both: Line\.trained\(\) is empty; expected at"):
        run.trainer.run()
