"""Training a prior: its codes, its folder, its resumption."""

import logging
import shutil
import signal
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from speechvq import model_folder
from speechvq.codes import read_codes
from speechvq.config import LoopConfig, PriorConfig, PriorStage, WaveNetConfig
from speechvq.data.manifest import read_manifest, write_manifest
from speechvq.distributed import Processes
from speechvq.model import Model
from speechvq.models.prior import Prior
from speechvq.prior_folder import load_prior
from speechvq.sampling import encode
from speechvq.training.checkpoint import LAST, _load
from speechvq.training.metrics import FILE
from speechvq.training.objectives.prior import PriorObjective
from speechvq.training.prior import _stage, held_out_bits, train_prior
from speechvq.training.trainer import Interrupted, Trainer

CONFIG = PriorConfig(condition_channels=4, wavenet=WaveNetConfig(2, 2, 2, 8, 8, 16, dropout=0.1))
STAGE = PriorStage(steps=12, batch_size=4, segment_length=128, learning_rate=2e-2, warmup_steps=2)
TRAINING = LoopConfig(
    precision="float32",
    log_every=4,
    valid_every=6,
    checkpoint_every=100,
    tensorboard=False,
)


@pytest.fixture(scope="module")
def manifests(tiny_corpus):
    return {"train": tiny_corpus.train, "valid": tiny_corpus.valid}


@pytest.fixture
def model(tiny_config, tmp_path):
    """A model folder whose codes are worth learning: untrained, but with all codes in use."""
    torch.manual_seed(0)
    vqvae = Model(tiny_config, ["p225", "p226"])
    with torch.no_grad():
        z = vqvae.latents(torch.randn(1, 4000))[0]
        vqvae.vqvae.quantizer.initialise(z)
    model_folder.save_model(tmp_path / "vqvae", vqvae, {}, "card")
    return tmp_path / "vqvae"


def final(folder):
    return {name: x for name, x in _load(folder / LAST).items() if "num_batches" not in name}


def test_the_folder(model, manifests, read_lines):
    folder = train_prior(model, CONFIG, STAGE, TRAINING, manifests)
    assert folder == model / "prior"
    vqvae = model_folder.load_model(model)
    codebook = model_folder.codebook_of(vqvae)
    prior = load_prior(model, codebook)
    assert prior.config == CONFIG and prior.speakers == ["p225", "p226"]
    assert not prior.training
    records = read_lines(folder / FILE)
    valid = [r for r in records if r["kind"] == "valid"]
    assert [r["step"] for r in valid] == [6, 12]
    utterances = read_manifest(manifests["valid"])
    kept = read_codes(folder / "codes" / "valid.txt")[1]
    codes = [kept[u.id] for u in utterances]
    bits = np.concatenate(held_out_bits(prior, codes, [0, 1]))
    assert min(r["bits_per_code"] for r in valid) == pytest.approx(bits.mean(), rel=1e-4)
    assert valid[-1]["bits_per_code"] < 3.0  # fewer than log2 K
    assert valid[-1]["bits_per_second"] == pytest.approx(valid[-1]["bits_per_code"] * 500)
    card = (folder / "README.md").read_text()
    assert codebook.model in card and f"{bits.mean():.3f}" in card and "3.000" in card


@pytest.mark.parametrize("G", [1, 4])
def test_codes_of_a_cut_are_scored_where_the_past_is_known(G):
    """There they cost what they cost in the whole utterance."""
    torch.manual_seed(0)
    prior = Prior(CONFIG, 8, ["p225"], G).eval()
    shape = (60,) if G == 1 else (60, G)
    whole = np.random.default_rng(0).integers(0, 8, shape)
    utterances = {part: [SimpleNamespace(speaker="p225")] for part in ("train", "valid")}
    stage = _stage(
        PriorObjective(prior, 1.0),
        replace(STAGE, segment_length=20),
        TRAINING,
        utterances,
        {"train": [whole], "valid": [whole]},
        Processes(torch.device("cpu")),
    )
    expected = held_out_bits(prior, [whole], [0])[0]
    cuts = 0
    for codes, scored, speaker in (stage.batches[step] for step in range(5)):
        with torch.no_grad():
            found = prior.nll(codes, speaker).numpy() / np.log(2)
        for row, marks, bits in zip(codes.numpy(), scored.numpy(), found, strict=True):
            (start,) = [i for i in range(41) if (whole[i : i + 20] == row).all()]
            first = CONFIG.wavenet.receptive_field + G - 1 if start else 0
            last = 20 - (G - 1 if start < 40 else 0)  # K stands after a cut as after the end
            assert marks.tolist() == [first <= i < last for i in range(20)]
            known = slice(first, last)
            np.testing.assert_allclose(bits[known], expected[start:][known], rtol=1e-4)
            cuts += start > 0
    assert cuts > 5


def test_segments_are_named():
    """By the utterance, and the seconds of the code at which they begin."""
    prior = Prior(CONFIG, 8, ["p225"], 1)
    codes = [np.random.default_rng(i).integers(0, 8, 60) for i in range(3)]
    utterances = [SimpleNamespace(speaker="p225", id=f"u{i}") for i in range(3)]
    stage = _stage(
        PriorObjective(prior, 50.0),
        replace(STAGE, segment_length=20),
        TRAINING,
        {"train": utterances, "valid": utterances},
        {"train": codes, "valid": codes},
        Processes(torch.device("cpu")),
    )
    for step in range(5):
        for name, row in zip(stage.named(step), stage.batches[step].codes.numpy(), strict=True):
            id, _, start, _ = name.split(" ")
            first = round(50 * float(start))
            assert np.array_equal(codes[int(id[1:])][first : first + 20], row)


def test_codes_are_found_once(model, manifests, monkeypatch):
    folder = train_prior(model, CONFIG, STAGE, TRAINING, manifests)
    vqvae = model_folder.load_model(model)
    for part, manifest in manifests.items():
        codebook, kept = read_codes(folder / "codes" / f"{part}.txt")
        assert codebook == model_folder.codebook_of(vqvae)
        for u in read_manifest(manifest):
            from speechvq import audio

            waveform, _ = audio.read(u.path, vqvae.sample_rate)
            np.testing.assert_array_equal(kept[u.id], encode(vqvae, waveform))
    monkeypatch.setattr(
        "speechvq.training.prior.encode_utterances", lambda *_: pytest.fail("encoded again")
    )
    train_prior(model, CONFIG, STAGE, TRAINING, manifests, overwrite=True)
    train_prior(model, CONFIG, STAGE, TRAINING, manifests, model.parent / "other", folder / "codes")


def test_stale_codes_are_refused(model, manifests, tiny_config):
    train_prior(model, CONFIG, STAGE, TRAINING, manifests)
    torch.manual_seed(1)
    vqvae = Model(tiny_config, ["p225", "p226"])
    model_folder.save_model(model, vqvae, {}, "card")
    with pytest.raises(ValueError, match=r"train\.txt: stale, the codes of model .*; delete"):
        train_prior(model, CONFIG, STAGE, TRAINING, manifests, overwrite=True)
    with pytest.raises(ValueError, match=r"trained on the codes of model .* train a prior"):
        load_prior(model, model_folder.codebook_of(vqvae))


def test_codes_of_other_utterances_are_refused(model, manifests):
    folder = train_prior(model, CONFIG, STAGE, TRAINING, manifests) / "codes"
    shutil.copy(folder / "valid.txt", folder / "train.txt")
    with pytest.raises(ValueError, match=r"train\.txt: no codes of p225_train0 in it \(6 utter"):
        train_prior(model, CONFIG, STAGE, TRAINING, manifests, overwrite=True)


def test_codes_of_longer_recordings_are_refused(model, manifests):
    folder = train_prior(model, CONFIG, STAGE, TRAINING, manifests) / "codes"
    lines = (folder / "train.txt").read_text().splitlines()
    lines = [line.rsplit(" ", 2)[0] if line.startswith("p225_train0") else line for line in lines]
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"train\.txt: stale, \d+ codes of p225_train0, which has"):
        train_prior(model, CONFIG, STAGE, TRAINING, manifests, overwrite=True)


@pytest.mark.parametrize("after", [3, 6, 7])
def test_resume_is_exact(model, manifests, monkeypatch, after):
    straight = train_prior(model, CONFIG, STAGE, TRAINING, manifests, model.parent / "straight")
    step = Trainer._step

    def stopped(self, *arguments):
        step(self, *arguments)
        if self.state.global_step == after:
            self._signal = signal.SIGINT

    out = model.parent / "resumed"
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Trainer, "_step", stopped)
        train_prior(model, CONFIG, STAGE, TRAINING, manifests, out)
    train_prior(model, CONFIG, STAGE, TRAINING, manifests, out, resume=True)
    for name, tensor in final(straight).items():
        assert torch.equal(final(out)[name], tensor), name


def test_two_processes_are_one(model, manifests, launch, read_lines):
    config = replace(CONFIG, wavenet=replace(CONFIG.wavenet, dropout=0.0))
    one = train_prior(model, config, STAGE, TRAINING, manifests, model.parent / "one")
    program = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from speechvq.config import *\n"
        "from speechvq.training.prior import train_prior\n"
        f"settings = {config!r}, {STAGE!r}, {TRAINING!r}, {manifests!r}\n"
        "train_prior(sys.argv[1], *settings, sys.argv[2])\n"
    )
    two = model.parent / "two"
    assert launch(program, 2, str(model), str(two)) == ["", ""]
    bits = [
        [r["bits_per_code"] for r in read_lines(folder / FILE) if r["kind"] == "valid"]
        for folder in (one, two)
    ]
    # Each process takes the mean over the scored codes of its own rows
    assert bits[1] == pytest.approx(bits[0], rel=0.02)


def test_a_training_is_not_lost(model, manifests):
    train_prior(model, CONFIG, STAGE, TRAINING, manifests)
    with pytest.raises(ValueError, match="holds a training already; --resume continues it"):
        train_prior(model, CONFIG, STAGE, TRAINING, manifests)
    other = replace(TRAINING, seed=1)
    with pytest.raises(ValueError, match=r"^training\.seed: this training was started with 0"):
        train_prior(model, CONFIG, STAGE, other, manifests, resume=True)
    train_prior(model, CONFIG, STAGE, other, manifests, overwrite=True)


def test_speakers_whom_the_model_does_not_know(model, manifests, tmp_path, caplog):
    utterances = read_manifest(manifests["train"])
    mixed, foreign = tmp_path / "mixed.jsonl", tmp_path / "foreign.jsonl"
    write_manifest(mixed, [*utterances, replace(utterances[0], id="x", speaker="p999")], ["/"])
    write_manifest(foreign, [replace(utterances[0], speaker="p999")], ["/"])
    with caplog.at_level(logging.WARNING):
        train_prior(model, CONFIG, STAGE, TRAINING, manifests | {"train": str(mixed)})
    assert "1 utterances of speakers unknown to the model are left out" in caplog.text
    with pytest.raises(ValueError, match="no utterance by a speaker of the model"):
        train_prior(
            model, CONFIG, STAGE, TRAINING, manifests | {"train": str(foreign)}, tmp_path / "none"
        )


def test_a_folder_without_a_prior(model):
    codebook = model_folder.codebook_of(model_folder.load_model(model))
    with pytest.raises(FileNotFoundError, match="no prior there; train one with"):
        load_prior(model, codebook)
    with pytest.raises(FileNotFoundError):
        load_prior(model / "nowhere", codebook)
    (model / "prior").mkdir()
    shutil.copy(model / "model.safetensors", model / "prior")
    with pytest.raises(FileNotFoundError, match="no prior there"):  # but a model
        load_prior(model, codebook)


def test_a_batch_that_does_not_divide(model, manifests, monkeypatch):
    from speechvq.training import prior as module

    monkeypatch.setattr(
        module.CodeBatches, "__init__", lambda self, *_, **__: (_ for _ in ()).throw(
            ValueError("batch_size: 3 utterances do not divide among 2 processes")
        ),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"^stages\.prior\.batch_size: 3 utterances"):
        train_prior(model, CONFIG, STAGE, TRAINING, manifests)
