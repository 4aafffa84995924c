"""Models on the Hugging Face Hub: addresses, and fetching with a stubbed and an offline Hub."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch

import speechvq
from speechvq import hub, model_folder, prior_folder
from speechvq.cli import encode, enroll, train
from speechvq.cli.analyzing import beside
from speechvq.model import Model

ROOT = Path(__file__).parents[1]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def saved(tiny_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "vqvae"
    torch.manual_seed(0)
    model_folder.save_model(folder, Model(tiny_config, ["p225", "p226"]), {}, "card")
    return folder


@pytest.fixture
def huggingface_hub():
    return pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")


@pytest.fixture
def fetching(saved, tmp_path, monkeypatch, huggingface_hub):
    """A stub of snapshot_download: what it was asked for, and a snapshot in a cache of its own."""
    snapshot = tmp_path / "models--me--voices" / "snapshots" / COMMIT
    shutil.copytree(saved, snapshot)
    asked = []

    def snapshot_download(repository, **how):
        asked.append((repository, how))
        return str(snapshot)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_a_model_is_fetched_and_loaded(saved, fetching):
    model = speechvq.load("hf://me/voices")
    assert model_folder.fingerprint(model) == model_folder.fingerprint(speechvq.load(saved))
    speechvq.load("hf://me/voices@v1.2")
    asked = {"allow_patterns": list(hub.FILES)}
    assert fetching == [
        ("me/voices", {"revision": None, **asked}),
        ("me/voices", {"revision": "v1.2", **asked}),
    ]


def test_only_the_files_of_model_and_prior_are_fetched():
    prior = {f"{prior_folder.FOLDER}/{name}" for name in ("model.safetensors", "config.yaml")}
    model = {getattr(model_folder, name) for name in ("WEIGHTS", "CONFIG", "SPEAKERS", "CARD")}
    assert set(hub.FILES) == model | prior | {"prior/README.md"}


def test_the_environment_names_an_address_too(fetching, monkeypatch):
    monkeypatch.setenv(model_folder.ENVIRONMENT, "hf://me/voices")
    assert model_folder.find_model().name == COMMIT
    assert [repository for repository, _ in fetching] == ["me/voices"]


@pytest.mark.parametrize("name", ["me/voices", "./hf://me/voices", Path("hf://me/voices")])
def test_the_name_of_a_folder_never_goes_to_the_network(name, fetching):
    with pytest.raises(FileNotFoundError, match="no such model folder"):
        model_folder.find_model(name)
    assert fetching == []


@pytest.mark.parametrize(
    "address",
    ["hf://", "hf://me", "hf://me/voices/deep", "hf://me/voices@", "hf://../voices x", "hf://é/v"],
)
def test_another_form_of_address(address, fetching):
    with pytest.raises(ValueError, match="expected hf://OWNER/NAME"):
        model_folder.find_model(address)
    assert fetching == []


def test_a_repository_without_a_model(fetching, tmp_path):
    shutil.rmtree(tmp_path / "models--me--voices")
    (tmp_path / "models--me--voices" / "snapshots" / COMMIT).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors in it"):
        speechvq.load("hf://me/voices")


def test_errors_of_the_hub_are_one_line(monkeypatch, huggingface_hub, capsys):
    of = huggingface_hub.errors
    for error, line in (
        (of.RepositoryNotFoundError.__new__(of.RepositoryNotFoundError), "no such repository, or"),
        (of.RevisionNotFoundError.__new__(of.RevisionNotFoundError), "has no such revision"),
        (of.GatedRepoError.__new__(of.GatedRepoError), "access must be asked for"),
        (of.LocalEntryNotFoundError("a\nb"), "cannot be reached, and it was not fetched before"),
        (of.HFValidationError("bad name\nmore"), "hf://me/voices: bad name"),
        (ConnectionError(), "hf://me/voices: ConnectionError"),
    ):
        fail = MagicMock(side_effect=error)
        monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
        assert encode.main(["--src", str(ROOT / "README.md"), "--model", "hf://me/voices"]) == 2
        err = capsys.readouterr().err
        assert err.startswith("speechvq-encode: error: hf://me/voices: ") and err.count("\n") == 1
        assert line in err


def test_without_huggingface_hub_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"needs huggingface_hub; install it: pip install"):
        speechvq.load("hf://me/voices")


def test_nothing_is_written_into_the_cache(fetching, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    speechvq.audio.write("a.wav", torch.rand(8000).numpy() - 0.5, 8000)
    arguments = ["--model", "hf://me/voices", "--name", "me", "--wavs", "a.wav"]
    assert enroll.main(arguments) == 2
    assert "is the Hub's cache, not yours to change; pass --out" in capsys.readouterr().err
    assert train.main(["prior", "--model", "hf://me/voices"]) == 2
    assert "the Hub's cache, not yours to change; pass --out" in capsys.readouterr().err
    snapshot = model_folder.find_model("hf://me/voices")
    assert beside(snapshot, "phonemes") == Path("phonemes")
    assert beside(tmp_path / "vqvae", "phonemes") == tmp_path / "phonemes"


def test_the_real_package_finds_a_snapshot_offline(saved, tmp_path, huggingface_hub):
    """In a cache laid out as the Hub's, with the network refused by huggingface_hub itself."""
    cache = tmp_path / "hub" / "models--me--voices"
    shutil.copytree(saved, cache / "snapshots" / COMMIT)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(COMMIT)
    code = "import sys; from speechvq import hub; print(hub.local_folder(sys.argv[1]))"
    offline = {"HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
    done = [
        subprocess.run(
            [sys.executable, "-c", code, address],
            env=os.environ | offline | {"HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        for address in ("hf://me/voices", "hf://me/others")
    ]
    assert Path(done[0].stdout.strip()) == cache / "snapshots" / COMMIT, done[0].stderr
    assert done[1].stderr.splitlines()[-1].startswith("OSError: hf://me/others: the Hub cannot")
