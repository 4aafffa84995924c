"""Codes to speech: determinism, batches, threads, interrupts, and what is refused."""

import dataclasses
import threading
import time

import numpy as np
import pytest
import torch

import speechvq
from speechvq import sampling
from speechvq.config import ConditionerConfig, ConditionerMelPredictorConfig
from speechvq.model import Model
from speechvq.models import mu_law
from speechvq.postfilter import filter as mel_filter
from speechvq.sampling import SamplingOptions, batched_sampler, draw
from speechvq.sampling.conditions import Conditions
from speechvq.sampling.reference_step import ReferenceSampler


def make_model(config) -> Model:
    torch.manual_seed(0)
    model = Model(config, ["p225", "p226"]).eval()
    with torch.no_grad():
        for weights in model.vqvae.decoder.wavenet.parameters():
            weights.mul_(3)
    return model


def smooth_model(config, layers: int) -> Model:
    """With convolutions over four condition vectors a code."""
    torch.manual_seed(1)
    conditioner = ConditionerConfig(channels=4, upsample=4, layers=layers)
    decoder = dataclasses.replace(config.decoder, conditioner=conditioner)
    return Model(dataclasses.replace(config, decoder=decoder), ["a"]).eval()


@pytest.fixture(scope="module")
def plain(tiny_config):
    """Without sub-bands or a post-filter: its samples are those drawn."""
    return make_model(
        dataclasses.replace(tiny_config, mel_predictor=ConditionerMelPredictorConfig())
    )


@pytest.fixture(scope="module", params=[1, 4])
def model(tiny_config, request):
    """With and without sub-bands."""
    decoder = dataclasses.replace(tiny_config.decoder, subbands=request.param)
    model = make_model(dataclasses.replace(tiny_config, decoder=decoder))
    model.vqvae.decoder.pqmf.scale.fill_(0.5 if request.param > 1 else 1.0)
    return model


@pytest.fixture(scope="module")
def codes(model):
    rng = np.random.default_rng(0)
    return [rng.integers(0, model.codebook_size, n) for n in (30, 1, 7, 200, 12)]


def test_a_waveform(plain, codes):
    model = plain
    waveform = sampling.sample(model, codes[0], "p225")
    assert waveform.shape == (30 * model.hop_length,)
    assert waveform.dtype == np.float32
    amplitudes = mu_law.decode(torch.arange(256)).numpy()
    assert np.isin(waveform, amplitudes).all()


def test_the_samples_are_those_of_the_definition(plain, codes):
    """Teacher forcing on the drawn samples gives the distributions they were drawn from."""
    model = plain
    waveform = sampling.sample(model, codes[0], "p226", SamplingOptions(seed=5, temperature=0.8))
    levels = mu_law.encode(torch.from_numpy(waveform))[None, :, None]
    with torch.no_grad():
        quantized = model.vqvae.quantizer.lookup(torch.from_numpy(codes[0])[None])
        decoder = model.vqvae.decoder
        condition = decoder.conditioner(quantized, torch.tensor([1]))
        logits = decoder.wavenet(levels, condition)[0, :, 0].double().numpy() / 0.8
    p = np.exp(logits - logits.max(1, keepdims=True))
    cumulative = np.cumsum(p / p.sum(1, keepdims=True), axis=1)
    uniforms = np.random.Generator(np.random.PCG64(5)).random(len(waveform))
    expected = [
        np.searchsorted(c, u, side="right") for c, u in zip(cumulative, uniforms, strict=True)
    ]
    np.testing.assert_array_equal(levels[0, :, 0].numpy(), expected)


def test_seed_speaker_codes_and_temperature_matter_and_nothing_else(model, codes):
    base = sampling.sample(model, codes[0], "p225", SamplingOptions(seed=1))
    np.random.seed(3)
    torch.manual_seed(3)
    np.testing.assert_array_equal(
        sampling.sample(model, codes[0], "p225", SamplingOptions(seed=1)), base
    )
    np.testing.assert_array_equal(
        sampling.sample(model, torch.from_numpy(codes[0]), "p225", SamplingOptions(seed=1)), base
    )
    for other in (
        sampling.sample(model, codes[0], "p225", SamplingOptions(seed=2)),
        sampling.sample(model, codes[0], "p226", SamplingOptions(seed=1)),
        sampling.sample(model, codes[3][:30], "p225", SamplingOptions(seed=1)),
        sampling.sample(model, codes[0], "p225", SamplingOptions(seed=1, temperature=0.5)),
    ):
        assert not np.array_equal(other, base)


def test_the_models_own_nucleus_is_the_default(model, codes, monkeypatch):
    def drawn(**options):
        return sampling.sample(model, codes[0], "p225", SamplingOptions(seed=1, **options))

    whole, nucleus = drawn(), drawn(top_p=0.3)
    assert not np.array_equal(whole, nucleus)
    decoder = dataclasses.replace(model.config.decoder, top_p=0.3)
    monkeypatch.setattr(model, "config", dataclasses.replace(model.config, decoder=decoder))
    np.testing.assert_array_equal(drawn(), nucleus)
    np.testing.assert_array_equal(drawn(top_p=1), whole)
    chunks = sampling.stream(model, [codes[0]], "p225", SamplingOptions(seed=1))
    np.testing.assert_array_equal(np.concatenate(list(chunks)), nucleus)


@pytest.mark.parametrize("threads", [1, 2, 5, None])
def test_a_batch_is_its_single_runs(model, codes, threads):
    speakers, seeds = ["p225", "p226", "p225", "p226", "p225"], [3, 1, 4, 1, 5]
    batch = sampling.sample_batch(model, codes, speakers, seeds=seeds, threads=threads)
    for waveform, *arguments in zip(batch, codes, speakers, seeds, strict=True):
        one, speaker, seed = arguments
        np.testing.assert_array_equal(
            waveform, sampling.sample(model, one, speaker, SamplingOptions(seed=seed))
        )


def test_the_plain_step_stands_behind_the_same_call(model, codes, monkeypatch):
    """What draws on a GPU, here on the CPU."""
    expected = sampling.sample(model, codes[2], "p225")
    monkeypatch.setattr(
        batched_sampler, "build_engine", lambda parts, precision: ReferenceSampler(parts.wavenet)
    )
    np.testing.assert_array_equal(sampling.sample(model, codes[2], "p225"), expected)


def test_smooth_conditions(tiny_config):
    """Several condition vectors a code, and convolutions over them."""
    model = smooth_model(tiny_config, layers=1)
    assert len(sampling.sample(model, np.array([1, 2, 3]), "a")) == 3 * model.hop_length


def test_progress_adds_up(model, codes):
    told = []
    sampling.sample_batch(model, codes, ["p225"] * 5, threads=3, progress=told.append)
    assert sum(told) == model.hop_length * sum(map(len, codes))
    told.clear()
    sampling.sample(model, np.tile(codes[3], 10), "p225", progress=told.append)
    assert len(told) > 10  # a quarter of a second at a time


@pytest.mark.parametrize(("threads", "count"), [(1, 4), (2, 4), (2, 1)])
def test_an_interrupt_ends_it_soon(model, threads, count):
    long = [np.zeros(100_000, np.int64)] * count
    before = threading.active_count()

    def interrupt(samples):
        raise KeyboardInterrupt

    began = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        sampling.sample_batch(model, long, ["p225"] * count, threads=threads, progress=interrupt)
    assert time.perf_counter() - began < 2
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codes": np.array([8])}, r"codes: 8 is out of range; this model's codes are 0 … 7"),
        ({"codes": np.array([3, -1])}, "codes: -1 is out of range"),
        ({"codes": np.array([], np.int64)}, r"codes: expected integers of shape \(N,\)"),
        ({"codes": np.array([[1]])}, r"got int64 of shape \(1, 1\)"),
        ({"codes": np.array([1.5])}, "got float64 of shape"),
        (
            {"speaker": "p22"},
            "unknown speaker 'p22'; this model knows p225, p226; did you mean p22",
        ),
        (
            {"temperature": 0.0},
            "temperature: must be above 0, got 0.0; .* argmax, which is not samp",
        ),
        ({"temperature": -1.0}, "temperature: must be above 0"),
        ({"temperature": float("nan")}, "temperature: must be above 0"),
        ({"temperature": float("inf")}, "temperature: must be above 0"),
        ({"seed": -1}, "seed: must be a whole number, 0 or more, got -1"),
    ],
)
def test_what_is_refused(model, change, message):
    arguments = {"codes": np.array([1, 2]), "speaker": "p225"} | change
    codes, speaker = arguments.pop("codes"), arguments.pop("speaker")
    with pytest.raises(ValueError, match=message):
        sampling.sample(model, codes, speaker, SamplingOptions(**arguments))


def test_a_batch_whose_parts_do_not_fit(model, codes):
    with pytest.raises(ValueError, match="5 utterances, 2 speakers and 5 seeds"):
        sampling.sample_batch(model, codes, ["p225", "p226"])
    with pytest.raises(ValueError, match="one name an utterance expected"):
        sampling.sample_batch(model, codes, "p225")
    with pytest.raises(ValueError, match="threads: must be 1 or more, got 0"):
        sampling.sample_batch(model, codes, ["p225"] * 5, threads=0)
    assert sampling.sample_batch(model, [], []) == []


@pytest.mark.parametrize("T", [1, 15, 16, 17, 500])
def test_a_conversion_is_as_long_as_its_source(model, T):
    waveform = np.sin(np.arange(T)).astype(np.float32) / 2
    converted = speechvq.convert(model, waveform, "p226", SamplingOptions(seed=2))
    assert converted.shape == (T,)
    codes = speechvq.encode(model, waveform)
    np.testing.assert_array_equal(
        converted, speechvq.sample(model, codes, "p226", SamplingOptions(seed=2))[:T]
    )


def test_a_batch_of_many_takes_turns_in_the_places(model, monkeypatch):
    """More utterances than places, of lengths that end apart."""
    monkeypatch.setattr(batched_sampler, "CPU_BATCH", 3)
    rng = np.random.default_rng(1)
    codes = [rng.integers(0, 8, n) for n in rng.integers(1, 150, 14)]
    seeds = list(range(14))
    batch = sampling.sample_batch(model, codes, ["p226"] * 14, seeds=seeds, threads=2)
    for one, seed, waveform in zip(codes, seeds, batch, strict=True):
        np.testing.assert_array_equal(
            waveform, sampling.sample(model, one, "p226", SamplingOptions(seed=seed))
        )


class Sink:
    def __init__(self):
        self.chunks, self.closed = [], False

    def write(self, waveform):
        assert not self.closed
        self.chunks.append(waveform.copy())

    def close(self):
        self.closed = True


def test_into_sinks(model, codes):
    sinks = [Sink() for _ in codes]
    lengths = [100, 16, 1, 3100, 192]
    speakers = ["p225"] * 5
    sampling.sample_into(sinks, model, codes, speakers, SamplingOptions(seed=7), lengths=lengths)
    for sink, one, length in zip(sinks, codes, lengths, strict=True):
        assert sink.closed
        expected = sampling.sample(model, one, "p225", SamplingOptions(seed=7))[:length]
        np.testing.assert_array_equal(np.concatenate(sink.chunks), expected)
    assert (
        max(len(chunk) for chunk in sinks[3].chunks)
        <= batched_sampler.CHUNK_SECONDS * model.sample_rate + 16
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_a_sink_that_breaks_ends_it(model, codes, threads):
    class Full(Sink):
        def write(self, waveform):
            raise OSError("no space")

    sinks = [Sink(), Full()]
    with pytest.raises(OSError, match="no space"):
        sampling.sample_into(
            sinks, model, [np.zeros(10**6, np.int64)] * 2, ["p225"] * 2, threads=threads
        )
    assert not sinks[1].closed


def test_memory_does_not_grow_with_the_length(model, monkeypatch):
    """Condition vectors are made as they are needed, not all at once."""
    seen = []
    vectors = Conditions.vectors

    def counted(self, pieces, speaker):
        for made in vectors(self, pieces, speaker):
            seen.append(len(made))
            yield made

    monkeypatch.setattr(Conditions, "vectors", counted)
    sampling.sample_into([Sink()], model, [np.zeros(2000, np.int64)], ["p225"])
    assert sum(seen) == 2000
    assert max(seen) <= draw.CONDITIONED_CODES


@pytest.fixture(scope="module")
def smooth(tiny_config):
    """A model whose decoder looks ahead."""
    return smooth_model(tiny_config, layers=2)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_stream_is_the_whole(smooth, size):
    codes = np.random.default_rng(0).integers(0, 8, 300)
    pieces = (codes[n : n + size] for n in range(0, len(codes), size))
    chunks = list(sampling.stream(smooth, pieces, "a", SamplingOptions(seed=3, temperature=0.9)))
    expected = sampling.sample(smooth, codes, "a", SamplingOptions(seed=3, temperature=0.9))
    np.testing.assert_array_equal(np.concatenate(chunks), expected)
    assert len(chunks) > 3


def test_a_stream_speaks_before_its_codes_are_all_there(smooth):
    came = 0

    def arriving():
        nonlocal came
        for code in np.random.default_rng(0).integers(0, 8, 300):
            came += 1
            yield np.array([code])

    chunks = sampling.stream(smooth, arriving(), "a")
    lookahead = Conditions(smooth).lookahead
    assert lookahead == 2
    given = 0
    for chunk in chunks:
        given += len(chunk)
        # Each pass of the post-filter wants a window's samples, too
        ahead = (lookahead + 1) * 16 + mel_filter.PASSES * smooth.mel_predictor.mel.window_length
        assert came == 300 or came * smooth.hop_length - given <= ahead
    assert given == 300 * smooth.hop_length


def test_a_stream_that_is_left_early(smooth):
    chunks = sampling.stream(smooth, [np.zeros(10**6, np.int64)], "a")
    next(chunks)
    chunks.close()


def test_a_stream_refuses_at_once(smooth):
    """Not when the first chunk is asked for, except for codes, which are not there yet."""
    for wrong, message in (
        ({"speaker": "b"}, "unknown speaker 'b'"),
        ({"seed": -1}, "seed: must be a whole number, 0 or more"),
        ({"top_k": 0}, "top_k: must be a whole number, 1 or more, got 0"),
        ({"top_p": 0.0}, "top_p: must be above 0 and at most 1, got 0.0"),
        ({"precision": "int8"}, "precision: expected float32 or bfloat16"),
    ):
        with pytest.raises(ValueError, match=message):
            arguments = {"speaker": "a"} | wrong
            sampling.stream(smooth, [], arguments.pop("speaker"), SamplingOptions(**arguments))
    chunks = sampling.stream(smooth, [np.array([99])], "a")
    with pytest.raises(ValueError, match="codes: 99 is out of range"):
        next(chunks)
    assert list(sampling.stream(smooth, [], "a")) == []


@pytest.mark.parametrize("sizes", [[500], [1] * 500, [16, 100, 0, 384], [7]], ids=len)
def test_a_conversion_while_it_is_read(smooth, sizes):
    waveform = np.sin(np.arange(sum(sizes))).astype(np.float32) / 2
    blocks = np.split(waveform, np.cumsum(sizes)[:-1])
    chunks = list(sampling.convert_blocks(smooth, iter(blocks), "a", SamplingOptions(seed=4)))
    expected = speechvq.convert(smooth, waveform, "a", SamplingOptions(seed=4))
    np.testing.assert_array_equal(np.concatenate(chunks), expected)
    source = sampling.encode_source(smooth, [waveform])
    chunks = list(sampling.convert_source(smooth, source, "a", SamplingOptions(seed=4)))
    np.testing.assert_array_equal(np.concatenate(chunks), expected)


def test_bfloat16_is_near(plain, codes):
    first = []  # sample that differs; once one does, all that follow may
    for seed in range(9):
        near = sampling.sample(
            plain, codes[3], "p225", SamplingOptions(seed=seed, precision="bfloat16")
        )
        exact = sampling.sample(plain, codes[3], "p225", SamplingOptions(seed=seed))
        first.append(np.argmin(near == exact))
    assert 2 < np.median(first) < len(near) - 1


def test_more_cores_than_utterances_draw_the_same(model, codes):
    long = np.tile(codes[0], 300)[: 3 * draw.CONDITIONED_CODES]  # in several pieces
    (one,) = speechvq.sample_batch(model, [long], ["p225"], threads=1)
    (two,) = speechvq.sample_batch(model, [long], ["p225"], threads=2)
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_sink_that_fails_ends_the_drawing(model, codes, threads):
    class Full:
        def write(self, waveform: np.ndarray) -> None:
            raise OSError("no space left")

        def close(self) -> None:
            raise AssertionError("the utterance is not complete")

    with pytest.raises(OSError, match="no space left"):
        draw.sample_into([Full()], model, [np.tile(codes[0], 20)], ["p225"], threads=threads)
