"""The frame of a training: what may be resumed, and what is deleted and published."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from speechvq.config import LoopConfig, StageConfig
from speechvq.data.manifest import Utterance
from speechvq.distributed import Processes
from speechvq.training.checkpoint import BEST, LAST, read_header
from speechvq.training.objective import Losses, Objective
from speechvq.training.run import Plan, clear, fingerprint, run_training
from speechvq.training.stage import Stage

ALONE = Processes(torch.device("cpu"))
CONFIG = LoopConfig(
    precision="float32", log_every=1, valid_every=1, checkpoint_every=1, tensorboard=False
)
SETTINGS = {
    "model": {"strides": (4, 4)},
    "stages": [{"objective": "mel", "steps": 2}, {"objective": "decoder", "steps": 3}],
    "training": {"seed": 0, "workers": 1},
    "data": {"train": "one/train.jsonl"},
    "fingerprint": {"data.train": "abc"},
}


class Scored(Objective):
    """Its validations have scores that are given."""

    def __init__(self, scores):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.scores = iter(scores)

    def forward(self, batch):
        score = None if self.training else torch.tensor(next(self.scores))
        return Losses((self.weight - 1).square().sum(), score=score)


def train(folder, settings=SETTINGS, scores=(3.0, 1.0, 2.0), **options):
    """Train two stages; the resumed flag, what was published as (stage, weight), the weight."""
    objectives = [Scored([5.0, 4.0]), Scored(scores)]
    published, resumed = [], []

    def build(resume):
        resumed.append(resume)
        stages = [
            Stage(
                name,
                StageConfig(steps=steps, learning_rate=0.1, warmup_steps=0),
                objective,
                [torch.zeros(1)] * steps,
                lambda: [torch.zeros(1)],
                samples_per_step=1,
                steps_per_epoch=1,
            )
            for name, steps, objective in zip(("mel", "decoder"), (2, 3), objectives, strict=True)
        ]

        def publish(state):
            published.append((state.stage, state.best_global_step, objectives[1].weight.item()))
            (folder / "model.safetensors").write_text("weights")

        modules = dict(zip(("mel", "decoder"), objectives, strict=True))
        return Plan(stages, modules, lambda x: x, publish)

    run_training(folder, settings, CONFIG, build, ALONE, **options)
    return resumed, published, objectives[1].weight.item()


def test_the_best_weights_of_the_last_stage_are_published(tmp_path):
    resumed, published, weight = train(tmp_path)
    assert resumed == [False]
    assert [(stage, step) for stage, step, _ in published] == [("decoder", i) for i in (3, 4, 4)]
    assert published[1] == published[2]  # the weights of step 4, not those of step 5
    assert weight == published[2][2]


def test_a_finished_training_is_published_again_on_a_resume(tmp_path):
    published, weight = train(tmp_path)[1:]
    again = train(tmp_path, resume=True)
    assert again == ([True], [published[-1]], weight)


@pytest.mark.parametrize("name", ["README.md", "config.yaml", "speakers.json"])
@pytest.mark.parametrize("how", [{}, {"resume": True}, {"overwrite": True}], ids=str)
def test_somebody_elses_files_are_not_lost(tmp_path, name, how):
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=f"{name}: would be overwritten; name another folder"):
        train(tmp_path, **how)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_training_is_not_lost(tmp_path):
    train(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds a training already; --resume.*--overwrite.*--out"):
        train(tmp_path)
    assert train(tmp_path, overwrite=True)[0] == [False]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    (tmp_path / LAST).unlink()
    with pytest.raises(ValueError, match=r"holds a model, but no .*last.safetensors to resume"):
        train(tmp_path, resume=True)


def test_a_resume_without_a_checkpoint_starts(tmp_path):
    assert train(tmp_path / "new", resume=True)[0] == [False]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": {"strides": (4, 8)}}, r"^model\.strides: .* with \[4, 4\], not \[4, 8\]; res"),
        ({"training": {"seed": 1, "workers": 1}}, r"^training\.seed: .* with 0, not 1"),
        (
            {"data": {"train": "one/train.jsonl", "level": -20.0}},
            r"^data\.level: .* with None, not",
        ),
        ({"fingerprint": {"data.train": "abd"}}, r"^data\.train: the manifest has changed"),
        (
            {"stages": [SETTINGS["stages"][0], {"objective": "decoder", "steps": 2}]},
            r"^stages\.decoder\.steps: this training was started with 3, not 2",
        ),
        (
            {"stages": [{"objective": "mel", "steps": 4}, SETTINGS["stages"][1]]},
            r"^stages\.mel\.steps: this training was started with 2, not 4",  # it is over
        ),
        ({"stages": SETTINGS["stages"][:1]}, r"^stages\.decoder: .* with \{.*\}, not None"),
        ({"stages": SETTINGS["stages"][::-1]}, r"^stages: .* \['mel', 'decoder'\], not \['dec"),
    ],
)
def test_a_resume_refuses_other_settings(tmp_path, changed, message):
    train(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=message):
        train(tmp_path, settings=SETTINGS | changed, resume=True)
    assert sorted(tmp_path.rglob("*")) == before


def test_stages_of_one_objective_are_told_by_name(tmp_path):
    stages = [{"objective": "mel", "name": name, "steps": 2} for name in ("mel", "again")]
    settings = SETTINGS | {"stages": stages}
    train(tmp_path, settings=settings)
    changed = settings | {"stages": [stages[0], stages[1] | {"steps": 1}]}
    with pytest.raises(ValueError, match=r"^stages\.again\.steps: .* with 2, not 1"):
        train(tmp_path, settings=changed, resume=True)


def test_a_resume_may_change_what_no_number_depends_on(tmp_path):
    train(tmp_path)
    free = SETTINGS | {
        "training": {"seed": 0, "workers": 4, "valid_every": 7, "log_every": 3},
        "data": {"train": "another/train.jsonl"},  # of the same content, says the fingerprint
    }
    assert train(tmp_path, settings=free, resume=True)[0] == [True]


def cut(path):
    """Damage a file as a full disk does."""
    path.write_bytes(path.read_bytes()[:-4])


def test_a_damaged_best_checkpoint_is_replaced(tmp_path, caplog):
    """The training goes on from the last one; here it is finished, and validated once more."""
    train(tmp_path)
    last = read_header(tmp_path / LAST)[0]
    cut(tmp_path / BEST)
    resumed, published, _ = train(tmp_path, scores=[2.0], resume=True)
    assert resumed == [True]
    assert read_header(tmp_path / BEST)[0].best_global_step == last.global_step == 5
    assert [(stage, step) for stage, step, _ in published] == [("decoder", 5)] * 2
    (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert "best.safetensors: a damaged checkpoint" in warning and "last.safetensors" in warning
    caplog.clear()
    train(tmp_path, resume=True)
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


@pytest.mark.parametrize("published", [True, False])
def test_a_damaged_last_checkpoint_says_what_to_do(tmp_path, published):
    train(tmp_path)
    cut(tmp_path / LAST)
    if not published:
        (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="damaged checkpoint .*--overwrite") as error:
        train(tmp_path, resume=True)
    assert ("training.init_from" in str(error.value)) == published
    assert "\n" not in str(error.value)


def test_nothing_is_deleted_when_the_build_fails(tmp_path):
    train(tmp_path)

    def build(resume):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run_training(tmp_path, SETTINGS, CONFIG, build, ALONE, overwrite=True)
    assert (tmp_path / BEST).exists() and (tmp_path / "model.safetensors").exists()


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    train(tmp_path)
    for folder in (tmp_path, tmp_path / "checkpoints"):
        (folder / ".last.safetensors.123.456.tmp").write_bytes(b"half")
    train(tmp_path, resume=True)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_training_whose_deletion_was_interrupted_is_not_resumed(tmp_path, monkeypatch):
    """The last checkpoint goes first."""
    train(tmp_path)

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        clear(tmp_path)
    assert not (tmp_path / LAST).exists() and (tmp_path / BEST).exists()


def test_clear_leaves_other_files(tmp_path):
    for name in ("config.yaml", "metrics.jsonl", "notes.txt"):
        (tmp_path / name).write_text("")
    for name in ("checkpoints", "samples", "codes"):
        (tmp_path / name).mkdir()
    clear(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["codes", "notes.txt"]


def test_fingerprint():
    utterances = [Utterance("a", "s", "a.wav", 1.5), Utterance("b", "s", "b.wav", 2.0)]
    whole = fingerprint(utterances)
    assert whole == "57f5f7ba290e"  # as in the checkpoints that there are
    assert whole == fingerprint([replace(u, path="x") for u in utterances])
    others = [utterances[:1], utterances[::-1], [replace(utterances[0], start=0.5), utterances[1]]]
    assert whole not in map(fingerprint, others)
