"""Model folders: written, read back, found; and every way in which one can be damaged."""

import json
import logging
import os
import subprocess
import sys

import pytest
import torch

import speechvq
from speechvq import model_folder
from speechvq.config import DataConfig, ModelConfig, TrainingConfig
from speechvq.model import Model
from speechvq.training.add_speaker import add_speaker
from speechvq.weights import read_header, read_weights, write_weights

SPEAKERS = ["p225", "p226"]


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    return Model(tiny_config, SPEAKERS).eval()


@pytest.fixture
def folder(model, tmp_path):
    model_folder.save_model(tmp_path / "m", model, {"training": TrainingConfig()}, "# A card\n")
    return tmp_path / "m"


def make_model(folder, config, seed=0):
    torch.manual_seed(seed)
    model_folder.save_model(folder, Model(config, SPEAKERS), {}, "card")


def test_a_model_survives_the_folder(model, folder):
    loaded = model_folder.load_model(folder)
    assert loaded.config == model.config
    assert loaded.speakers == SPEAKERS
    assert not any(module.training for module in loaded.modules())
    waveform = torch.rand(1, 100) - 0.5
    for got, expected in zip(
        loaded.state_dict().values(), model.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(loaded.encode(waveform), model.encode(waveform))
    assert (folder / "README.md").read_text() == "# A card\n"
    assert {p.name for p in folder.iterdir()} == {
        "config.yaml", "model.safetensors", "speakers.json", "README.md",
    }  # fmt: skip


def test_a_streaming_model_survives_the_folder(tiny_streaming_config, tmp_path):
    torch.manual_seed(0)
    model = Model(tiny_streaming_config, SPEAKERS).eval()
    model.vqvae.encoder.running_mean.mean.normal_()
    model.vqvae.quantizer.initialise(torch.randn(50, 4))
    model.mel_predictor.fit(0.1 * torch.randn(1, 4000))
    model_folder.save_model(tmp_path, model, {}, "card")
    loaded = model_folder.load_model(tmp_path)
    assert loaded.config == model.config
    assert loaded.vqvae.quantizer.started and loaded.mel_predictor.fitted
    expected = model.state_dict()
    for name, got in loaded.state_dict().items():
        torch.testing.assert_close(got, expected[name], rtol=0, atol=0, equal_nan=True)
    waveform = torch.rand(1, 1000) - 0.5
    assert torch.equal(loaded.encode(waveform), model.encode(waveform))
    codebook = model_folder.codebook_of(loaded)
    assert (codebook.codebook_size, codebook.codebooks, codebook.hop_length) == (8, 2, 80)
    assert codebook.model == model_folder.fingerprint(model)


def test_the_fingerprint_is_of_every_codebook(tiny_streaming_config):
    """And of what the encoder has learned, not of the decoder or the mel predictor."""
    torch.manual_seed(0)
    model = Model(tiny_streaming_config, SPEAKERS).eval()
    before = model_folder.fingerprint(model)
    for tensor in (
        *model.vqvae.quantizer.codebooks,
        model.vqvae.encoder.running_mean.mean,
        model.vqvae.encoder.filterbank.sines,
    ):
        kept = tensor.detach().clone()
        with torch.no_grad():
            tensor[0] += 1
            assert model_folder.fingerprint(model) != before
            tensor.copy_(kept)
    with torch.no_grad():
        model.mel_predictor.table.weight += 1
        model.vqvae.decoder.conditioner.speakers.weight += 1
    assert model_folder.fingerprint(model) == before


def test_the_folder_keeps_the_other_sections(model, tmp_path):
    config = {"data": DataConfig(train="x.jsonl"), "training": {"seed": 3}}
    model_folder.save_model(tmp_path, model, config, "card")
    values = model_folder.read_config(tmp_path)
    assert values["data"]["train"] == "x.jsonl"
    assert values["training"] == {"seed": 3}
    assert model_folder.build_config(values["model"]) == model.config
    assert list(values)[0] == "model"


def test_nothing_is_pickled(folder):
    """The weights begin with a length and a JSON header, as the safetensors format has it."""
    content = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert json.loads(content[8 : 8 + length])["__metadata__"]["format"] == model_folder.FORMAT


def test_the_weights_alone_are_the_model(folder, model):
    """Exports that are missing, damaged or edited do not matter."""
    expected = model_folder.fingerprint(model)
    (folder / "config.yaml").write_text("model: {sample_rate: 1}")
    (folder / "speakers.json").write_text('[{"name": "p226"}, {"name": "p225"}]')
    for _ in range(2):
        loaded = model_folder.load_model(folder)
        assert loaded.config == model.config and loaded.speakers == SPEAKERS
        assert model_folder.fingerprint(loaded) == expected
        assert model_folder.read_config(folder)["training"]["seed"] == 0
        for name in ("config.yaml", "speakers.json", "README.md"):
            (folder / name).unlink(missing_ok=True)


def test_missing_weights(folder):
    (folder / "model.safetensors").unlink()
    for read in (model_folder.load_model, model_folder.read_speakers, model_folder.read_config):
        with pytest.raises(FileNotFoundError, match=r"no model\.safetensors in it; a model folder"):
            read(folder)


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


@pytest.mark.parametrize("junk", [b"junk", bytes(8), b"\xff" * 64, b"\x02" + bytes(7) + b"[]"])
def test_weights_that_are_none(folder, junk):
    (folder / "model.safetensors").write_bytes(junk)
    for read in (model_folder.load_model, model_folder.read_speakers, model_folder.read_config):
        with pytest.raises(ValueError, match=r"model\.safetensors: truncated or not a safetensors"):
            read(folder)


def change(folder, **entries):
    """Set entries of the header; None removes one."""
    tensors, header = read_weights(folder / "model.safetensors")
    header = {key: value for key, value in (header | entries).items() if value is not None}
    write_weights(folder / "model.safetensors", tensors, header)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("quantizer.codebok_size", 3, r"quantizer\.codebok_size: no such setting; did you mean mo"),
        ("decoder.wavenet.layer", 3, r"decoder\.wavenet\.layer: no such setting; did you mean mod"),
        ("quantizer.codebook_size", "8", r"codebook_size: expected a whole number, got '8'"),
        ("quantizer.codebook_size", True, r"codebook_size: expected a whole number, got True"),
        ("quantizer.codebook_size", None, r"codebook_size: expected a whole number, got nothing"),
        ("quantizer.codebook_size", 1, r"quantizer\.codebook_size: must be at least 2, got 1"),
        ("quantizer.update", "sgd", r"quantizer\.update: expected one of ema, loss, got 'sgd'"),
        ("encoder.strides", 4, r"encoder\.strides: expected a list such as \[4, 4\], got 4"),
        ("encoder.strides", [4, "4"], r"encoder\.strides\[1\]: expected a whole number"),
        ("encoder.channels", "wide", r"encoder\.channels: expected a whole number or a list"),
        ("encoder.kind", "stridden", r"encoder\.kind: no such kind: 'stridden'; did you mean str"),
        (
            "features.kind",
            "normalised_cepstra",
            r"features\.kind: normalised_cepstra is gone, .*age$",
        ),
        ("decoder.wavenet", 3, r"decoder\.wavenet: expected keys and values, got 3"),
    ],
)
def test_a_spoilt_configuration(folder, path, value, message):
    config = model_folder.read_config(folder)
    *keys, last = path.split(".")
    section = config["model"]
    for key in keys:
        section = section[key]
    section[last] = value
    change(folder, config=json.dumps(config))
    with pytest.raises(ValueError, match=rf"model\.safetensors: .*{message}") as caught:
        model_folder.load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_configuration_of_another_size(folder):
    config = model_folder.read_config(folder)
    config["model"]["quantizer"]["codebook_size"] = 16
    change(folder, config=json.dumps(config))
    with pytest.raises(ValueError, match=r"has shape \(8,.*\), expected \(16,"):
        model_folder.load_model(folder)


@pytest.mark.parametrize(
    "spoilt",
    [
        {"data": [1]},
        {"data": {"test": 3}},
        {"data": {"train": ["a"]}},
        {"data": {"level": "loud"}},
        {"data": {"level": float("nan")}},
        {"data": {"level": 10**400}},
        {"stages": 3},
        {"stages": [1]},
        {"stages": [{"steps": "many", "objective": "mel"}]},
        {"stages": [{"steps": 3}]},
    ],
)
def test_a_header_with_another_training(folder, spoilt):
    """Reports, analyses and trainings of priors look manifests and stages up."""
    change(folder, config=json.dumps(model_folder.read_config(folder) | spoilt))
    with pytest.raises(ValueError, match=rf"its header is damaged \({next(iter(spoilt))}: "):
        model_folder.read_config(folder)


@pytest.mark.parametrize("text", [None, "", "3", "[]", "{", "{}", '{"model": 3}', "[" * 5000])
def test_a_header_without_a_configuration(folder, text):
    change(folder, config=text)
    for read in (model_folder.load_model, model_folder.read_config):
        with pytest.raises(ValueError, match=r"model\.safetensors: its header is damaged \("):
            read(folder)


@pytest.mark.parametrize(
    "text", [None, "", "[]", "3", '["p225", 3]', '["a", "a"]', '{"a": 1}', '["a", "../a"]']
)
def test_spoilt_speakers(folder, text):
    change(folder, speakers=text)
    for read in (model_folder.load_model, model_folder.read_speakers):
        with pytest.raises(ValueError, match=r"model\.safetensors: its header is damaged \("):
            read(folder)


def test_speakers_of_another_number(folder):
    change(folder, speakers='["p225"]')
    message = r"speakers\.weight' has shape \(2, 4\), expected \(1, 4\)"
    with pytest.raises(ValueError, match=message):
        model_folder.load_model(folder)


def test_speakers_are_read_without_torch(folder):
    program = (
        "import sys\n"
        "from speechvq.model_folder import read_speakers\n"
        f"print(read_speakers({str(folder)!r}), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "['p225', 'p226'] False\n", done.stderr


def test_weights_of_another_version(folder):
    path = folder / "model.safetensors"
    weights, header = read_weights(path)
    name = next(iter(weights))
    cases = [
        ({k: v for k, v in weights.items() if k != name}, f"no '{name}' in it"),
        (weights | {"more": torch.zeros(1)}, "unknown 'more' in it"),
        (weights | {name: torch.zeros(1, 2, 3)}, rf"'{name}' has shape \(1, 2, 3\), expected"),
    ]
    for tensors, message in cases:
        write_weights(path, tensors, header)
        with pytest.raises(ValueError, match=message):
            model_folder.load_model(folder)
    for kind in ("speechvq 1", model_folder.PRIOR_FORMAT, None):
        write_weights(path, weights, {"format": kind} if kind else {})
        for read in (model_folder.load_model, model_folder.read_speakers):
            with pytest.raises(ValueError, match=f"format {kind!r}, expected"):
                read(folder)


def test_a_device_that_is_not_there(folder):
    for device in ("cuda:99", "toaster", "meta"):
        with pytest.raises(ValueError, match=f"device '{device}' cannot be used here"):
            model_folder.load_model(folder, device)


def kill_before(monkeypatch, name):
    """Interrupt the writing of files before one of them gets its name."""
    replace = os.replace

    def replace_until(source, target):
        if os.path.basename(target) == name:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_until)


@pytest.mark.parametrize("name", ["config.yaml", "speakers.json", "README.md", "model.safetensors"])
def test_a_killed_save_leaves_the_old_model(folder, model, tiny_config, monkeypatch, name):
    torch.manual_seed(1)
    with monkeypatch.context() as patch:
        kill_before(patch, name)
        with pytest.raises(KeyboardInterrupt):
            model_folder.save_model(folder, Model(tiny_config, ["other"]), {}, "card")
    loaded = model_folder.load_model(folder)
    assert model_folder.fingerprint(loaded) == model_folder.fingerprint(model)
    assert loaded.speakers == SPEAKERS
    assert not list(folder.glob(".*"))


def test_no_model_before_its_weights(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)
    with monkeypatch.context() as patch:
        kill_before(patch, "model.safetensors")
        with pytest.raises(KeyboardInterrupt):
            model_folder.save_model("exp/vctk/vqvae", model, {}, "card")
    assert model_folder.find_model() == model_folder.PRETRAINED


@pytest.mark.parametrize("name", ["config.yaml", "speakers.json", "README.md", "model.safetensors"])
def test_a_killed_enrolment_has_the_speaker_or_not(folder, monkeypatch, name):
    """The weights are written first, with the speaker's name."""
    vectors = [torch.ones(4), torch.ones(4)]
    with monkeypatch.context() as patch:
        kill_before(patch, name)
        with pytest.raises(KeyboardInterrupt):
            add_speaker(folder, "me", vectors, str)
    expected = SPEAKERS if name == "model.safetensors" else [*SPEAKERS, "me"]
    assert model_folder.load_model(folder).speakers == expected


def test_a_copy_with_another_speaker(folder, tmp_path):
    (folder / "config.yaml").unlink()
    out = tmp_path / "copy"
    vectors = [torch.ones(4), torch.ones(4)]
    assert add_speaker(folder, "me", vectors, str, out) == out
    assert model_folder.read_speakers(folder) == SPEAKERS
    assert model_folder.read_speakers(out) == [*SPEAKERS, "me"]
    assert model_folder.read_config(out) == model_folder.read_config(folder)
    assert {path.name for path in out.iterdir()} == {
        "config.yaml", "model.safetensors", "speakers.json", "README.md",
    }  # fmt: skip
    replaced = [torch.zeros(4), torch.zeros(4)]
    add_speaker(out, "p225", replaced, str, replace=True)
    assert model_folder.read_speakers(out) == [*SPEAKERS, "me"]
    rows = model_folder.load_model(out).vqvae.decoder.conditioner.speakers.weight
    assert not rows[0].any() and (rows[2] == 1).all()


def test_the_fingerprint_is_of_the_codes(model):
    before = model_folder.fingerprint(model)
    assert len(before) == 12
    with torch.no_grad():
        next(model.vqvae.decoder.parameters()).add_(1)
        next(model.mel_predictor.parameters()).add_(1)
    assert model_folder.fingerprint(model) == before
    with torch.no_grad():
        next(model.vqvae.encoder.parameters()).add_(1)
    changed = model_folder.fingerprint(model)
    assert changed != before
    model.vqvae.quantizer.codebook.data.add_(1)
    assert model_folder.fingerprint(model) not in (before, changed)


def test_the_fingerprint_does_not_depend_on_names(model):
    """A module of the encoder that has another name, and another place, has the same tensors."""
    before = model_folder.fingerprint(model)
    encoder = model.vqvae.encoder
    state = encoder.state_dict()
    moved = {f"z.{len(state) - i}": tensor for i, tensor in enumerate(state.values())}
    encoder.state_dict = lambda: moved
    assert model_folder.fingerprint(model) == before
    name = next(iter(moved))
    encoder.state_dict = lambda: moved | {name: moved[name].flatten()}
    assert model_folder.fingerprint(model) != before


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

    def test_a_prior_is_no_model_and_a_damaged_model_is_one(self, tiny_config):
        for i, name in enumerate(["exp/a", "exp/prior", "exp/damaged"]):
            make_model(name, tiny_config)
            os.utime(f"{name}/model.safetensors", (1000 + i, 1000 + i))
        path = model_folder.Path("exp/prior/model.safetensors")
        write_weights(path, {}, read_header(path) | {"format": model_folder.PRIOR_FORMAT})
        os.utime(path, (3000, 3000))
        assert str(model_folder.find_model()) == "exp/damaged"
        os.truncate("exp/damaged/model.safetensors", 50)
        os.utime("exp/damaged/model.safetensors", (2000, 2000))
        assert str(model_folder.find_model()) == "exp/damaged"

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
        assert {"p225", "19"} <= set(model.speakers)

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
    values = {
        "encoder": {"strides": [2, 4], "channels": [8, 16]},
        "quantizer": {"beta": 1},
        "decoder": {"wavenet": {"layers": 3}},
    }
    config = model_folder.build_config(values)
    assert config.encoder.strides == (2, 4)
    assert config.encoder.channels == (8, 16)
    assert config.quantizer.beta == 1.0
    assert isinstance(config.quantizer.beta, float)
    assert config.decoder.wavenet.layers == 3
    assert model_folder.build_config({}) == ModelConfig()
