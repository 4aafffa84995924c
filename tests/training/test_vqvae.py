"""Training a VQ-VAE: phases, resume, model folder, and processes."""

import math
import os
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from speechvq.config import PhaseConfig, SpectralPhaseConfig, TrainingConfig
from speechvq.data.manifest import read_manifest
from speechvq.data.segments import Waveforms
from speechvq.model_folder import (
    WEIGHTS,
    fingerprint,
    load_model,
    read_config,
    read_speakers,
    save_model,
)
from speechvq.models.quantizer import Quantizer
from speechvq.models.spectral import SpectralObjective
from speechvq.models.vqvae import VQVAE
from speechvq.training.checkpoints import LAST, _load, read_header
from speechvq.training.loop import Interrupted, Loop
from speechvq.training.metrics import FILE
from speechvq.training.processes import Processes
from speechvq.training.speakers import hear_speakers, some_of_each
from speechvq.training.vqvae import (
    MARGIN,
    FrozenCodesPhase,
    SpectralPhase,
    _phases,
    train_vqvae,
)

TRAINING = TrainingConfig(
    spectral=SpectralPhaseConfig(
        steps=6,
        unquantized_steps=2,
        batch_size=4,
        segment_length=512,
        learning_rate=3e-3,
        warmup_steps=2,
    ),
    likelihood=PhaseConfig(
        steps=4, batch_size=4, segment_length=256, learning_rate=3e-3, warmup_steps=2
    ),
    precision="float32",
    log_every=2,
    valid_every=3,
    checkpoint_every=100,
    valid_utterances=2,
    samples=0,
    tensorboard=False,
)
PAPER = replace(TRAINING, spectral=SpectralPhaseConfig())
"""For models without an envelope, which only the spectral phase learns."""


def interrupt_before(monkeypatch, global_step):
    """Ctrl-C during the step that follows `global_step` steps."""
    step = Loop._step

    def stopped(self, *arguments):
        step(self, *arguments)
        if self.state.global_step == global_step:
            self._interrupted = True

    monkeypatch.setattr(Loop, "_step", stopped)


@pytest.fixture
def plain_config(tiny_config):
    """A model without an envelope, for trainings without a spectral phase."""
    return replace(tiny_config, envelope_bands=0)


def final(folder):
    return {
        name: tensor for name, tensor in _load(folder / LAST).items() if "num_batches" not in name
    }


def numbers(records):
    return [
        {k: v for k, v in r.items() if k not in ("seconds", "samples_per_second")} for r in records
    ]


@pytest.fixture(scope="module")
def straight(tmp_path_factory, tiny_config, tiny_corpus):
    folder = tmp_path_factory.mktemp("straight") / "vqvae"
    return train_vqvae(tiny_config, tiny_corpus, TRAINING, folder)


def test_the_model_folder(straight, tiny_config, tiny_corpus):
    model = load_model(straight)
    assert model.config == tiny_config
    assert model.speakers == ["p225", "p226"]
    config = read_config(straight)
    assert config["training"]["spectral"]["unquantized_steps"] == 2
    assert config["data"]["train"] == tiny_corpus.train
    card = (straight / "README.md").read_text()
    for text in ("p225, p226", "6 utterances", "6 spectral and 4 of likelihood steps", "bits per"):
        assert text in card


def test_the_latents_learn_from_sounds_of_each_speaker(straight):
    own = final(straight)["weights.spectral.target.sounds.own"]
    assert (own[0] - own[1]).abs().max() > 0.01


def test_the_metrics(straight, tiny_config, read_lines):
    records = read_lines(straight / FILE)
    trained = [(r["phase"], r["global_step"]) for r in records if r["kind"] == "train"]
    assert trained == [
        ("latents", 2),
        ("spectral", 4),
        ("spectral", 6),
        ("likelihood", 8),
        ("likelihood", 10),
    ]
    assert all("loss" in r for r in records if r["kind"] == "train")
    assert {r["phase"] for r in records if r["kind"] == "epoch"} == {"spectral", "likelihood"}
    valid = [r for r in records if r["kind"] == "valid"]
    assert [(r["phase"], r["step"]) for r in valid] == [
        ("latents", 2),
        ("spectral", 3),
        ("spectral", 4),
        ("likelihood", 3),
        ("likelihood", 4),
    ]
    assert "latent_loss" in valid[0] and "perplexity" not in valid[0]
    assert {"spectral_loss", "perplexity", "dead_codes"} <= valid[1].keys()
    last = valid[-1]
    assert last["kl_bits_per_code"] == 3.0
    assert last["bitrate"] == 8000 / 16 * 3
    total = last["bits_per_sample"] * 8000 + last["bitrate"]
    assert last["total_bits_per_second"] == pytest.approx(total)
    assert 1 <= last["perplexity"] <= 8


@pytest.mark.parametrize("after", [1, 2, 3, 5, 6, 7, 9])
def test_resume_is_exact(
    straight, after, tmp_path, tiny_config, tiny_corpus, monkeypatch, read_lines
):
    """Also between latents and spectral (2), just after the codebook starts (3), and between
    spectral and likelihood (6)."""
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt_before(patch, after)
        train_vqvae(tiny_config, tiny_corpus, TRAINING, tmp_path)
    assert read_header(tmp_path / LAST)[0].global_step == after
    train_vqvae(tiny_config, tiny_corpus, TRAINING, tmp_path, resume=True)
    expected, got = final(straight), final(tmp_path)
    assert expected.keys() == got.keys()
    for name, tensor in expected.items():
        assert torch.equal(got[name], tensor), name
    assert numbers(read_lines(tmp_path / FILE)) == numbers(read_lines(straight / FILE))


UNITS = replace(TRAINING, spectral=replace(TRAINING.spectral, target="units"))


def test_codes_become_units(tmp_path, tiny_config, tiny_corpus, monkeypatch, read_lines):
    """Their vectors are the codebook that the latents were trained beside; resuming is exact."""
    straight = train_vqvae(tiny_config, tiny_corpus, UNITS, tmp_path / "straight")
    valid = [r for r in read_lines(straight / FILE) if r["kind"] == "valid"]
    assert 0 < valid[0]["latent_loss"] < 10
    for after in (1, 4):
        folder = tmp_path / str(after)
        with monkeypatch.context() as patch, pytest.raises(Interrupted):
            interrupt_before(patch, after)
            train_vqvae(tiny_config, tiny_corpus, UNITS, folder)
        with monkeypatch.context() as patch:
            if after == 4:  # their steps are over: they are not looked for again
                patch.setattr("speechvq.training.vqvae.find_units", None)
            train_vqvae(tiny_config, tiny_corpus, UNITS, folder, resume=True)
        for name, tensor in final(straight).items():
            assert torch.equal(final(folder)[name], tensor), name

    only = replace(UNITS, likelihood=replace(UNITS.likelihood, steps=0))
    ended = final(train_vqvae(tiny_config, tiny_corpus, only, tmp_path / "only"))
    assert torch.equal(
        ended["weights.model.quantizer.codebook"], ended["weights.spectral.target.vectors.weight"]
    )


def test_units_are_learned(tmp_path, tiny_config, tiny_corpus, read_lines):
    longer = replace(
        UNITS,
        spectral=replace(UNITS.spectral, steps=81, unquantized_steps=80, learning_rate=1e-2),
        likelihood=replace(UNITS.likelihood, steps=0),
    )
    train_vqvae(tiny_config, tiny_corpus, longer, tmp_path)
    records = [r for r in read_lines(tmp_path / FILE) if r["phase"] == "latents"]
    losses = [r["loss"] for r in records if r["kind"] == "train"]
    assert losses[-1] < 0.8 * losses[0]
    held_out = [r["latent_loss"] for r in records if r["kind"] == "valid"]
    assert 0 < held_out[-1] < 1.2 * math.log(8)  # a uniform guess among 8 units has log 8


def test_the_folder_tells_how_loud_the_speech_was(tmp_path, plain_config, tiny_corpus):
    folder = train_vqvae(plain_config, tiny_corpus, PAPER, tmp_path)
    assert -30 < read_config(folder)["speech_level"] < -10


def test_the_decoder_learns_from_codes_of_other_speakers(tiny_config):
    """In training each row's codes are a random speaker's; in eval mode they are its own."""
    torch.manual_seed(0)
    model = VQVAE(tiny_config, ["p225", "p226"]).eval()
    model.quantizer.initialise(model.latents(torch.randn(1, 4000)).detach()[0])
    phase = FrozenCodesPhase(model)
    phase.dialects = torch.arange(8).expand(2, 8) % 2 == torch.arange(2)[:, None]  # even and odd
    waveform = torch.randn(32, (2 * MARGIN + 20) * model.hop_length)
    codes = phase.train()(waveform, torch.zeros(32, dtype=torch.int64)).codes
    parity = (codes % 2).float().mean(1)
    assert set(parity.tolist()) == {0.0, 1.0}
    assert 6 < parity.sum() < 26
    own = phase.eval()(waveform, torch.zeros(32, dtype=torch.int64)).codes
    assert torch.equal(own, model.encode(waveform)[:, MARGIN:-MARGIN])
    kept = own % 2 == parity[:, None]  # a code that the other speaker has, too, stays
    assert torch.equal(own[kept], codes[kept])


def test_dialects_are_found_anew_by_a_resume(tmp_path, tiny_config, tiny_corpus, monkeypatch):
    found = []

    def find_dialects(model, waveforms, voices):
        found.append(model.speakers)
        return torch.arange(8).expand(2, 8) % 2 == torch.arange(2)[:, None]

    monkeypatch.setattr("speechvq.training.vqvae.find_dialects", find_dialects)
    training = replace(TRAINING, freeze_codes=True, dialects=1.0)
    straight = train_vqvae(tiny_config, tiny_corpus, training, tmp_path / "straight")
    assert found == [["p225", "p226"]]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        interrupt_before(patch, 8)
        train_vqvae(tiny_config, tiny_corpus, training, tmp_path / "resumed")
    resumed = train_vqvae(tiny_config, tiny_corpus, training, tmp_path / "resumed", resume=True)
    assert len(found) == 3
    plain = replace(training, dialects=0.0)
    without = train_vqvae(tiny_config, tiny_corpus, plain, tmp_path / "without")
    assert len(found) == 3
    for name in final(straight):
        assert torch.equal(final(straight)[name], final(resumed)[name]), name
    name = "weights.model.decoder.output.weight"
    assert not torch.equal(final(straight)[name], final(without)[name])


@pytest.mark.parametrize("after", [2, 6])
def test_an_encoder_of_cepstra(after, tmp_path, tiny_config, tiny_corpus, monkeypatch, read_lines):
    """It has no phase of its own, and a resume finds the speakers' voices anew."""
    wavenet = replace(tiny_config.wavenet, dropout=0.5)  # which finding dialects must not turn off
    config = replace(tiny_config, encoder_input="cepstra", strides=(80,), wavenet=wavenet)
    training = replace(
        TRAINING,
        spectral=replace(TRAINING.spectral, steps=4, unquantized_steps=0),
        freeze_codes=True,
        dialects=1.0,
    )
    straight = train_vqvae(config, tiny_corpus, training, tmp_path / "straight")
    records = read_lines(straight / FILE)
    assert {r["phase"] for r in records} == {"spectral", "likelihood"}
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt_before(patch, after)
        train_vqvae(config, tiny_corpus, training, tmp_path / "resumed")
    train_vqvae(config, tiny_corpus, training, tmp_path / "resumed", resume=True)
    for name, tensor in final(straight).items():
        assert torch.equal(final(tmp_path / "resumed")[name], tensor), name
    assert load_model(straight).encoder.means[0].abs().max() > 1  # the typical voice
    assert records[-1]["perplexity"] > 1.5


@pytest.mark.parametrize("after", [2, 6])
def test_an_encoder_of_cepstra_that_learns(
    after, tmp_path, tiny_config, tiny_corpus, monkeypatch, read_lines
):
    """In a phase of its own, from where one that does not learn would be; then the codes settle."""
    config = replace(tiny_config, encoder_input="cepstra", strides=(80,), encoder_residual_layers=1)
    training = replace(
        TRAINING,
        spectral=replace(TRAINING.spectral, steps=8, unquantized_steps=4),
        freeze_codes=True,
        checkpoint_every=1,
    )
    straight = train_vqvae(config, tiny_corpus, training, tmp_path / "straight")
    assert [r["phase"] for r in read_lines(straight / FILE)][0] == "latents"
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        interrupt_before(patch, after)
        train_vqvae(config, tiny_corpus, training, tmp_path / "resumed")
    train_vqvae(config, tiny_corpus, training, tmp_path / "resumed", resume=True)
    for name, tensor in final(straight).items():
        assert torch.equal(final(tmp_path / "resumed")[name], tensor), name
    model = load_model(straight)
    assert model.encoder.surroundings.layers[-1].weight.abs().max() > 0
    assert not torch.equal(model.encoder.clusters, model.quantizer.codebook)

    plain = replace(training, spectral=replace(training.spectral, steps=4, unquantized_steps=0))
    config = replace(config, encoder_residual_layers=0)
    other = load_model(train_vqvae(config, tiny_corpus, plain, tmp_path / "plain"))
    assert torch.equal(other.encoder.clusters, other.quantizer.codebook)
    torch.testing.assert_close(other.encoder.means, model.encoder.means)


def test_codes_that_are_taken_are_heard_as_in_use(tmp_path, tiny_config, tiny_corpus, monkeypatch):
    """Made alike among themselves, speakers would have other codes than `encode` finds."""
    config = replace(tiny_config, encoder_input="cepstra", strides=(80,))
    training = replace(
        TRAINING,
        spectral=replace(TRAINING.spectral, steps=2, unquantized_steps=0),
        freeze_codes=True,
    )
    first = train_vqvae(config, tiny_corpus, training, tmp_path / "first")
    heard = []

    def spy(cepstra, model, waveforms):
        hear_speakers(cepstra, model, waveforms)
        heard.append((cepstra, model, waveforms))

    monkeypatch.setattr("speechvq.training.vqvae.hear_speakers", spy)
    monkeypatch.delattr("speechvq.training.vqvae.fit_speakers")
    taken = replace(training, codes_from=str(first), spectral=replace(training.spectral, steps=0))
    train_vqvae(config, tiny_corpus, taken, tmp_path / "second")
    ((cepstra, model, waveforms),) = heard
    for s, its in enumerate(some_of_each(waveforms, model.speakers, 60.0)):
        waveform = torch.from_numpy(np.concatenate(its))[None]
        voice = cepstra.voice(torch.tensor([s]))
        assert torch.equal(model.encode(waveform, voice), model.encode(waveform))


@pytest.mark.parametrize("phase", [SpectralPhase, FrozenCodesPhase])
def test_a_quarter_of_the_segments_have_codes_of_a_dialect(
    phase, tmp_path, tiny_config, tiny_corpus, monkeypatch
):
    drawn = []
    forward = phase.forward

    def watched(self, *batch):
        drawn.append(self.dialects)
        return forward(self, *batch)

    monkeypatch.setattr(phase, "forward", watched)
    if phase is SpectralPhase:
        training = replace(TRAINING, spectral=replace(TRAINING.spectral, dialects=0.25))
    else:
        training = replace(TRAINING, freeze_codes=True, dialects=0.25)
    train_vqvae(tiny_config, tiny_corpus, training, tmp_path)
    assert len(drawn[-1]) == 8 and drawn[-1][2:].all()  # of two speakers: two of eight are theirs


def test_the_envelope_learns_from_codes_of_other_speakers(tiny_config):
    torch.manual_seed(0)
    model = VQVAE(replace(tiny_config, envelope_bands=10), ["p225", "p226"])
    model.quantizer.initialise(model.latents(torch.randn(1, 4000)).detach()[0])
    phase = SpectralPhase(SpectralObjective(model, SpectralPhaseConfig()), quantize=True)
    phase.dialects = torch.arange(8).expand(2, 8) % 2 == torch.arange(2)[:, None]  # even and odd
    waveform, speaker = torch.randn(16, 20 * model.hop_length), torch.zeros(16, dtype=torch.int64)
    codes = phase.train()(waveform, speaker).codes
    assert set((codes % 2).float().mean(1).tolist()) == {0.0, 1.0}
    own = phase.eval()(waveform, speaker).codes
    assert torch.equal(own, model.encode(waveform))


def test_a_resume_does_not_drop_enrolled_speakers(tmp_path, tiny_config, tiny_corpus):
    folder = train_vqvae(tiny_config, tiny_corpus, TRAINING, tmp_path)
    names = read_speakers(folder)
    with_another = VQVAE(tiny_config, [*names, "me"])
    save_model(folder, with_another, read_config(folder), "")
    with pytest.raises(ValueError, match="has learned me by speechvq-enroll, whom a resume would"):
        train_vqvae(tiny_config, tiny_corpus, TRAINING, tmp_path, resume=True)
    assert read_speakers(folder) == [*names, "me"]
    (folder / WEIGHTS).unlink()
    train_vqvae(tiny_config, tiny_corpus, TRAINING, tmp_path, resume=True)
    assert load_model(folder).speakers == names


def test_codes_of_another_model(tmp_path, tiny_config, tiny_corpus):
    """Another decoder, in other shape, for the very same codes."""
    first = train_vqvae(tiny_config, tiny_corpus, TRAINING, tmp_path / "first")
    own = replace(TRAINING, spectral=SpectralPhaseConfig(), freeze_codes=True)
    taken = replace(own, codes_from=str(first))
    wider = replace(tiny_config, wavenet=replace(tiny_config.wavenet, residual_channels=6))
    second = load_model(train_vqvae(wider, tiny_corpus, taken, tmp_path / "second"))
    assert fingerprint(second) == fingerprint(load_model(first))
    other = replace(tiny_config, codebook_size=9)
    with pytest.raises(ValueError, match=r"^model\.codebook_size: 9 here, but 8 in .*first"):
        train_vqvae(other, tiny_corpus, taken, tmp_path / "third")
    with pytest.raises(ValueError, match="codes_from: codes that are taken over do not change"):
        replace(TRAINING, codes_from=str(first))


def test_codebook_starts_at_data_without_a_spectral_phase(tmp_path, plain_config, tiny_corpus):
    """k-means centres lie among the latents, unlike the unit normal codes of a new model."""
    training = replace(PAPER, likelihood=replace(PAPER.likelihood, steps=1))
    train_vqvae(plain_config, tiny_corpus, training, tmp_path)
    weights = final(tmp_path)
    codebook = weights["weights.model.quantizer.codebook"]
    torch.manual_seed(0)
    fresh = VQVAE(plain_config, ["p225", "p226"])
    latents = fresh.latents(torch.zeros(1, 64)).flatten(0, 1)
    assert torch.cdist(latents, codebook).min() < 0.5
    assert codebook.std() < 0.7 * fresh.quantizer.codebook.std()


def test_kmeans_gets_enough_latents(tmp_path, plain_config, tiny_corpus, monkeypatch):
    seen = []
    original = Quantizer.initialise
    monkeypatch.setattr(
        Quantizer, "initialise", lambda self, z: (seen.append(z), original(self, z))
    )
    training = replace(PAPER, likelihood=replace(PAPER.likelihood, steps=1))
    train_vqvae(plain_config, tiny_corpus, training, tmp_path)
    assert len(seen) == 1
    assert len(seen[0]) >= 64 * plain_config.codebook_size


def test_nothing_is_quantised_before_the_codebook_starts(
    tmp_path, tiny_config, tiny_corpus, monkeypatch
):
    calls = []
    for name in ("initialise", "_learn"):
        original = getattr(Quantizer, name)

        def watched(self, *arguments, name=name, original=original):
            calls.append(name)
            return original(self, *arguments)

        monkeypatch.setattr(Quantizer, name, watched)
    training = replace(TRAINING, likelihood=replace(TRAINING.likelihood, steps=0))
    train_vqvae(tiny_config, tiny_corpus, training, tmp_path)
    assert calls == ["initialise"]  # and the codes stay as they are


def test_the_spectral_phase_leaves_the_encoder_alone(tmp_path, tiny_config, tiny_corpus):
    """But for the whitening of its last layer, when the codebook starts."""
    training = replace(TRAINING, likelihood=replace(TRAINING.likelihood, steps=0))
    ends = []
    for steps in (3, 6):
        training = replace(
            training, spectral=replace(training.spectral, steps=steps, warmup_steps=0)
        )
        ends.append(final(train_vqvae(tiny_config, tiny_corpus, training, tmp_path / str(steps))))
    for name in (name for name in ends[0] if name.startswith("weights.model.encoder")):
        assert torch.equal(ends[0][name], ends[1][name]), name
    name = "weights.model.envelope.conditioner.project.weight"
    assert not torch.equal(ends[0][name], ends[1][name])


def test_the_decoders_conditioner_begins_as_the_envelopes(tmp_path, tiny_config, tiny_corpus):
    still = replace(TRAINING.likelihood, steps=1, learning_rate=1e-12)
    training = replace(TRAINING, likelihood=still, freeze_codes=True)
    model = load_model(train_vqvae(tiny_config, tiny_corpus, training, tmp_path))
    of_decoder, of_envelope = (
        model.conditioner.state_dict(),
        model.envelope.conditioner.state_dict(),
    )
    for name, tensor in of_envelope.items():
        torch.testing.assert_close(of_decoder[name], tensor, msg=name)


def test_the_envelopes_speakers_are_drawn_together_once(tmp_path, tiny_config, tiny_corpus):
    """When the decoder, whose own stay apart, has begun as the envelope; and not by a resume."""
    still = replace(TRAINING.likelihood, learning_rate=1e-12)
    apart = replace(TRAINING, likelihood=still, freeze_codes=True, checkpoint_every=1)
    nearer = replace(apart, spectral=replace(apart.spectral, shrinkage=0.25))
    one, other = (
        load_model(train_vqvae(tiny_config, tiny_corpus, training, tmp_path / name))
        for name, training in (("apart", apart), ("nearer", nearer))
    )
    table = one.envelope.conditioner.speakers.weight
    assert table.std(0).min() > 0
    expected = 0.75 * table + 0.25 * table.mean(0)
    torch.testing.assert_close(other.envelope.conditioner.speakers.weight, expected)
    assert torch.equal(other.conditioner.speakers.weight, one.conditioner.speakers.weight)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        interrupt_before(patch, 8)
        train_vqvae(tiny_config, tiny_corpus, nearer, tmp_path / "resumed")
    resumed = train_vqvae(tiny_config, tiny_corpus, nearer, tmp_path / "resumed", resume=True)
    again = SpectralPhaseConfig(shrinkage=0.25)  # what is taken over stays as it is
    taken = replace(apart, spectral=again, codes_from=str(tmp_path / "nearer"))
    taken = train_vqvae(tiny_config, tiny_corpus, taken, tmp_path / "taken")
    for folder in (resumed, taken):
        table = load_model(folder).envelope.conditioner.speakers.weight
        torch.testing.assert_close(table, expected)


def test_the_envelope_of_another_model(tmp_path, tiny_config, tiny_corpus):
    first = train_vqvae(tiny_config, tiny_corpus, TRAINING, tmp_path / "first")
    own = replace(TRAINING, spectral=SpectralPhaseConfig(), freeze_codes=True)
    taken = replace(own, codes_from=str(first))
    model = load_model(train_vqvae(tiny_config, tiny_corpus, taken, tmp_path / "second"))
    theirs = load_model(first).envelope.state_dict()
    for name, tensor in model.envelope.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    other = replace(tiny_config, envelope_bands=9)
    with pytest.raises(ValueError, match=r"^model\.envelope_bands: 9 here, but 8 in .*first"):
        train_vqvae(other, tiny_corpus, taken, tmp_path / "third")


def test_settings_of_the_spectral_phase_are_named_as_in_the_file(
    tmp_path, tiny_config, tiny_corpus
):
    model = VQVAE(tiny_config, ["p225", "p226"])
    objective = SpectralObjective(model, TRAINING.spectral)
    waveforms = Waveforms(read_manifest(tiny_corpus.train), tiny_config.sample_rate)
    pair = Processes(torch.device("cpu"), 0, 2)
    for name in ("spectral", "likelihood"):
        odd = replace(TRAINING, **{name: replace(getattr(TRAINING, name), batch_size=3)})
        with pytest.raises(ValueError, match=rf"^training\.{name}\.batch_size: 3 segments do not"):
            _phases(model, objective, waveforms, waveforms, None, odd, pair)


@pytest.mark.parametrize(
    "model, training, message",
    [
        ({"envelope_bands": 0}, {}, r"^model\.envelope_bands: .* such as 80"),
        ({"codebook_dim": 50}, {}, r"^codebook_dim: 40 mel bands have no 50"),
        ({"encoder_input": "cepstra"}, {}, r"^training\.freeze_codes: .*; set it"),
        (
            {"encoder_input": "cepstra"},
            {"freeze_codes": True},
            r"^training\.spectral\.unquantized_steps: .*; set them to 0",
        ),
        (
            {"encoder_input": "cepstra", "encoder_residual_layers": 1},
            {"freeze_codes": True, "spectral": SpectralPhaseConfig(steps=9, unquantized_steps=0)},
            r"^training\.spectral\.unquantized_steps: .*; give some, or set model\.encoder_res",
        ),
        (
            {"encoder_input": "cepstra", "envelope_bands": 0},
            {"freeze_codes": True, "spectral": SpectralPhaseConfig()},
            r"^training\.spectral\.steps: .* or from another model by codes_from",
        ),
        ({}, {"spectral": SpectralPhaseConfig()}, r"^model\.envelope_bands: .* some steps, or set"),
    ],
)
def test_models_and_trainings_that_do_not_suit_each_other(
    tmp_path, tiny_config, tiny_corpus, model, training, message
):
    with pytest.raises(ValueError, match=message):
        train_vqvae(
            replace(tiny_config, **model), tiny_corpus, replace(TRAINING, **training), tmp_path
        )
    assert not list(tmp_path.iterdir())


def test_without_unquantized_steps_the_codebook_starts_at_once(
    tmp_path, tiny_config, tiny_corpus, read_lines
):
    training = replace(TRAINING, spectral=replace(TRAINING.spectral, unquantized_steps=0))
    train_vqvae(tiny_config, tiny_corpus, training, tmp_path)
    assert {r["phase"] for r in read_lines(tmp_path / FILE)} == {"spectral", "likelihood"}


def test_loss_falls(tmp_path, tiny_config, tiny_corpus, read_lines):
    training = replace(
        TRAINING,
        spectral=replace(TRAINING.spectral, steps=120, unquantized_steps=60, learning_rate=1e-2),
        likelihood=replace(TRAINING.likelihood, steps=60, learning_rate=1e-2),
        log_every=10,
        valid_every=1000,
    )
    train_vqvae(tiny_config, tiny_corpus, training, tmp_path)
    records = [r for r in read_lines(tmp_path / FILE) if r["kind"] == "train"]
    latents = [r["loss"] for r in records if r["phase"] == "latents"]
    spectral = [r["loss"] for r in records if r["phase"] == "spectral"]
    likelihood = [r["bits_per_sample"] for r in records if r["phase"] == "likelihood"]
    assert latents[-1] < 0.95 * latents[0]
    assert spectral[-1] < 0.9 * spectral[0]
    assert likelihood[0] < 8.2
    assert likelihood[-1] < likelihood[0] - 0.3


@pytest.mark.parametrize("update", ["ema", "loss"])
@pytest.mark.parametrize("norm", [False, True])
def test_frozen_codes_stay(tmp_path, tiny_config, tiny_corpus, update, norm):
    config = replace(tiny_config, codebook_update=update, encoder_norm=norm)
    training = replace(TRAINING, freeze_codes=True)
    spectral_only = replace(training, likelihood=replace(training.likelihood, steps=0))
    before = final(train_vqvae(config, tiny_corpus, spectral_only, tmp_path / "a"))
    after = final(train_vqvae(config, tiny_corpus, training, tmp_path / "b"))
    for name in before:
        if name.startswith(("weights.model.encoder", "weights.model.quantizer")):
            assert torch.equal(before[name], after[name]), name
    for part in ("decoder.output.weight", "conditioner.project.weight"):
        assert not torch.equal(before[f"weights.model.{part}"], after[f"weights.model.{part}"])


def test_no_model_to_find_before_the_decoder_has_learned(tmp_path, tiny_config, tiny_corpus):
    broken = replace(TRAINING, likelihood=replace(TRAINING.likelihood, learning_rate=1e9))
    with pytest.raises(ValueError, match="the loss became"):
        train_vqvae(tiny_config, tiny_corpus, replace(broken, gradient_clip=1e9), tmp_path)
    assert (tmp_path / LAST).exists()
    assert not (tmp_path / "model.safetensors").exists()


def test_a_taken_folder_is_refused_and_overwritten(tmp_path, plain_config, tiny_corpus):
    short = replace(PAPER, likelihood=replace(PAPER.likelihood, steps=1))
    train_vqvae(plain_config, tiny_corpus, short, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds a training already; --resume.*--overwrite.*--out"):
        train_vqvae(plain_config, tiny_corpus, short, tmp_path)
    train_vqvae(plain_config, tiny_corpus, replace(short, seed=1), tmp_path, overwrite=True)
    assert read_config(tmp_path)["training"]["seed"] == 1
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_resume_refuses_another_configuration(tmp_path, plain_config, tiny_corpus):
    short = replace(PAPER, likelihood=replace(PAPER.likelihood, steps=1))
    train_vqvae(plain_config, tiny_corpus, short, tmp_path)
    longer = replace(short, likelihood=replace(short.likelihood, steps=2))
    with pytest.raises(ValueError, match=r"training.likelihood.steps: .*started with 1, not 2"):
        train_vqvae(plain_config, tiny_corpus, longer, tmp_path, resume=True)
    other = replace(plain_config, beta=0.5)
    with pytest.raises(ValueError, match=r"model.beta: .*started with 0.25, not 0.5"):
        train_vqvae(other, tiny_corpus, short, tmp_path, resume=True)
    # What no number depends on may change
    train_vqvae(plain_config, tiny_corpus, replace(short, workers=3), tmp_path, resume=True)


def test_resume_refuses_another_manifest(tmp_path, plain_config, tiny_corpus):
    from speechvq.data.manifest import read_manifest, write_manifest

    manifest = str(tmp_path / "train.jsonl")
    write_manifest(manifest, read_manifest(tiny_corpus.train))
    data = replace(tiny_corpus, train=manifest)
    short = replace(PAPER, likelihood=replace(PAPER.likelihood, steps=1))
    train_vqvae(plain_config, data, short, tmp_path / "out")
    write_manifest(manifest, read_manifest(tiny_corpus.train)[1:])
    with pytest.raises(ValueError, match=r"data.train: the manifest has changed"):
        train_vqvae(plain_config, data, short, tmp_path / "out", resume=True)


def test_resume_without_a_checkpoint_begins(tmp_path, plain_config, tiny_corpus):
    short = replace(PAPER, likelihood=replace(PAPER.likelihood, steps=1))
    train_vqvae(plain_config, tiny_corpus, short, tmp_path / "new", resume=True)
    assert (tmp_path / "new" / "model.safetensors").exists()


def test_unknown_speakers_of_the_valid_set(tmp_path, plain_config, tiny_corpus, caplog):
    from speechvq.data.manifest import read_manifest, write_manifest

    valid = read_manifest(tiny_corpus.valid)
    manifest = str(tmp_path / "valid.jsonl")
    data = replace(tiny_corpus, valid=manifest)
    short = replace(PAPER, likelihood=replace(PAPER.likelihood, steps=1))
    write_manifest(manifest, [replace(valid[0], speaker="p999"), valid[1]])
    train_vqvae(plain_config, data, short, tmp_path / "out")
    assert "1 utterances of speakers unknown" in caplog.text
    write_manifest(manifest, [replace(valid[0], speaker="p999")])
    with pytest.raises(ValueError, match="no utterance by a speaker of the training set"):
        train_vqvae(plain_config, data, short, tmp_path / "none")


def test_bfloat16_and_samples(tmp_path, plain_config, tiny_corpus):
    training = replace(PAPER, precision="bfloat16", samples=1)
    training = replace(training, likelihood=replace(PAPER.likelihood, steps=1))
    train_vqvae(plain_config, tiny_corpus, training, tmp_path)
    sounds = list((tmp_path / "samples").iterdir())
    assert [p.name for p in sounds] == ["likelihood-0000001-p225_valid0.wav"]


def test_two_processes_are_one(tmp_path, plain_config, tiny_corpus):
    """Two processes with half the batch each learn what one learns with the whole."""
    config = replace(plain_config, restart_below=0.0)
    training = replace(PAPER, likelihood=replace(PAPER.likelihood, steps=3), valid_every=2)
    train_vqvae(config, tiny_corpus, training, tmp_path / "one")
    together(tmp_path / "two", config, tiny_corpus, training)
    one, two = final(tmp_path / "one"), final(tmp_path / "two")
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.allclose(two[name], tensor, rtol=1e-4, atol=2e-5), name
    a, b = (read_header(tmp_path / name / LAST)[0] for name in ("one", "two"))
    assert b.best == pytest.approx(a.best, rel=1e-5)


def test_two_processes_train_all_phases(tmp_path, tiny_config, tiny_corpus, read_lines):
    """Every phase leaves some of the weights without a gradient."""
    config = replace(tiny_config, codebook_update="loss")
    training = replace(TRAINING, freeze_codes=True)
    together(tmp_path, config, tiny_corpus, training)
    assert load_model(tmp_path).speakers == ["p225", "p226"]
    phases = dict.fromkeys(r["phase"] for r in read_lines(tmp_path / FILE))
    assert list(phases) == ["latents", "spectral", "likelihood"]


def together(folder, config, data, training):
    """Train in two processes, as torchrun would start them."""
    program = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from speechvq.config import *\n"
        "from speechvq.training.vqvae import train_vqvae\n"
        f"train_vqvae({config!r}, {data!r}, {training!r}, {str(folder)!r}, device='cpu')\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    runs = []
    for rank in range(2):
        environment = {
            **os.environ,
            "WORLD_SIZE": "2",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "OMP_NUM_THREADS": "1",
        }
        runs.append(
            subprocess.Popen(
                [sys.executable, "-c", program], env=environment, stderr=subprocess.PIPE, text=True
            )
        )
    errors = [run.communicate(timeout=120)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], "\n".join(errors)
