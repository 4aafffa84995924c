"""Enrolling a speaker: the vector that is found, and all that stays as it was."""

import copy
import logging
import math
import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from speechvq import audio, model_folder
from speechvq.config import DataConfig, PriorConfig
from speechvq.model import Model
from speechvq.models import mu_law
from speechvq.models.prior import Prior
from speechvq.prior_folder import load_prior, save_prior
from speechvq.sampling import SamplingOptions, sample
from speechvq.speaker_weights import MEL_TABLE, TABLES
from speechvq.training import enroll as enrolling
from speechvq.training.add_speaker import check_new_speaker
from speechvq.training.corpus import Corpus
from speechvq.training.enroll import enroll, fit_speaker
from speechvq.training.recordings import read_recordings

RATE = 8000
SPEAKERS = ["p225", "p226"]
CARD = "# A card\n\n## Scores\n\n| none |\n\n## Limits\n\n- It is tiny.\n"


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(enrolling, "STAGE", replace(enrolling.STAGE, segment_length=256))
    monkeypatch.setattr(enrolling, "MEL_STAGE", replace(enrolling.MEL_STAGE, segment_length=1600))


@pytest.fixture(scope="module")
def model(tiny_config):
    """A model conditioned on nothing but the speaker: samples are independent of each other."""
    torch.manual_seed(0)
    model = Model(tiny_config, SPEAKERS).eval()
    model.vqvae.quantizer.codebook.zero_()
    wavenet = model.vqvae.decoder.wavenet
    with torch.no_grad():
        for linear in (wavenet.condition, wavenet.hidden, wavenet.output):
            linear.weight.mul_(3)
        for layer in wavenet.layers:
            layer.gates.weight.zero_()
            layer.outputs.weight.mul_(3)
    return model


@pytest.fixture
def folder(model, tmp_path):
    model_folder.save_model(tmp_path / "m", model, {"training": {"seed": 3}}, CARD)
    return tmp_path / "m"


def logits(model, vector):
    """The distribution of every sample, (256,), in the voice of a vector."""
    solo = enrolling._with_one_speaker(model, "x")
    with torch.no_grad():
        decoder = solo.vqvae.decoder
        decoder.conditioner.speakers.weight.copy_(vector)
        condition = decoder.conditioner(torch.zeros(1, 4, 4), torch.tensor([0]))
        return decoder.wavenet(torch.full((1, 64, 1), 128), condition)[0, 32, 0]


def record(folder, model, vector, seconds=(4.0, 5.0, 6.0), seed=0):
    """Recordings of the voice that a vector stands for."""
    draw = torch.Generator().manual_seed(seed)
    p = logits(model, vector).softmax(0)
    for i, length in enumerate(seconds):
        levels = torch.multinomial(p, round(length * RATE), replacement=True, generator=draw)
        audio.write(folder / f"{i}.wav", mu_law.decode(levels).numpy(), RATE)
    return folder


@pytest.fixture(scope="module")
def hidden():
    """The vector of a voice that the model does not know."""
    return torch.tensor([0.5, 0.5, -1.0, 1.0])


@pytest.fixture(scope="module")
def wavs(model, hidden, tmp_path_factory):
    return record(tmp_path_factory.mktemp("wavs"), model, hidden)


def test_recordings_that_use_hardly_any_code(model, wavs, caplog):
    """Here the model's one code."""
    fit_speaker(model, read_recordings(sorted(wavs.iterdir()), "me", RATE), SPEAKERS, steps=1)
    (told,) = [r.getMessage() for r in caplog.records if "never used" in r.getMessage()]
    assert told.startswith("7 of 8 codes were never used") and told.endswith("?")


@pytest.fixture(params=[True, False], ids=["mel condition", "codes alone"])
def streaming(request, tiny_streaming_config, wavs):
    """A streaming model of product codes."""
    decoder = replace(tiny_streaming_config.decoder, mel_condition=request.param)
    torch.manual_seed(0)
    model = Model(replace(tiny_streaming_config, decoder=decoder), SPEAKERS).eval()
    waveform = torch.from_numpy(audio.read(wavs / "2.wav", RATE)[0])[None]
    with torch.no_grad():
        model.vqvae.quantizer.initialise(model.latents(waveform)[0])
        for layer in model.mel_predictor.stack.layers:  # voices that differ
            layer.speaker.weight.mul_(4)
    model.mel_predictor.fit(waveform)
    return model


def test_a_streaming_model(streaming, wavs, tmp_path, monkeypatch):
    """Both vectors are learned, on codes of whole stretches; all else stays bit for bit."""
    model, folder = streaming, tmp_path / "m"
    monkeypatch.setattr(enrolling, "STAGE", replace(enrolling.STAGE, segment_length=800))
    model_folder.save_model(folder, model, {}, CARD)
    batches = []
    prepare = Corpus.prepare
    monkeypatch.setattr(
        Corpus, "prepare", lambda self, batch: (batches.append(batch), prepare(self, batch))[1]
    )
    done = enroll(folder, "me", wavs, steps=60)
    assert all(batch.codes is not None and batch.codes.shape[2] == 2 for batch in batches)
    assert {batch.codes.shape[1] for batch in batches if len(batch.codes) == 4} == {20, 10 + 2 * 8}
    after = model_folder.load_model(folder)
    assert after.speakers == [*SPEAKERS, "me"]
    assert model_folder.fingerprint(after) == model_folder.fingerprint(model)
    old, new = model.state_dict(), after.state_dict()
    table = "vqvae.decoder.conditioner.speakers.weight"
    assert [len(vector) for vector in done.fit.vectors] == [4, 3]
    assert torch.equal(new[table], torch.cat([old.pop(table), done.fit.vectors[0][None]]))
    with_dimension = [name for name in old if name == MEL_TABLE or name.endswith("speaker.weight")]
    assert len(with_dimension) == 3
    table = new.pop(MEL_TABLE)
    assert torch.equal(table[:, :3], torch.cat([old.pop(MEL_TABLE), done.fit.vectors[1][None]]))
    assert table[:, 3].tolist() == [0, 0, 1]
    for name, film in zip(with_dimension[1:], done.fit.film, strict=True):
        assert film.abs().max() > 0.01
        assert torch.equal(new[name], torch.cat([old.pop(name), film[:, None]], dim=1))
    for name, tensor in old.items():
        assert torch.allclose(tensor, new[name], rtol=0, atol=0, equal_nan=True), name
    codes = np.arange(80).reshape(40, 2) % 8
    for name in SPEAKERS:
        options = SamplingOptions(seed=5)
        said = sample(model, codes, name, options)
        assert np.array_equal(sample(after, codes, name, options), said)
    assert model_folder.read_config(folder)["model"]["mel_predictor"]["speaker_dim"] == 4
    assert done.fit.bits_after < done.fit.bits_before
    errors = [mel_error(after, wavs, speaker) for speaker in after.speakers]
    assert errors[2] < min(errors[:2]) - 0.003


@torch.no_grad()
def mel_error(model, wavs, speaker):
    waveform = torch.from_numpy(audio.read(wavs / "2.wav", RATE)[0])[None]
    quantized = model.vqvae.quantizer.lookup(model.encode(waveform))
    index = torch.tensor([model.speaker_index(speaker)])
    return float(model.mel_predictor.error(waveform, quantized, index).abs().mean())


def test_a_mel_condition_that_looks_far_back(streaming, wavs, monkeypatch):
    """The margin is what the decoder's condition needs."""
    monkeypatch.setattr(enrolling, "STAGE", replace(enrolling.STAGE, segment_length=800))
    config = streaming.config.mel_predictor
    stack = replace(config.stack, dilations=(6, 6), lookahead=(1, 1))
    config = replace(streaming.config, mel_predictor=replace(config, stack=stack))
    far = Model(config, SPEAKERS).eval()
    shapes = []
    local = Model.local_condition
    monkeypatch.setattr(
        Model, "local_condition", lambda s, k, v: (shapes.append(k.shape[:2]), local(s, k, v))[1]
    )
    far.mel_predictor.fit(0.1 * torch.randn(1, RATE))
    fit_speaker(far, read_recordings(sorted(wavs.iterdir()), "me", RATE), SPEAKERS, steps=1)
    margin = 22 if config.decoder.mel_condition else 8
    assert {N for B, N in shapes if B == 4} == {10 + 2 * margin}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_model_of_these_tests_is_what_they_take_it_for(model):
    waveform = torch.rand(1, 320) - 0.5
    quantized = model.vqvae.quantizer.lookup(model.encode(waveform))
    expected = logits(model, model.vqvae.decoder.conditioner.speakers.weight[1]).log_softmax(0)
    got = model.vqvae.decoder.log_likelihood(waveform, quantized, torch.tensor([1]))[0]
    assert torch.allclose(got[16:-16], expected[mu_law.encode(waveform)[0]][16:-16], atol=1e-4)


def test_it_finds_the_voice_of_a_hidden_vector(model, hidden, wavs):
    """Nearly as likely as with the vector that the recordings were drawn from."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recordings = read_recordings(audio.find([wavs]), "me", RATE)
    fit = fit_speaker(model, recordings, SPEAKERS, steps=150)
    heard = [recordings.held_out.crop(i, 0, n) for i, n in enumerate(recordings.held_out.lengths)]
    levels = mu_law.encode(torch.from_numpy(np.concatenate(heard)))

    def bits(vector):
        return -float(logits(model, vector).log_softmax(0)[levels].mean()) / np.log(2)

    table = model.vqvae.decoder.conditioner.speakers.weight.detach()
    known = [bits(vector) for vector in table]
    assert fit.nearest == SPEAKERS[int(np.argmin(known))]
    assert fit.bits_before == pytest.approx(min(known), abs=0.01)
    assert fit.bits_after == pytest.approx(bits(fit.vectors[0]), abs=0.01)
    assert min(known) > bits(hidden) + 0.08  # there was something to find
    assert fit.bits_after < bits(hidden) + 0.01
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, before[name], rtol=0, atol=0, equal_nan=True), name


@pytest.mark.parametrize("speaker", SPEAKERS)
def test_the_nearest_is_who_spoke(model, tmp_path, speaker):
    vector = model.vqvae.decoder.conditioner.speakers.weight[SPEAKERS.index(speaker)]
    recordings = read_recordings(audio.find([record(tmp_path, model, vector)]), "me", RATE)
    assert fit_speaker(model, recordings, SPEAKERS, steps=1).nearest == speaker


def test_of_many_voices_the_mel_error_leaves_a_few(streaming, wavs, monkeypatch):
    """What is left is compared by likelihood, and so is the mean vector."""
    monkeypatch.setattr(enrolling, "STAGE", replace(enrolling.STAGE, segment_length=800))
    monkeypatch.setattr(enrolling, "_ROUNDS", ((1, 2),))
    compared, put = [], enrolling._Fitting.put
    monkeypatch.setattr(
        enrolling._Fitting, "put", lambda self, values: (compared.append(values), put(self, values))
    )
    fit = fit_speaker(streaming, read_recordings(sorted(wavs.iterdir()), "me", RATE), SPEAKERS, 1)
    errors = [mel_error(streaming, wavs, speaker) for speaker in SPEAKERS]
    assert fit.nearest == SPEAKERS[int(np.argmin(errors))]
    table = streaming.mel_predictor.table.weight
    rows = [int((table == values[1]).all(1).nonzero()[0]) for values in compared[:3]]
    assert rows == [0, 1, SPEAKERS.index(fit.nearest)]
    assert torch.equal(compared[3][1], table.mean(0))


def test_all_else_stays_bit_for_bit(folder, model, wavs):
    before = model_folder.load_model(folder)
    files = contents(folder)
    codes = np.arange(40) % 8
    said = {name: sample(before, codes, name, SamplingOptions(seed=5)) for name in SPEAKERS}
    done = enroll(folder, "me", wavs, steps=5)
    after = model_folder.load_model(folder)
    assert done.folder == folder
    assert after.speakers == [*SPEAKERS, "me"]
    assert model_folder.fingerprint(after) == model_folder.fingerprint(before)
    old, new = before.state_dict(), after.state_dict()
    tables = [table for table in TABLES if table in old]
    for table, vector in zip(tables, done.fit.vectors, strict=True):
        assert torch.equal(new[table], torch.cat([old.pop(table), vector[None]]))
    for name, tensor in old.items():
        assert torch.allclose(tensor, new[name], rtol=0, atol=0, equal_nan=True), name
    for name in SPEAKERS:
        assert np.array_equal(sample(after, codes, name, SamplingOptions(seed=5)), said[name])
    assert not np.array_equal(
        sample(after, codes, "me", SamplingOptions(seed=5)), said[done.fit.nearest]
    )
    assert contents(folder).keys() == files.keys()
    assert (folder / "config.yaml").read_bytes() == files["config.yaml"]


@pytest.mark.parametrize("learned", [None, -26.0])
def test_recordings_are_as_loud_as_the_speech_that_was_learned_from(model, wavs, tmp_path, learned):
    """Not as what the model draws, which can be softer: else the new voice is softer still."""
    drawn = copy.deepcopy(model)
    drawn.level.fill_(-29.0)
    config = {"data": DataConfig(level=learned)}
    model_folder.save_model(tmp_path / "m", drawn, config, CARD)
    done = enroll(tmp_path / "m", "me", wavs, steps=1)
    train = done.recordings.train
    level = audio.speech_level([train.crop(0, 0, int(train.lengths[0]))], RATE)
    assert level == pytest.approx(learned or -29.0, abs=0.5)


def test_the_seed_decides(model, wavs):
    recordings = read_recordings(audio.find([wavs]), "me", RATE)
    one, same, other = (
        torch.cat(fit_speaker(model, recordings, SPEAKERS, steps=3, seed=seed).vectors)
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_second_one_and_a_replacement(folder, model, hidden, wavs, tmp_path):
    enroll(folder, "me", wavs, steps=60)
    enroll(folder, "you", record(tmp_path / "you", model, -hidden), steps=5)
    first = model_folder.load_model(folder).vqvae.decoder.conditioner.speakers.weight
    with pytest.raises(ValueError, match=r"name 'me': .* has a speaker of this name; .*--replace"):
        enroll(folder, "me", wavs)
    done = enroll(folder, "me", wavs, steps=7, replace=True)
    after = model_folder.load_model(folder)
    assert after.speakers == [*SPEAKERS, "me", "you"]
    second = after.vqvae.decoder.conditioner.speakers.weight
    assert torch.equal(second[[0, 1, 3]], first[[0, 1, 3]])
    assert torch.equal(second[2], done.fit.vectors[0])
    assert done.fit.nearest != "me"  # who is replaced: going on from there is not repeatable
    card = (folder / "README.md").read_text()
    begin, rest = card.split("## Enrolled speakers")
    assert begin == CARD.split("## Limits")[0]
    assert rest.endswith("\n\n## Limits\n\n- It is tiny.\n")
    assert [line.split(":")[0] for line in rest.splitlines() if line.startswith("- ")] == [
        "- you", "- me", "- It is tiny."
    ]  # fmt: skip
    assert "7 steps, seed 0" in rest


def test_a_copy(folder, wavs, tmp_path):
    files = contents(folder)
    done = enroll(folder, "me", wavs, steps=2, out=tmp_path / "new" / "m")
    assert done.folder == tmp_path / "new" / "m"
    assert contents(folder) == files
    assert model_folder.load_model(done.folder).speakers == [*SPEAKERS, "me"]
    assert contents(done.folder).keys() == files.keys()


@pytest.mark.parametrize(
    "name", ["README.md", "config.yaml", "model.safetensors", "prior/README.md"]
)
def test_a_copy_overwrites_nothing(folder, wavs, tmp_path, name):
    mine = tmp_path / "mine" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(FileExistsError, match=f"{name}: would be overwritten; name another folder"):
        enroll(folder, "me", wavs, steps=2, out=tmp_path / "mine")
    assert [path for path in (tmp_path / "mine").rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_a_copy_has_the_prior(folder, wavs, tmp_path):
    model = model_folder.load_model(folder)
    codebook = model_folder.codebook_of(model)
    prior = Prior(PriorConfig(), codebook.codebook_size, SPEAKERS)
    save_prior(folder / "prior", prior, codebook, {}, "card")
    (folder / "prior/codes").mkdir()  # what it has learned from stays behind
    out = enroll(folder, "me", wavs, steps=2, out=tmp_path / "copy").folder
    assert sorted(path.name for path in (out / "prior").iterdir()) == [
        "README.md", "config.yaml", "model.safetensors"
    ]  # fmt: skip
    load_prior(out, model_folder.codebook_of(model_folder.load_model(out)))


@pytest.mark.parametrize("rate", [1e6, float("inf")])  # the latter ends in NaN
def test_what_does_not_learn_takes_the_nearest_voice(folder, wavs, monkeypatch, caplog, rate):
    monkeypatch.setattr(enrolling, "STAGE", replace(enrolling.STAGE, learning_rate=rate))
    monkeypatch.setattr(enrolling, "MEL_STAGE", replace(enrolling.MEL_STAGE, learning_rate=rate))
    fit = enroll(folder, "me", wavs, steps=20).fit
    assert "no vector was found" in caplog.text
    table = model_folder.load_model(folder).vqvae.decoder.conditioner.speakers.weight
    assert torch.equal(table[2], table[SPEAKERS.index(fit.nearest)])
    assert fit.bits_after == fit.bits_before


def test_who_has_the_nearest_voice_changes_nobody_elses(streaming, wavs, tmp_path, monkeypatch):
    """The average speaker, whom speech is guided away from, is that of the training still."""
    for stage in ("STAGE", "MEL_STAGE"):
        short = replace(getattr(enrolling, stage), segment_length=800, learning_rate=math.inf)
        monkeypatch.setattr(enrolling, stage, short)
    folder, codes = tmp_path / "m", np.arange(80).reshape(40, 2) % 8
    model_folder.save_model(folder, streaming, {}, CARD)
    said = [sample(streaming, codes, name) for name in SPEAKERS]
    fit = enroll(folder, "me", wavs, steps=3).fit
    assert fit.bits_after == fit.bits_before
    after = model_folder.load_model(folder)
    for name, before in zip(SPEAKERS, said, strict=True):
        assert np.array_equal(sample(after, codes, name), before)
    assert np.array_equal(sample(after, codes, "me"), said[SPEAKERS.index(fit.nearest)])


def test_two_at_a_time(streaming, wavs, tmp_path, monkeypatch):
    """Another speaker may be added to the folder while one is learned."""
    monkeypatch.setattr(enrolling, "STAGE", replace(enrolling.STAGE, segment_length=800))
    folder = tmp_path / "m"
    model_folder.save_model(folder, streaming, {}, CARD)
    fit = enrolling.fit_speaker

    def fit_beside_another(*args):
        monkeypatch.setattr(enrolling, "fit_speaker", fit)
        enroll(folder, "other", wavs, steps=2)
        return fit(*args)

    monkeypatch.setattr(enrolling, "fit_speaker", fit_beside_another)
    done = enroll(folder, "me", wavs, steps=2)
    table = model_folder.load_model(folder).mel_predictor.table.weight
    assert model_folder.read_speakers(folder) == [*SPEAKERS, "other", "me"]
    assert torch.equal(table[3], torch.cat([done.fit.vectors[1], torch.tensor([0.0, 1.0])]))


@pytest.mark.parametrize("moment", [1, 2, 3])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_failure_while_writing(folder, wavs, monkeypatch, moment, error):
    """The weights are written first: the folder is the former model, or has the new speaker."""
    files, replaced, put = contents(folder), [], os.replace

    def failing(one, other):
        replaced.append(other)
        if len(replaced) == moment:
            raise error
        put(one, other)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing)
        with pytest.raises(type(error) if isinstance(error, OSError) else error):
            enroll(folder, "me", wavs, steps=1)
    if moment == 1:
        assert contents(folder) == files
    else:
        assert model_folder.load_model(folder).speakers == [*SPEAKERS, "me"]
        assert model_folder.read_speakers(folder) == [*SPEAKERS, "me"]


def test_an_interrupt_while_learning_leaves_the_folder(folder, wavs, monkeypatch):
    files = contents(folder)

    def stop(config, step):
        if step == 1:
            raise KeyboardInterrupt
        return 0.1

    monkeypatch.setattr(enrolling, "learning_rate", stop)
    with pytest.raises(KeyboardInterrupt):
        enroll(folder, "me", wavs, steps=3)
    assert contents(folder) == files


@pytest.mark.parametrize("name", ["", "a/b", "..", ".a", "-a", "a b", "a,b", "a\n", "x" * 51, "é/"])
def test_names_that_are_not_fit_for_files(folder, wavs, name):
    with pytest.raises(ValueError, match="files are named after speakers"):
        enroll(folder, name, wavs)


@pytest.mark.parametrize("name", ["me", "p225.2", "José", "7", "a_b-c", "x" * 50])
def test_names_that_are(folder, name):
    check_new_speaker(folder, name)


class TestHear:
    def noise(self, seconds, seed=0):
        rng = np.random.default_rng(seed)
        return (0.1 * rng.standard_normal(round(seconds * RATE))).astype(np.float32)

    def test_every_sample_is_on_one_side(self, tmp_path):
        waveforms = [self.noise(seconds, i) for i, seconds in enumerate((14.2, 0.7, 9.1, 3.9))]
        for i, waveform in enumerate(waveforms):
            audio.write(tmp_path / f"{i}.wav", waveform, RATE)
        recordings = read_recordings(audio.find([tmp_path]), "me", RATE)
        train, held_out = recordings.train, recordings.held_out
        assert train.seconds + held_out.seconds == pytest.approx(27.9)
        assert 0.1 < held_out.seconds / 27.9 < 0.35
        everything = np.concatenate([audio.read(p, RATE)[0] for p in audio.find([tmp_path])])
        parts = [w.crop(i, 0, n) for w in (train, held_out) for i, n in enumerate(w.lengths)]
        # The noise does not repeat: what has every sample has each once
        assert np.array_equal(np.sort(np.concatenate(parts)), np.sort(everything))
        assert max(held_out.lengths) <= 4 * RATE
        assert max(train.lengths) > 4 * RATE  # neighbours stay together
        assert recordings.used == 4
        assert {u.speaker for u in train.utterances + held_out.utterances} == {"me"}

    def test_all_are_as_loud_as_they_shall_be(self, tmp_path):
        for i, gain in enumerate((0.05, 0.8)):
            audio.write(tmp_path / f"{i}.wav", gain * self.noise(12, i), RATE)
        recordings = read_recordings(audio.find([tmp_path]), "me", RATE, level=-30.0)
        for part in (recordings.train, recordings.held_out):
            for i, length in enumerate(part.lengths):
                piece = part.crop(i, 0, length)
                assert audio.speech_level([piece], RATE) == pytest.approx(-30, abs=0.3)

    def test_a_single_recording_just_long_enough(self, tmp_path):
        audio.write(tmp_path / "a.wav", self.noise(10.01), RATE)
        recordings = read_recordings([tmp_path / "a.wav"], "me", RATE)
        assert recordings.train.seconds > 2 * recordings.held_out.seconds * 0.9

    def test_of_long_recordings_less_is_held_out(self, tmp_path):
        audio.write(tmp_path / "a.wav", self.noise(400), RATE)
        assert read_recordings([tmp_path / "a.wav"], "me", RATE).held_out.seconds <= 48

    def test_silence_is_no_speech(self, tmp_path):
        pause = np.zeros(20 * RATE, np.float32)
        parts = [pause, self.noise(4), pause, self.noise(4.5), pause]
        audio.write(tmp_path / "a.wav", np.concatenate(parts), RATE)
        message = (
            r"^8\.5 s of speech in 1 usable recording; at least 10 s is needed, and 60 s serve"
        )
        with pytest.raises(ValueError, match=message):
            read_recordings([tmp_path / "a.wav"], "me", RATE)
        audio.write(tmp_path / "b.wav", self.noise(2), RATE)
        recordings = read_recordings(audio.find([tmp_path]), "me", RATE)
        assert recordings.speech == pytest.approx(10.5, abs=0.05)
        assert recordings.train.seconds + recordings.held_out.seconds < 31  # no ends

    def test_what_cannot_be_used_is_left_out(self, tmp_path, caplog):
        audio.write(tmp_path / "good.wav", self.noise(12), RATE)
        audio.write(tmp_path / "silent.wav", np.zeros(RATE, np.float32), RATE)
        (tmp_path / "broken.wav").write_bytes(b"RIFF")
        with caplog.at_level(logging.WARNING):
            recordings = read_recordings(audio.find([tmp_path]), "me", RATE)
        assert recordings.used == 1
        assert {path.name for path in recordings.unusable} == {"broken.wav", "silent.wav"}
        assert "silent.wav: silent from beginning to end; left out" in caplog.text
        with pytest.raises(ValueError, match=r"^0\.0 s of speech in 0 usable recordings"):
            read_recordings([tmp_path / "broken.wav", tmp_path / "silent.wav"], "me", RATE)


def test_steps(folder, wavs):
    with pytest.raises(ValueError, match="steps: must be at least 1, got 0"):
        enroll(folder, "me", wavs, steps=0)


def test_of_copies_one_is_learned_from(wavs, tmp_path, caplog):
    copies = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path in copies:
        path.write_bytes((wavs / "1.wav").read_bytes())
    os.symlink(wavs / "2.wav", tmp_path / "c.wav")
    paths = sorted(wavs.iterdir())
    once = read_recordings(paths, "me", RATE)
    caplog.set_level("INFO")
    again = read_recordings([*paths, *copies, tmp_path / "c.wav"], "me", RATE)
    assert (again.used, again.speech) == (once.used, once.speech)
    assert "left out 3 copies of other recordings" in caplog.text
