"""Codes of whole utterances for the stages that learn on frozen codes of a streaming encoder."""

import copy
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speechvq.config import ConditionerConfig, DecoderStage, MelPredictorStage, MelStage
from speechvq.config import TrainingConfig as Training
from speechvq.data.manifest import read_manifest, write_manifest
from speechvq.data.segments import Waveforms
from speechvq.distributed import Processes
from speechvq.evaluation.likelihood import bits_per_sample
from speechvq.model import Model
from speechvq.model_folder import load_model
from speechvq.sampling import encode
from speechvq.training import frozen_codes as frozen
from speechvq.training.checkpoint import CODES, LAST, _load
from speechvq.training.corpus import Corpus
from speechvq.training.frozen_codes import FrozenCodes, frozen_codes_of
from speechvq.training.metrics import FILE
from speechvq.training.objectives import build_objective
from speechvq.training.objectives.decoder import MARGIN, margin_of
from speechvq.training.train import train

ALONE = Processes(torch.device("cpu"))
SHORT = {"batch_size": 4, "learning_rate": 3e-3, "warmup_steps": 2}
MEL = MelStage(steps=4, segment_length=1600, speaker_exponent=0.7, **SHORT)
PREDICTOR = MelPredictorStage(steps=3, segment_length=800, codebook="keep", **SHORT)
DECODER = DecoderStage(steps=4, segment_length=400, **SHORT)
TRAINING = Training(
    precision="float32",
    log_every=1,
    valid_every=3,
    checkpoint_every=2,
    valid_utterances=2,
    samples=0,
    tensorboard=False,
)


@pytest.fixture(params=[True, False], ids=["mel condition", "codes alone"])
def config(request, tiny_streaming_config):
    decoder = replace(tiny_streaming_config.decoder, mel_condition=request.param)
    return replace(tiny_streaming_config, decoder=decoder)


@pytest.fixture(scope="module")
def model(tiny_streaming_config) -> Model:
    torch.manual_seed(0)
    model = Model(tiny_streaming_config, ["p225", "p226"]).eval()
    with torch.no_grad():
        model.vqvae.quantizer.initialise(model.latents(0.1 * torch.randn(1, 8000))[0])
    return model


@pytest.fixture
def waveforms(tiny_corpus) -> Waveforms:
    return Waveforms(read_manifest(tiny_corpus.train), 8000)


def whole(model, waveforms, i):
    with torch.no_grad():
        waveform = torch.from_numpy(waveforms.crop(i, 0, int(waveforms.lengths[i])))
        return model.encode(waveform[None])[0].numpy()


def test_a_crop_is_of_the_codes_of_the_whole(model, waveforms):
    codes = FrozenCodes(model, waveforms, ALONE, progress=False)
    codes.find()
    for i in range(len(waveforms)):
        expected = whole(model, waveforms, i)
        N = len(expected)
        assert np.array_equal(codes.crop(i, 0, N), expected)
        inside = codes.crop(i, 3, 5)
        assert np.array_equal(inside, expected[3:8]) and inside.dtype == np.int64
        before, after = codes.crop(i, -2, 4), codes.crop(i, N - 1, 3)
        assert np.array_equal(before, expected[[0, 0, 0, 1]])
        assert np.array_equal(after, expected[[-1, -1, -1]])


def test_the_encoder_is_left_as_it_was(model, waveforms):
    """A stage that learns has its modules in train mode, in which the running mean would move."""
    model.train()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    FrozenCodes(model, waveforms, ALONE, progress=False).find()
    assert model.vqvae.encoder.training and model.vqvae.quantizer.training
    for name, x in model.state_dict().items():
        torch.testing.assert_close(x, before[name], rtol=0, atol=0, equal_nan=True)
    model.eval()


def test_an_encoder_of_windows_needs_none(tiny_config, waveforms):
    assert frozen_codes_of(Model(tiny_config, ["a"]), waveforms, ALONE) is None


class Second(Processes):
    """The second of two processes; the first could not decode utterance 0."""

    def __init__(self, other):
        super().__init__(torch.device("cpu"), rank=1, world_size=2)
        object.__setattr__(self, "_other", other)

    def any(self, flag):
        return flag

    def gather_objects(self, found):
        assert set(found) == {1, 3, 5}
        return [self._other, found]


def test_processes_share_the_work(model, waveforms):
    expected = [whole(model, waveforms, i) for i in range(6)]
    codes = FrozenCodes(model, waveforms, Second({2: expected[2], 4: expected[4]}), progress=False)
    codes.find()
    for i in range(1, 6):
        assert np.array_equal(codes.crop(i, 0, len(expected[i])), expected[i])
    # What another process could not decode is left out here, too
    assert waveforms.left_out.tolist() == [True] + 5 * [False]
    assert codes.crop(0, 0, 4).shape == (4, 2)


def moved(manifest, folder):
    """The same manifest and its audio at another place."""
    folder.mkdir()
    utterances = []
    for u in read_manifest(manifest):
        path = folder / Path(u.path).name
        path.write_bytes(Path(u.path).read_bytes())
        utterances.append(replace(u, path=str(path)))
    write_manifest(folder / "list.jsonl", utterances)
    return utterances, str(folder / "list.jsonl")


def test_an_utterance_that_cannot_be_decoded_is_left_out(model, tiny_corpus, tmp_path):
    utterances, _ = moved(tiny_corpus.train, tmp_path / "data")
    waveforms = Waveforms(utterances, 8000, cache_bytes=0)
    Path(utterances[2].path).write_bytes(b"RIFF")
    codes = FrozenCodes(model, waveforms, ALONE, progress=False)
    codes.find()
    assert waveforms.left_out.tolist() == [i == 2 for i in range(6)]
    corpus = Corpus(model, waveforms, None, ALONE, seed=0)
    batches = corpus.batches(replace(DECODER, steps=20), codes=codes)
    for step in range(20):
        batch = batches[step]
        for row, found in zip(batch.waveform, batch.codes, strict=True):
            assert row.abs().max() > 0 and found.shape == (5, 2)


def test_held_out_pieces_have_their_codes(model, waveforms, monkeypatch):
    """Those of the whole utterance, where a piece begins in the middle, too."""
    monkeypatch.setattr("speechvq.training.corpus.PIECE_SECONDS", 0.2)
    corpus = Corpus(model, waveforms, waveforms, ALONE, seed=0)
    codes = FrozenCodes(model, waveforms, ALONE, progress=False)
    codes.find()
    found: dict[int, list] = {}
    place = -1
    for batch in corpus.held_out_batches(codes=codes):
        if not found or sum(map(len, found[place])) == -(-int(waveforms.lengths[place]) // 80):
            place += 1
        found.setdefault(place, []).append(batch.codes[0].numpy())
        assert len(found[place][-1]) == -(-batch.waveform.shape[1] // 80)
    assert len(found) == 6 and all(len(pieces) > 1 for pieces in found.values())
    alone = []
    for i, pieces in found.items():
        assert np.array_equal(np.concatenate(pieces), whole(model, waveforms, i))
        with torch.no_grad():
            second = torch.from_numpy(waveforms.crop(i, 1600, 1600))
            alone.append(np.array_equal(model.encode(second[None])[0].numpy(), pieces[1]))
    assert not all(alone), "the test above could not fail"


def test_the_margin_is_what_the_predictor_looks_back_on(tiny_config, tiny_streaming_config):
    assert margin_of(Model(tiny_config, ["a"])) == MARGIN
    stack = replace(tiny_streaming_config.mel_predictor.stack, dilations=(8, 2), lookahead=(1, 1))
    predictor = replace(tiny_streaming_config.mel_predictor, stack=stack)
    far = Model(replace(tiny_streaming_config, mel_predictor=predictor), ["a"])
    assert margin_of(far) == far.mel_predictor.stack.past == 18
    decoder = replace(tiny_streaming_config.decoder, mel_condition=False)
    blind = replace(far.config, decoder=decoder)
    assert margin_of(Model(blind, ["a"])) == MARGIN


def test_the_condition_of_a_segment_is_that_of_the_whole(model, waveforms):
    """But for what the conditioner's own convolutions see beyond the margin."""
    objective = build_objective(DECODER, model)
    codes = FrozenCodes(model, waveforms, ALONE, progress=False)
    codes.find()
    margin, speaker = objective.margin, torch.tensor([0])
    N = len(whole(model, waveforms, 2))
    first = margin + 5
    with torch.no_grad():
        everything = model.local_condition(torch.from_numpy(codes.crop(2, 0, N))[None], speaker)
        some = torch.from_numpy(codes.crop(2, first - margin, 2 * margin + 5))[None]
        segment = model.local_condition(some, speaker)
    torch.testing.assert_close(
        segment[:, margin:-margin], everything[:, first : first + 5], atol=1e-5, rtol=1e-4
    )


def test_bits_per_sample_are_on_codes_of_whole_utterances(model, tiny_corpus, monkeypatch):
    (utterance,) = read_manifest(tiny_corpus.valid)[:1]
    one = bits_per_sample(model, [utterance]).value
    used = []
    original = Model.local_condition
    monkeypatch.setattr("speechvq.training.corpus.PIECE_SECONDS", 0.2)
    monkeypatch.setattr(
        Model, "local_condition", lambda self, k, s: (used.append(k), original(self, k, s))[1]
    )
    pieces = bits_per_sample(model, [utterance]).value
    assert pieces == pytest.approx(one, rel=0.02)
    waveforms = Waveforms([utterance], 8000)
    assert np.array_equal(torch.cat(used, 1)[0].numpy(), whole(model, waveforms, 0))


def test_a_streaming_model_trains(config, tmp_path, tiny_corpus, read_lines):
    stages = (MEL, PREDICTOR, DECODER)
    data = replace(tiny_corpus, level=-25.0)
    model = load_model(train(config, data, stages, TRAINING, tmp_path))
    assert model.config == config
    assert model.speech_level == pytest.approx(-25.0, abs=0.2)
    records = read_lines(tmp_path / FILE)
    valid = [r for r in records if r["kind"] == "valid"]
    for record in valid:
        assert 1 <= record["perplexity"] <= 8 and 0 <= record["dead_codes"] <= 14
    assert valid[-1]["kl_bits_per_code"] == 6 and valid[-1]["bitrate"] == 600
    # The perplexity is the mean over codebooks of that on the held-out codes
    held_out = Waveforms(read_manifest(tiny_corpus.valid), 8000, level=-25.0)
    lengths = enumerate(held_out.lengths)
    codes = np.concatenate([encode(model, held_out.crop(i, 0, int(n))) for i, n in lengths])
    expected = []
    for book in codes.T:
        p = np.bincount(book, minlength=8) / len(book)
        expected.append(np.exp(-(p[p > 0] * np.log(p[p > 0])).sum()))
    assert valid[-1]["perplexity"] == pytest.approx(np.mean(expected), rel=1e-4)
    card = (tmp_path / "README.md").read_text()
    assert "100 codes per second from 2 codebooks of 8 (hop length 80 samples)" in card


@pytest.mark.parametrize("after", [2, 5, 8, 9])
def test_resume_is_exact(config, after, tmp_path, tiny_corpus, monkeypatch):
    """Within each stage, and at the end of one: codes are found anew, and are the same."""
    from speechvq.training.trainer import Interrupted, Trainer

    stages = (MEL, PREDICTOR, DECODER)
    train(config, tiny_corpus, stages, TRAINING, tmp_path / "one")
    step = Trainer._step

    def stopped(self, *arguments):
        step(self, *arguments)
        if self.state.global_step == after:
            self._signal = signal.SIGINT

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Trainer, "_step", stopped)
        train(config, tiny_corpus, stages, TRAINING, tmp_path / "two")
    train(config, tiny_corpus, stages, TRAINING, tmp_path / "two", resume=True)
    one, two = _load(tmp_path / "one" / LAST), _load(tmp_path / "two" / LAST)
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(two[name], tensor), name


def test_codes_are_found_once(tmp_path, tiny_streaming_config, tiny_corpus, monkeypatch, caplog):
    """For both stages that read them, and for a resume; what is damaged is found anew."""
    caplog.set_level("INFO")
    encoded = []
    original = frozen.encode_blocks
    count = lambda *arguments: encoded.append(1) or original(*arguments)  # noqa: E731
    monkeypatch.setattr(frozen, "encode_blocks", count)

    def trained(**options):
        encoded.clear()
        train(tiny_streaming_config, tiny_corpus, stages, TRAINING, tmp_path, **options)
        return len(encoded)

    stages = (MEL, PREDICTOR, DECODER)
    assert trained() == 6 + 2
    assert trained(resume=True) == 0
    first = _load(tmp_path / LAST)
    file = tmp_path / CODES / "train.safetensors"
    whole = file.read_bytes()
    for wrong in (whole[:-4], b"", whole.replace(b'"source":"', b'"source":"x')):
        file.write_bytes(wrong)
        caplog.clear()
        assert trained(resume=True) == 6
        (line,) = [r.getMessage() for r in caplog.records if "anew" in r.getMessage()]
        assert line.startswith(f"{file}: ")
        assert file.read_bytes() == whole
    again = _load(tmp_path / LAST)
    assert all(torch.equal(again[name], tensor) for name, tensor in first.items())


def test_the_codes_of_another_encoder_do_not_fit(model, waveforms, tmp_path):
    codes = FrozenCodes(model, waveforms, ALONE, False, tmp_path / "codes")
    codes.find()
    other = copy.deepcopy(model)
    random = torch.Generator().manual_seed(5)  # not that of the model
    with torch.no_grad():
        noise = 0.1 * torch.randn(1, 8000, generator=random)
        other.vqvae.quantizer.initialise(other.latents(noise)[0])
    FrozenCodes(other, waveforms, ALONE, False, tmp_path / "codes").find()
    found = FrozenCodes(other, waveforms, ALONE, False, tmp_path / "codes")
    found.find()
    for i in range(len(waveforms)):
        expected = whole(other, waveforms, i)
        assert np.array_equal(found.crop(i, 0, len(expected)), expected)
    assert not np.array_equal(codes.crop(0, 0, 30), found.crop(0, 0, 30))


def test_a_decoder_for_the_codes_of_a_model(tmp_path, tiny_streaming_config, tiny_corpus):
    """Another conditioner, on the codes and the mel predictor of a trained model."""
    config = tiny_streaming_config
    first = train(config, tiny_corpus, (MEL,), TRAINING, tmp_path / "first")
    conditioner = ConditionerConfig(channels=4, upsample=1)
    other = replace(config, decoder=replace(config.decoder, conditioner=conditioner))
    taken = replace(TRAINING, init_from=str(first))
    second = train(other, tiny_corpus, (DECODER,), taken, tmp_path / "second")
    one, two = load_model(first), load_model(second)
    predictor = two.mel_predictor.state_dict()
    for name, tensor in one.mel_predictor.state_dict().items():
        assert torch.equal(predictor[name], tensor), name
    smaller = replace(other, mel_predictor=replace(other.mel_predictor, bands=6))
    with pytest.raises(ValueError, match="^training.init_from: .* has no trained mel predictor"):
        train(smaller, tiny_corpus, (DECODER,), taken, tmp_path / "third")
    train(smaller, tiny_corpus, (PREDICTOR, DECODER), taken, tmp_path / "fourth")
    waveform = 0.1 * np.random.default_rng(0).standard_normal(3000)
    np.testing.assert_array_equal(encode(one, waveform), encode(two, waveform))


def test_a_stage_on_some_speakers(tmp_path, tiny_streaming_config, tiny_corpus):
    only = replace(DECODER, speakers=("p226",))
    train(tiny_streaming_config, tiny_corpus, (MEL, only), TRAINING, tmp_path / "a")
    unknown = replace(DECODER, speakers=("p999",))
    with pytest.raises(ValueError, match="^stages.decoder.speakers: no utterance of 'p999' in the"):
        train(tiny_streaming_config, tiny_corpus, (MEL, unknown), TRAINING, tmp_path / "b")
