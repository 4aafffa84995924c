"""Training a VQ-VAE: stages, resume, model folder, and processes."""

import multiprocessing
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from speechvq.config import (
    CepstraStage,
    ConditionerMelPredictorConfig,
    DecoderStage,
    LikelihoodStage,
    MelPredictorStage,
    MelStage,
    PerturbationConfig,
    TrainingConfig,
)
from speechvq.data.manifest import read_manifest, write_manifest
from speechvq.data.segments import Waveforms
from speechvq.distributed import Processes
from speechvq.model import Model
from speechvq.model_folder import (
    WEIGHTS,
    fingerprint,
    load_model,
    read_config,
    read_speakers,
    save_model,
)
from speechvq.models.quantizer import Quantizer
from speechvq.training.checkpoint import LAST, _load, read_header
from speechvq.training.corpus import Corpus
from speechvq.training.metrics import FILE
from speechvq.training.train import _named, train
from speechvq.training.trainer import Interrupted, Trainer

ALONE = Processes(torch.device("cpu"))
SHORT = {"batch_size": 4, "learning_rate": 3e-3, "warmup_steps": 2}
CEPSTRA = CepstraStage(steps=2, segment_length=512, **SHORT)
MEL_PREDICTOR = MelPredictorStage(steps=4, segment_length=512, **SHORT)
MEL = MelStage(steps=4, segment_length=512, **SHORT)
DECODER = DecoderStage(steps=4, segment_length=256, **SHORT)
LIKELIHOOD = LikelihoodStage(steps=4, segment_length=256, **SHORT)
STAGES = (CEPSTRA, MEL_PREDICTOR, DECODER)
TRAINING = TrainingConfig(
    precision="float32",
    log_every=2,
    valid_every=3,
    checkpoint_every=100,
    valid_utterances=2,
    samples=0,
    tensorboard=False,
)


def interrupt_before(monkeypatch, global_step):
    """Ctrl-C during the step that follows `global_step` steps."""
    step = Trainer._step

    def stopped(self, *arguments):
        step(self, *arguments)
        if self.state.global_step == global_step:
            self._signal = signal.SIGINT

    monkeypatch.setattr(Trainer, "_step", stopped)


@pytest.fixture
def plain_config(tiny_config):
    """A model without a mel predictor, as in the paper."""
    return replace(tiny_config, mel_predictor=ConditionerMelPredictorConfig(bands=0))


def final(folder):
    return _load(folder / LAST)


def numbers(records):
    return [
        {k: v for k, v in r.items() if k not in ("seconds", "samples_per_second")} for r in records
    ]


@pytest.fixture(scope="module")
def straight(tmp_path_factory, tiny_config, tiny_corpus):
    folder = tmp_path_factory.mktemp("straight") / "model"
    return train(tiny_config, tiny_corpus, STAGES, TRAINING, folder)


def test_the_model_folder(straight, tiny_config, tiny_corpus):
    model = load_model(straight)
    assert model.config == tiny_config
    assert model.speakers == ["p225", "p226"]
    config = read_config(straight)
    assert [s["objective"] for s in config["stages"]] == ["cepstra", "mel_predictor", "decoder"]
    assert config["data"]["train"] == tiny_corpus.train
    assert -30 < model.speech_level < -10
    card = (straight / "README.md").read_text()
    for text in ("p225, p226", "6 utterances", "2 cepstra", "4 decoder", "bits per sample"):
        assert text in card


def test_the_metrics(straight, read_lines):
    records = read_lines(straight / FILE)
    trained = [(r["stage"], r["global_step"]) for r in records if r["kind"] == "train"]
    assert trained == [
        ("cepstra", 2),
        ("mel_predictor", 4),
        ("mel_predictor", 6),
        ("decoder", 8),
        ("decoder", 10),
    ]
    assert {r["stage"] for r in records if r["kind"] == "epoch"} == {"mel_predictor", "decoder"}
    valid = [r for r in records if r["kind"] == "valid"]
    assert [(r["stage"], r["step"]) for r in valid] == [
        ("cepstra", 2),
        ("mel_predictor", 3),
        ("mel_predictor", 4),
        ("decoder", 3),
        ("decoder", 4),
    ]
    assert "loss" in valid[0] and "perplexity" not in valid[0]
    assert {"loss", "perplexity", "dead_codes"} <= valid[1].keys()
    last = valid[-1]
    assert last["kl_bits_per_code"] == 3.0
    assert last["bitrate"] == 8000 / 16 * 3
    total = last["bits_per_sample"] * 8000 + last["bitrate"]
    assert last["total_bits_per_second"] == pytest.approx(total)
    assert 1 <= last["perplexity"] <= 8


def resumed(folder, config, data, stages, training, after, monkeypatch):
    """A training that is interrupted after some steps and resumed; nothing is started twice."""
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt_before(patch, after)
        train(config, data, stages, training, folder)
    assert read_header(folder / LAST)[0].global_step == after
    begun = read_header(folder / LAST)[0].stage
    started = []
    start = Trainer._start

    def watched(self, stage):
        started.append(stage.name)
        start(self, stage)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_start", watched)
        train(config, data, stages, training, folder, resume=True)
    labels = [stage.label for stage in stages]
    assert started == labels[labels.index(begun) + 1 :]
    return folder


@pytest.mark.parametrize("after", [1, 2, 3, 5, 6, 7, 9])
def test_resume_is_exact(
    straight, after, tmp_path, tiny_config, tiny_corpus, monkeypatch, read_lines
):
    """Within each stage, at the end of one (2, 6), and just after a codebook starts (3)."""
    resumed(tmp_path, tiny_config, tiny_corpus, STAGES, TRAINING, after, monkeypatch)
    expected, got = final(straight), final(tmp_path)
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert torch.equal(got[name], tensor), name
    assert numbers(read_lines(tmp_path / FILE)) == numbers(read_lines(straight / FILE))


@pytest.mark.parametrize("after", [2, 6])
def test_resume_of_codes_that_learn_is_exact(
    after, tmp_path, tiny_config, tiny_corpus, monkeypatch
):
    """Within the stage that trains the codebook, and within the next, which starts it anew."""
    stages = (replace(MEL, codebook="whitened"), MEL_PREDICTOR, DECODER)
    one = train(tiny_config, tiny_corpus, stages, TRAINING, tmp_path / "straight")
    args = (tmp_path / "resumed", tiny_config, tiny_corpus, stages, TRAINING, after)
    other = resumed(*args, monkeypatch)
    for name, tensor in final(one).items():
        assert torch.equal(final(other)[name], tensor), name


def test_a_joint_stage_after_a_pretext_stage(tmp_path, tiny_config, tiny_corpus):
    """Equation 3 goes on with the codebook that the mel stage has started."""
    before = train(tiny_config, tiny_corpus, (MEL,), TRAINING, tmp_path / "mel")
    still = replace(LIKELIHOOD, steps=1, learning_rate=1e-12)
    after = train(tiny_config, tiny_corpus, (MEL, still), TRAINING, tmp_path / "joint")
    one, other = load_model(before), load_model(after)
    one, other = one.vqvae, other.vqvae
    torch.testing.assert_close(one.encoder.output.weight, other.encoder.output.weight)
    moved = (one.quantizer.codebook - other.quantizer.codebook).abs().max()
    assert moved < 0.1 * one.quantizer.codebook.std()  # one step of a moving average


def test_stages_of_one_objective(tmp_path, tiny_config, tiny_corpus, read_lines):
    warm = replace(MEL, name="warm_up", quantization="none")
    train(tiny_config, tiny_corpus, (warm, MEL, DECODER), TRAINING, tmp_path)
    stages = dict.fromkeys(r["stage"] for r in read_lines(tmp_path / FILE))
    assert list(stages) == ["warm_up", "mel", "decoder"]


def test_stages_without_steps_are_left_out(tmp_path, tiny_config, tiny_corpus, read_lines):
    stages = (CEPSTRA, MEL_PREDICTOR, replace(DECODER, steps=0))
    folder = train(tiny_config, tiny_corpus, stages, TRAINING, tmp_path)
    assert {r["stage"] for r in read_lines(tmp_path / FILE)} == {"cepstra", "mel_predictor"}
    assert "The decoder is untrained" in (folder / "README.md").read_text()


def test_a_resume_does_not_drop_enrolled_speakers(tmp_path, tiny_config, tiny_corpus):
    folder = train(tiny_config, tiny_corpus, STAGES, TRAINING, tmp_path)
    names = read_speakers(folder)
    with_another = Model(tiny_config, [*names, "me"])
    save_model(folder, with_another, read_config(folder), "")
    with pytest.raises(ValueError, match="has learned me by speechvq-enroll, whom a resume would"):
        train(tiny_config, tiny_corpus, STAGES, TRAINING, tmp_path, resume=True)
    assert read_speakers(folder) == [*names, "me"]
    (folder / WEIGHTS).unlink()
    train(tiny_config, tiny_corpus, STAGES, TRAINING, tmp_path, resume=True)
    assert load_model(folder).speakers == names


def test_another_decoder_for_the_codes_of_a_model(tmp_path, tiny_config, tiny_corpus, straight):
    taken = replace(TRAINING, init_from=str(straight))
    wavenet = replace(tiny_config.decoder.wavenet, residual_channels=6)
    wider = replace(tiny_config, decoder=replace(tiny_config.decoder, wavenet=wavenet))
    second = train(wider, tiny_corpus, (DECODER,), taken, tmp_path / "second")
    assert fingerprint(load_model(second)) == fingerprint(load_model(straight))
    other = replace(tiny_config, quantizer=replace(tiny_config.quantizer, codebook_size=9))
    with pytest.raises(ValueError, match=r"^model\.quantizer: not that of .*model, whose codes"):
        train(other, tiny_corpus, (DECODER,), taken, tmp_path / "third")


def test_a_training_goes_on_from_another(tmp_path, tiny_config, tiny_corpus, straight):
    """Same speakers and settings: the mel predictor and the decoder are taken, too."""
    taken = replace(TRAINING, init_from=str(straight))
    still = replace(DECODER, steps=1, learning_rate=1e-12)
    folder = train(tiny_config, tiny_corpus, (still,), taken, tmp_path)
    one, other = load_model(straight).state_dict(), load_model(folder).state_dict()
    for name in one:
        torch.testing.assert_close(other[name], one[name], msg=name)


def test_a_decoder_that_has_learned_is_not_started_again(tmp_path, tiny_config, tiny_corpus):
    """Neither its sub-bands' scales nor its conditioner, by a second stage that trains it."""
    config = replace(tiny_config, decoder=replace(tiny_config.decoder, subbands=4))
    still = replace(LIKELIHOOD, steps=1, learning_rate=1e-12)
    one = train(config, tiny_corpus, (MEL, DECODER), TRAINING, tmp_path / "one")
    two = train(config, tiny_corpus, (MEL, DECODER, still), TRAINING, tmp_path / "two")
    one, two = (load_model(x).vqvae.decoder.state_dict() for x in (one, two))
    for name in one:
        torch.testing.assert_close(two[name], one[name], msg=name)


def test_kmeans_gets_enough_latents(tmp_path, plain_config, tiny_corpus, monkeypatch):
    seen = []
    original = Quantizer.initialise
    monkeypatch.setattr(
        Quantizer, "initialise", lambda self, z: (seen.append(z), original(self, z))
    )
    train(plain_config, tiny_corpus, (replace(LIKELIHOOD, steps=1),), TRAINING, tmp_path)
    assert len(seen) == 1
    assert len(seen[0]) >= 64 * plain_config.quantizer.codebook_size
    codebook = load_model(tmp_path).vqvae.quantizer.codebook
    assert torch.cdist(seen[0], codebook).amin(0).max() < 0.2  # among the latents


def test_settings_of_a_stage_are_named_as_in_the_file(tmp_path, tiny_config, tiny_corpus, launch):
    program = (
        "import sys\nfrom speechvq.config import *\nfrom speechvq.training.train import train\n"
        f"train({tiny_config!r}, {tiny_corpus!r}, {(replace(MEL, batch_size=3),)!r}, {TRAINING!r},"
        f" {str(tmp_path)!r}, device='cpu')\n"
    )
    errors = launch(program, 2)
    assert all("stages.mel.batch_size: 3 segments do not divide" in error for error in errors)


def test_no_model_to_find_before_the_decoder_has_learned(tmp_path, tiny_config, tiny_corpus):
    broken = (CEPSTRA, MEL_PREDICTOR, replace(LIKELIHOOD, learning_rate=1e9))
    with pytest.raises(ValueError, match="the loss became"):
        train(tiny_config, tiny_corpus, broken, replace(TRAINING, gradient_clip=1e9), tmp_path)
    assert (tmp_path / LAST).exists()
    assert not (tmp_path / WEIGHTS).exists()


@pytest.mark.parametrize("perturbed", [False, True])
def test_segments_are_named_as_they_were_drawn(tiny_config, tiny_corpus, perturbed):
    """Those that took the place of an utterance that cannot be decoded, too."""
    waveforms = Waveforms(read_manifest(tiny_corpus.train), 8000)
    waveforms.leave_out(2)
    corpus = Corpus(Model(tiny_config, ["p225", "p226"]), waveforms, None, ALONE, seed=0)
    perturbation = PerturbationConfig(gain=3.0) if perturbed else None
    batches = corpus.batches(replace(MEL, steps=20), perturbation=perturbation)
    index = {u.id: i for i, u in enumerate(waveforms.utterances)}
    for step in range(20):
        names = _named(corpus, batches, step)
        for name, row in zip(names, batches[step].waveform.numpy(), strict=True):
            id, _, start, _ = name.split(" ")
            places = range(max(0, round(8000 * float(start)) - 40), 8000)  # of two decimals
            crops = (waveforms.crop(index[id], place, len(row)) for place in places[:81])
            assert any((crop == row).all() for crop in crops), name


NAN_IN_ONE = """
import os
from speechvq.config import *
from speechvq.training.objectives.mel import MelObjective
from speechvq.training.train import train
original, rank, steps = MelObjective.forward, os.environ["RANK"], []
def forward(self, batch):
    losses = original(self, batch)
    if self.training:
        steps.append(1)
        if len(steps) == 2 and rank == "1":
            losses.total = losses.total * float("nan")
    return losses
MelObjective.forward = forward
"""


@pytest.mark.slow
def test_a_nan_names_the_segments_of_the_process_that_had_it(
    tmp_path, tiny_config, tiny_corpus, launch
):
    """In one line, which is the same in all processes."""
    program = NAN_IN_ONE + (
        f"train({tiny_config!r}, {tiny_corpus!r}, {(MEL,)!r}, {TRAINING!r}, {str(tmp_path)!r}, "
        "device='cpu')\n"
    )
    lines = [error.rpartition("ValueError: ")[2].strip() for error in launch(program, 2)]
    assert len(lines) == 2 and lines[0] == lines[1]
    waveforms = Waveforms(read_manifest(tiny_corpus.train), 8000)
    group = SimpleNamespace(rank=1, world_size=2, device=ALONE.device, first=False)
    corpus = Corpus(Model(tiny_config, ["p225", "p226"]), waveforms, None, group, TRAINING.seed)
    names = ", ".join(_named(corpus, corpus.batches(MEL), 1))
    assert lines[0].startswith(f"the loss became nan at step 2 of stage mel, on {names}; are these")


ONE_STEP = (replace(LIKELIHOOD, steps=1),)


def test_a_taken_folder_is_refused_and_overwritten(tmp_path, plain_config, tiny_corpus):
    train(plain_config, tiny_corpus, ONE_STEP, TRAINING, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds a training already; --resume.*--overwrite.*--out"):
        train(plain_config, tiny_corpus, ONE_STEP, TRAINING, tmp_path)
    seeded = replace(TRAINING, seed=1)
    train(plain_config, tiny_corpus, ONE_STEP, seeded, tmp_path, overwrite=True)
    assert read_config(tmp_path)["training"]["seed"] == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_resume_refuses_another_configuration(tmp_path, plain_config, tiny_corpus):
    train(plain_config, tiny_corpus, ONE_STEP, TRAINING, tmp_path)
    other = replace(plain_config, quantizer=replace(plain_config.quantizer, beta=0.5))
    with pytest.raises(ValueError, match=r"model.quantizer.beta: .*started with 0.25, not 0.5"):
        train(other, tiny_corpus, ONE_STEP, TRAINING, tmp_path, resume=True)
    # Settings on which no number depends may change
    train(plain_config, tiny_corpus, ONE_STEP, replace(TRAINING, workers=3), tmp_path, resume=True)


def test_resume_refuses_another_manifest(tmp_path, plain_config, tiny_corpus):
    manifest = str(tmp_path / "train.jsonl")
    write_manifest(manifest, read_manifest(tiny_corpus.train), ["/"])
    data = replace(tiny_corpus, train=manifest)
    train(plain_config, data, ONE_STEP, TRAINING, tmp_path / "out")
    write_manifest(manifest, read_manifest(tiny_corpus.train)[1:], ["/"])
    with pytest.raises(ValueError, match=r"data.train: the manifest has changed"):
        train(plain_config, data, ONE_STEP, TRAINING, tmp_path / "out", resume=True)


def moved(manifest, folder):
    """The same manifest and its audio at another place."""
    utterances = []
    for u in read_manifest(manifest):
        path = folder / Path(u.path).name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(u.path, path)
        utterances.append(replace(u, path=str(path)))
    write_manifest(folder / "list.jsonl", utterances)
    return str(folder / "list.jsonl")


def test_resume_with_moved_data_and_more_steps(tmp_path, plain_config, tiny_corpus, caplog):
    caplog.set_level("INFO", "speechvq")
    train(plain_config, tiny_corpus, ONE_STEP, TRAINING, tmp_path / "out")
    data = replace(
        tiny_corpus,
        train=moved(tiny_corpus.train, tmp_path / "a"),
        valid=moved(tiny_corpus.valid, tmp_path / "b"),
    )
    longer, often = (replace(LIKELIHOOD, steps=3),), replace(TRAINING, valid_every=1)
    train(plain_config, data, longer, often, tmp_path / "out", resume=True)
    assert read_header(tmp_path / "out" / LAST)[0].step == 3
    assert read_config(tmp_path / "out")["data"]["train"] == data.train
    (told,) = [r.getMessage() for r in caplog.records if "instead of" in r.getMessage()]
    assert told.startswith("stages.likelihood.steps: 3 instead of 1; from here on the learning ra")
    other = replace(data, valid=data.train)
    with pytest.raises(ValueError, match=r"^data\.valid: the manifest has changed"):
        train(plain_config, other, longer, often, tmp_path / "out", resume=True)


def large(monkeypatch):
    """Audio that is read from the files at each step, as that of a large corpus."""
    monkeypatch.setattr("speechvq.training.train.Waveforms", partial(Waveforms, cache_bytes=0))


def lose(monkeypatch, paths, global_step):
    """Damage files before a step: what a header says stays true."""
    step = Trainer._step

    def damaged(self, *arguments):
        if self.state.global_step == global_step:
            for path in paths:
                path.write_bytes(path.read_bytes()[:44] + bytes(3))
        step(self, *arguments)

    monkeypatch.setattr(Trainer, "_step", damaged)


def errors(caplog):
    return [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]


@pytest.mark.parametrize("workers", [0, 1])
def test_an_utterance_that_is_lost_in_a_training(
    workers, tmp_path, plain_config, tiny_corpus, monkeypatch, caplog
):
    data = replace(tiny_corpus, train=moved(tiny_corpus.train, tmp_path / "data"))
    lost = Path(read_manifest(data.train)[2].path)
    stages, large_training = (replace(LIKELIHOOD, steps=12),), replace(TRAINING, workers=workers)
    with monkeypatch.context() as patch:
        large(patch)
        lose(patch, [lost], 1)
        train(plain_config, data, stages, large_training, tmp_path / "out")
        (error,) = errors(caplog)
        assert error.startswith(f"{lost}: ") and error.endswith("left out from now on")
        assert read_header(tmp_path / "out" / LAST)[0].step == 12
        saved = final(tmp_path / "out")["weights.corpus._extra_state"]
        assert saved.tolist() == [i == 2 for i in range(6)]
        longer = (replace(LIKELIHOOD, steps=14),)  # a resume knows it, and goes on without
        train(plain_config, data, longer, large_training, tmp_path / "out", resume=True)


@pytest.mark.parametrize("which", [slice(1, 3), slice(0, 3)])
def test_too_many_lost_utterances_stop_a_training(
    which, tmp_path, plain_config, tiny_corpus, monkeypatch
):
    data = replace(tiny_corpus, train=moved(tiny_corpus.train, tmp_path / "data"))
    lost = [Path(u.path) for u in read_manifest(data.train)[which]]
    large(monkeypatch)
    lose(monkeypatch, lost, 1)
    message = r"\.wav: .*; \d of 6 utterances to learn from.* cannot be decoded, which is too many"
    with pytest.raises(ValueError, match=message) as error:
        stages = (replace(LIKELIHOOD, steps=40),)
        train(plain_config, data, stages, replace(TRAINING, workers=1), tmp_path / "out")
    assert "\n" not in str(error.value)
    # One that is left would be waited for when Python ends, and no signal ends it
    assert not multiprocessing.active_children()


def test_resume_without_a_checkpoint_begins(tmp_path, plain_config, tiny_corpus):
    train(plain_config, tiny_corpus, ONE_STEP, TRAINING, tmp_path / "new", resume=True)
    assert (tmp_path / "new" / WEIGHTS).exists()


def test_unknown_speakers_of_the_valid_set(tmp_path, plain_config, tiny_corpus, caplog):
    valid = read_manifest(tiny_corpus.valid)
    manifest = str(tmp_path / "valid.jsonl")
    data = replace(tiny_corpus, valid=manifest)
    write_manifest(manifest, [replace(valid[0], speaker="p999"), valid[1]], ["/"])
    train(plain_config, data, ONE_STEP, TRAINING, tmp_path / "out")
    assert "1 utterances of speakers unknown" in caplog.text
    write_manifest(manifest, [replace(valid[0], speaker="p999")], ["/"])
    with pytest.raises(ValueError, match="no utterance by a speaker of the training set"):
        train(plain_config, data, ONE_STEP, TRAINING, tmp_path / "none")


def test_bfloat16_and_samples(tmp_path, plain_config, tiny_corpus):
    training = replace(TRAINING, precision="bfloat16", samples=1)
    train(plain_config, tiny_corpus, ONE_STEP, training, tmp_path)
    sounds = list((tmp_path / "samples").iterdir())
    assert [p.name for p in sounds] == ["likelihood-0000001-p225_valid0.wav"]


def test_a_model_to_begin_with_that_is_not_there(tiny_config, tiny_corpus, tmp_path):
    """What reads it says so, not what compares it with that of a resume."""
    missing = replace(TRAINING, init_from=str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="none: no such model folder"):
        train(tiny_config, tiny_corpus, [MEL_PREDICTOR], missing, tmp_path / "out")
