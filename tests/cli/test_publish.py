"""speechvq-publish: what is checked, what goes up; the Hub is a stub."""

import json
import shutil
from types import SimpleNamespace

import pytest
import torch

from speechvq import hub, model_folder, prior_folder
from speechvq.cli import publish
from speechvq.config import DataConfig, PriorConfig, WaveNetConfig
from speechvq.model import Model
from speechvq.models.prior import Prior
from speechvq.publishing import card_faults
from speechvq.training.card import with_enrolled

CARD = """# Voices

## Data

Ten minutes of p225 and p226.

## Limits

Rough.

## Licence

CC BY 4.0.
"""


@pytest.fixture(scope="module")
def saved(tiny_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("publish") / "vqvae"
    torch.manual_seed(0)
    model = Model(tiny_config, ["p225", "p226"]).eval()
    data = {"data": DataConfig(train="train.jsonl")}
    model_folder.save_model(folder, model, data, CARD)
    small = PriorConfig(
        wavenet=WaveNetConfig(
            layers=1, dilation_cycle=1, residual_channels=4, skip_channels=4, output_channels=4
        ),
    )
    prior = Prior(small, model.codebook_size, model.speakers)
    codebook = model_folder.codebook_of(model)
    prior_folder.save_prior(folder / "prior", prior, codebook, {}, CARD)
    (folder / "metrics.jsonl").write_text("{}\n")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.safetensors").write_bytes(b"1")
    (folder / "prior" / "codes").mkdir()
    (folder / "prior" / "codes" / "train.txt").write_text("1")
    return folder


@pytest.fixture
def folder(saved, tmp_path, monkeypatch):
    shutil.copytree(saved, tmp_path / "vqvae")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "vqvae"


@pytest.fixture
def sent(monkeypatch):
    """A stub of HfApi: what it was told to do."""
    huggingface_hub = pytest.importorskip("huggingface_hub")
    calls = []

    class Api:
        def create_repo(self, repository, **how):
            calls.append(("create_repo", repository, how))

        def create_branch(self, repository, **how):
            calls.append(("create_branch", repository, how))

        def upload_folder(self, **how):
            calls.append(("upload_folder", how.pop("repo_id"), how))
            return SimpleNamespace(commit_url="https://hub/commit/1")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return calls


def run(capsys, *arguments, code=0):
    assert publish.main(["vqvae", "hf://me/voices", *arguments]) == code
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if ": model: " not in line]
    return out, [line.removeprefix("speechvq-publish: ") for line in lines]


def test_a_dry_run_sends_nothing(folder, sent, capsys):
    out, errors = run(capsys, "--dry-run")
    assert errors == [] and sent == []
    *files, total, last = out.splitlines()
    assert [line.split()[-1] for line in files] == list(hub.FILES)
    size = sum((folder / name).stat().st_size for name in hub.FILES)
    assert total.split()[:2] == [f"{size / 1e6:.3f}", "MB"]
    assert total.endswith("left out: checkpoints/, metrics.jsonl")
    assert last == "nothing was sent (--dry-run)"


def test_what_is_sent(folder, sent, capsys):
    out, _ = run(capsys, "--private")
    assert out.splitlines()[-1] == "https://hub/commit/1"
    create, upload = sent
    assert create == ("create_repo", "me/voices", {"private": True, "exist_ok": True})
    assert upload[:2] == ("upload_folder", "me/voices")
    assert upload[2]["allow_patterns"] == list(hub.FILES)
    assert upload[2]["folder_path"] == model_folder.find_model("vqvae")
    assert upload[2]["revision"] is None


def test_a_branch_and_json(folder, sent, capsys):
    shutil.rmtree(folder / "prior")
    assert publish.main(["vqvae", "hf://me/voices@v2", "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["commit"] == "https://hub/commit/1"
    assert list(outcome["files"]) == list(hub.FILES[:4])
    assert [call[0] for call in sent] == ["create_repo", "create_branch", "upload_folder"]
    assert sent[1][2]["branch"] == sent[2][2]["revision"] == "v2"


def test_every_fault_is_told_and_nothing_is_sent(folder, sent, capsys):
    (folder / "README.md").write_text("# Voices\n\n## Data\n\nx\n")
    (folder / "config.yaml").write_text("model: {}\n")
    (folder / "speakers.json").write_text('[{"name": "p999"}]')
    (folder / "prior" / "README.md").unlink()
    out, errors = run(capsys, code=2)
    assert out == "" and sent == []
    assert [error.removeprefix("error: vqvae/") for error in errors] == [
        "config.yaml: differs from the header of model.safetensors, which is the truth; remove it",
        "speakers.json: differs from the header of model.safetensors, which is the truth; "
        "remove it",
        "README.md: no section '## Limits' with something in it",
        "README.md: no section '## Licence' with something in it",
        "README.md: names neither the 2 speakers nor their number",
        "prior/README.md: there is no model card; write data, speakers, limits and licence into it",
    ]


def test_a_damaged_model_and_a_foreign_prior(folder, sent, capsys, tiny_config):
    whole = (folder / "model.safetensors").read_bytes()
    torch.manual_seed(1)
    model_folder.save_model(folder, Model(tiny_config, ["p225", "p226"]), {}, CARD)
    _, errors = run(capsys, code=2)
    assert len(errors) == 1 and "prior/model.safetensors: trained on the codes of" in errors[0]
    (folder / "model.safetensors").write_bytes(whole[:-9])
    _, errors = run(capsys, code=2)
    assert len(errors) == 1 and "truncated or not a safetensors file" in errors[0]
    assert sent == []


def test_a_prior_that_is_not_whole(folder, sent, capsys):
    (folder / "prior" / "config.yaml").write_text("x: 1\n")
    _, errors = run(capsys, code=2)
    assert len(errors) == 1 and "prior/config.yaml: differs from the header" in errors[0]
    (folder / "prior" / "model.safetensors").unlink()
    _, errors = run(capsys, code=2)
    assert len(errors) == 1 and "vqvae/prior: no prior there" in errors[0]
    assert sent == []


def test_an_enrolled_speaker_is_beside_the_number_of_those_learned_from(tmp_path):
    card = with_enrolled(CARD.replace("p225 and p226", "2 speakers"), "me", "30 s of speech")
    (tmp_path / "README.md").write_text(card)
    assert not list(card_faults(tmp_path / "README.md", ["p225", "p226", "me"]))
    (fault,) = card_faults(tmp_path / "README.md", ["p225", "p226", "p227", "me"])
    assert "names neither the 3 speakers nor their number" in fault
    listed = CARD.replace("p225 and p226", "3 speakers").replace("Rough.", "- p225: rough.")
    (tmp_path / "README.md").write_text(listed)  # a list elsewhere is not of enrolled speakers
    assert not list(card_faults(tmp_path / "README.md", ["p225", "p226", "p227"]))


def test_paths_of_this_machine_are_told(folder, sent, capsys, tiny_config):
    shutil.rmtree(folder / "prior")
    data = {"data": DataConfig(train="/home/me/train.jsonl")}
    model_folder.save_model(folder, Model(tiny_config, ["p225", "p226"]), data, CARD)
    _, errors = run(capsys, "--dry-run")
    assert errors == [
        "warning: the header of the weights names a path of this machine: /home/me/train.jsonl"
    ]


def test_a_wrong_address(folder, sent, capsys):
    assert publish.main(["vqvae", "me/voices"]) == 2
    assert "me/voices: expected hf://OWNER/NAME" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("card", "fault"),
    [
        (CARD, None),
        (CARD.replace("p225 and p226", "2 people"), None),
        (CARD.replace("## Licence", "### License and attribution"), None),
        (CARD.replace("Ten minutes", "### LibriSpeech\n\nTen minutes"), None),
        (CARD.replace("p226", "p2266"), "names neither the 2 speakers"),
        (CARD.replace("p225 and p226", "2.5 h, 12 people, 2,000"), "names neither the 2 speakers"),
        (CARD.replace("Rough.", ""), "'## Limits'"),
        (
            CARD.replace("CC BY 4.0.", "The licence of the training data decides; check."),
            "the licence is left open",
        ),
    ],
)
def test_cards(tmp_path, card, fault):
    (tmp_path / "README.md").write_text(card)
    faults = list(card_faults(tmp_path / "README.md", ["p225", "p226"]))
    assert len(faults) == (fault is not None)
    assert not faults or fault in faults[0]
