import pytest
import torch
from torch import nn

from speechvq.training.checkpoint import (
    State,
    load_optimizer,
    load_weights,
    read_header,
    save_checkpoint,
)

STATE = State("mel", step=3, global_step=3, best=0.1 + 0.2, meter={"sums": {"loss": 1 / 3}})


def modules(seed):
    torch.manual_seed(seed)
    shared = nn.Linear(3, 2)
    norm = nn.BatchNorm1d(2, affine=False)
    return {"model": nn.Sequential(shared), "objective": nn.Sequential(norm, shared)}


def trained(seed):
    parts = modules(seed)
    optimizer = torch.optim.Adam(parts["model"].parameters())
    for _ in range(2):
        parts["objective"][0](torch.randn(4, 2))
        parts["model"](torch.randn(4, 3)).square().mean().backward()
        optimizer.step()
    return parts, optimizer


def test_round_trip(tmp_path):
    parts, optimizer = trained(1)
    path = tmp_path / "checkpoints" / "last.safetensors"
    save_checkpoint(path, parts, STATE, {"model": {"strides": [4, 4]}}, optimizer)
    assert read_header(path) == (STATE, {"model": {"strides": [4, 4]}})

    others, other_optimizer = trained(2)
    other_optimizer = torch.optim.Adam(others["model"].parameters())
    load_weights(path, others)
    load_optimizer(path, other_optimizer)
    for name in parts:
        for key, tensor in parts[name].state_dict().items():
            assert torch.equal(others[name].state_dict()[key], tensor), key
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            assert torch.equal(other_optimizer.state_dict()["state"][index][key], value)


def test_shared_weights_are_written_once_and_nothing_is_pickled(tmp_path):
    from safetensors import safe_open

    parts, optimizer = trained(1)
    save_checkpoint(tmp_path / "a.safetensors", parts, STATE, {})
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert sorted(file.keys()) == [
            "weights.model.0.bias",
            "weights.model.0.weight",
            "weights.objective.0.num_batches_tracked",
            "weights.objective.0.running_mean",
            "weights.objective.0.running_var",
        ]


def test_a_failed_save_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, modules(1), STATE, {})
    before = path.read_bytes()

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, modules(2), STATE, {})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.safetensors"]


@pytest.mark.parametrize("keep", [0, 5, 40, -8])
def test_a_damaged_checkpoint_is_named(tmp_path, keep):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, modules(1), STATE, {})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match="last.safetensors: a damaged checkpoint"):
        read_header(path)
        load_weights(path, modules(1))


def test_another_model_is_refused(tmp_path):
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, modules(1), STATE, {})
    with pytest.raises(ValueError, match="does not fit this model at weights.model.0.weight"):
        load_weights(path, {"model": nn.Sequential(nn.Linear(3, 3))})
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        read_header(tmp_path / "other")
