"""Model folders: written, read back, found; and every way in which one can be spoilt."""

import dataclasses
import json
import logging
import os

import pytest
import torch
import yaml

import speechvq
from speechvq import model_folder
from speechvq.config import DataConfig, TrainingConfig, VQVAEConfig
from speechvq.models.vqvae import VQVAE

SPEAKERS = ["p225", "p226"]


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    return VQVAE(tiny_config, SPEAKERS).eval()


@pytest.fixture
def folder(model, tmp_path):
    model_folder.save_model(tmp_path / "m", model, {"training": TrainingConfig()}, "# A card\n")
    return tmp_path / "m"


def make_model(folder, config, seed=0):
    torch.manual_seed(seed)
    model_folder.save_model(folder, VQVAE(config, SPEAKERS), {}, "card")


def test_a_model_survives_the_folder(model, folder):
    loaded = model_folder.load_model(folder)
    assert loaded.config == model.config
    assert loaded.speakers == SPEAKERS
    assert not any(module.training for module in loaded.modules())
    waveform = torch.rand(1, 100) - 0.5
    for got, expected in zip(
        loaded.state_dict().values(), model.state_dict().values(), strict=True
    ):
        assert torch.equal(got, expected)
    assert torch.equal(loaded.encode(waveform), model.encode(waveform))
    assert (folder / "README.md").read_text() == "# A card\n"
    assert {p.name for p in folder.iterdir()} == {
        "config.yaml", "model.safetensors", "speakers.json", "README.md",
    }  # fmt: skip


def test_the_folder_keeps_the_other_sections(model, tmp_path):
    config = {"data": DataConfig(train="x.jsonl"), "training": {"likelihood": {"steps": 3}}}
    model_folder.save_model(tmp_path, model, config, "card")
    values = model_folder.read_config(tmp_path)
    assert values["data"]["train"] == "x.jsonl"
    assert values["training"] == {"likelihood": {"steps": 3}}
    assert model_folder.build_config(values["model"]) == model.config
    assert list(values)[0] == "model"


def test_nothing_is_pickled(folder):
    """The weights begin with a length and a JSON header, as the safetensors format has it."""
    content = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert json.loads(content[8 : 8 + length])["__metadata__"]["format"] == "speechvq 1"


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors", "speakers.json"])
def test_a_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(FileNotFoundError, match=rf"no {name} in it; a model folder holds"):
        model_folder.load_model(folder)


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such model folder"):
        model_folder.load_model(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match="a file, not a model folder"):
        model_folder.load_model(tmp_path / "file")


@pytest.mark.parametrize("keep", [0, 5, 100, -1])
def test_truncated_weights(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors: truncated") as caught:
        model_folder.load_model(folder)
    assert "\n" not in str(caught.value)


def change(folder, **values):
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["model"] |= values
    path.write_text(yaml.safe_dump(config))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"codebok_size": 3},
            r"config\.yaml: model\.codebok_size: unknown key; did you mean codeb",
        ),
        ({"wavenet": {"layer": 3}}, r"model\.wavenet\.layer: unknown key; did you mean layers"),
        ({"codebook_size": "8"}, r"model\.codebook_size: expected int, got '8'"),
        ({"codebook_size": True}, r"model\.codebook_size: expected int, got True"),
        ({"codebook_size": 1}, r"model\.codebook_size: must be at least 2"),
        ({"strides": 4}, r"model\.strides: expected a list, got 4"),
        ({"strides": [4, "4"]}, r"model\.strides\[1\]: expected int"),
        ({"codebook_update": "sgd"}, r"model\.codebook_update: must be one of ema, loss"),
        ({"encoder_channels": "wide"}, r"model\.encoder_channels: expected int"),
        ({"encoder_channels": [8, "x"]}, r"model\.encoder_channels\[1\]: expected int"),
        ({"wavenet": 3}, r"model\.wavenet: expected keys and values"),
        ({"codebook_size": 16}, r"model\.codebook_size is 16 and model\.safetensors has 8"),
        ({"beta": 0.5}, r"model\.beta is 0\.5 and model\.safetensors has 0\.25"),
    ],
)
def test_a_spoilt_config(folder, values, message):
    change(folder, **values)
    with pytest.raises(ValueError, match=message):
        model_folder.load_model(folder)


def test_a_key_that_was_lost(folder):
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text())
    del config["model"]["strides"]
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match=r"model\.strides is .* not of one save"):
        model_folder.load_model(folder)


@pytest.mark.parametrize("text", ["", "model: 3", "{model: [", "\x00", "data: {}"])
def test_a_config_that_is_none(folder, text):
    (folder / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml: (not YAML|no section 'model')"):
        model_folder.load_model(folder)


@pytest.mark.parametrize(
    "text", ["", "[]", "3", '["p225"]', '[{"id": 3}]', '[{"name": "a"}, {"name": "a"}]']
)
def test_spoilt_speakers(folder, text):
    (folder / "speakers.json").write_text(text)
    with pytest.raises(ValueError, match=r"speakers\.json: "):
        model_folder.load_model(folder)


def test_files_of_two_saves_are_refused(folder):
    """As after a kill between two files, or a careless copy: the embedding would be swapped."""
    (folder / "speakers.json").write_text('[{"name": "p226"}, {"name": "p225"}]')
    with pytest.raises(ValueError, match="other speakers than model.safetensors"):
        model_folder.load_model(folder)


def test_weights_of_another_version(folder, model):
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    header = {
        "format": "speechvq 1",
        "model": json.dumps(dataclasses.asdict(model.config)),
        "speakers": json.dumps(SPEAKERS),
    }
    weights = load_file(path)
    name = next(iter(weights))
    cases = [
        ({k: v for k, v in weights.items() if k != name}, f"no '{name}' in it"),
        (weights | {"more": torch.zeros(1)}, "unknown 'more' in it"),
        (weights | {name: torch.zeros(1, 2, 3)}, rf"'{name}' has shape \(1, 2, 3\), expected"),
    ]
    for tensors, message in cases:
        save_file(tensors, path, metadata=header)
        with pytest.raises(ValueError, match=message):
            model_folder.load_model(folder)
    save_file(weights, path)
    with pytest.raises(ValueError, match="format None"):
        model_folder.load_model(folder)


def test_a_device_that_is_not_there(folder):
    for device in ("cuda:99", "toaster"):
        with pytest.raises(ValueError, match=f"device '{device}' cannot be used here"):
            model_folder.load_model(folder, device)


def test_a_killed_save_leaves_the_old_model(folder, model, tiny_config, monkeypatch):
    """Whatever file the kill comes before, the folder is the old or the new model, or refused."""
    expected = model_folder.fingerprint(model)
    names = ["config.yaml", "speakers.json", "README.md", "model.safetensors"]
    write = model_folder.write_bytes
    for killed_before in names:

        def write_until(path, content, stop=killed_before):
            if path.name == stop:
                raise KeyboardInterrupt
            write(path, content)

        monkeypatch.setattr(model_folder, "write_bytes", write_until)
        torch.manual_seed(1)
        with pytest.raises(KeyboardInterrupt):
            model_folder.save_model(folder, VQVAE(tiny_config, SPEAKERS), {}, "card")
        assert model_folder.fingerprint(model_folder.load_model(folder)) == expected


def test_no_model_before_its_weights(model, tmp_path, monkeypatch):
    write = model_folder.write_bytes

    def killed(path, content):
        if path.name == "model.safetensors":
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(model_folder, "write_bytes", killed)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)
    with pytest.raises(KeyboardInterrupt):
        model_folder.save_model("exp/vctk/vqvae", model, {}, "card")
    assert model_folder.find_model() == model_folder.PRETRAINED


def test_the_fingerprint_is_of_the_codes(model, tiny_config):
    before = model_folder.fingerprint(model)
    assert len(before) == 12
    with torch.no_grad():
        next(model.decoder.parameters()).add_(1)
        next(model.conditioner.parameters()).add_(1)
    assert model_folder.fingerprint(model) == before
    with torch.no_grad():
        next(model.encoder.parameters()).add_(1)
    changed = model_folder.fingerprint(model)
    assert changed != before
    model.quantizer.codebook.data.add_(1)
    assert model_folder.fingerprint(model) not in (before, changed)


class TestFind:
    @pytest.fixture(autouse=True)
    def working_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)

    def test_the_newest_below_exp(self, tiny_config, caplog):
        for i, name in enumerate(["a", "b/c", "d/checkpoints", "d/e/f"]):
            make_model(f"exp/{name}", tiny_config)
            os.utime(f"exp/{name}/model.safetensors", (1000 + i, 1000 + i))
        with caplog.at_level(logging.INFO, "speechvq"):
            assert str(model_folder.find_model()) == "exp/b/c"
        assert caplog.messages == ["model: exp/b/c (newest below exp/)"]
        os.utime("exp/a/model.safetensors", (2000, 2000))
        assert str(model_folder.find_model()) == "exp/a"

    def test_the_environment_goes_before_exp_and_model_before_both(
        self, tiny_config, monkeypatch, caplog
    ):
        for name in ("exp/a", "mine", "yours"):
            make_model(name, tiny_config)
        monkeypatch.setenv("SPEECHVQ_MODEL", "mine")
        with caplog.at_level(logging.INFO, "speechvq"):
            assert str(model_folder.find_model()) == "mine"
            assert str(model_folder.find_model("yours")) == "yours"
        assert caplog.messages == ["model: mine (from SPEECHVQ_MODEL)", "model: yours (as given)"]

    def test_where_nothing_was_trained_the_package_has_one(self, caplog):
        with caplog.at_level(logging.INFO, "speechvq"):
            model = speechvq.load()
        assert caplog.messages == [f"model: {model_folder.PRETRAINED} (inside the package)"]
        assert model.speakers == ["p225", "p226", "p227", "p232"]

    def test_a_folder_that_is_no_model(self, monkeypatch):
        with pytest.raises(FileNotFoundError, match="gone: no such model folder"):
            model_folder.find_model("gone")
        monkeypatch.setenv("SPEECHVQ_MODEL", "gone")
        with pytest.raises(FileNotFoundError, match="SPEECHVQ_MODEL: gone: no such model folder"):
            model_folder.find_model()

    def test_load_is_public(self, tiny_config):
        make_model("exp/a/b", tiny_config)
        assert speechvq.load().config == tiny_config


def test_a_config_from_plain_values():
    values = {"strides": [2, 4], "encoder_channels": [8, 16], "beta": 1, "wavenet": {"layers": 3}}
    config = model_folder.build_config(values)
    assert config.strides == (2, 4)
    assert config.encoder_channels == (8, 16)
    assert config.beta == 1.0
    assert isinstance(config.beta, float)
    assert config.wavenet.layers == 3
    assert model_folder.build_config({}) == VQVAEConfig()
