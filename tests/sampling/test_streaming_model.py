"""A streaming model with product codes: drawn at once, in pieces, and while a recording arrives."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import speechvq
from speechvq import audio, sampling
from speechvq.audio.level import frame_powers
from speechvq.config import ConditionerConfig
from speechvq.model import Model
from speechvq.sampling import SamplingOptions
from speechvq.sampling.conditions import Conditions, vectors_per_frame
from speechvq.sampling.encode import BlockEncoder, encode, encode_blocks

RATE = 8000


def make(config, mel_condition=True, upsample=2, layers=1, codebooks=2) -> Model:
    torch.manual_seed(0)
    conditioner = ConditionerConfig(channels=4, upsample=upsample, layers=layers)
    decoder = replace(config.decoder, conditioner=conditioner, mel_condition=mel_condition)
    # A hop length that every upsampling divides
    encoder = replace(config.encoder, stride=96)
    quantizer = replace(config.quantizer, codebooks=codebooks)
    config = replace(config, decoder=decoder, encoder=encoder, quantizer=quantizer)
    model = Model(config, ["p225", "p226"]).eval()
    model.mel_predictor.fit(torch.from_numpy(noise(RATE))[None])
    with torch.no_grad():
        for weights in model.vqvae.decoder.wavenet.parameters():
            weights.mul_(3)
        z = model.latents(torch.from_numpy(noise(RATE))[None])[0]
        model.vqvae.quantizer.initialise(z)
    return model


def noise(samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    envelope = np.repeat(rng.random(samples // 400 + 1), 400)[:samples]
    return (0.2 * envelope * rng.standard_normal(samples)).astype(np.float32)


MODELS = [
    (True, 1, 0, 2),
    (True, 2, 1, 2),
    (True, 3, 2, 1),
    (False, 1, 1, 2),
    (False, 2, 2, 4),
    (False, 3, 0, 1),
]


@pytest.fixture(scope="module", params=MODELS, ids=str)
def model(request, tiny_streaming_config):
    return make(tiny_streaming_config, *request.param)


@pytest.fixture
def codes(model):
    G = model.codebooks
    drawn = np.random.default_rng(1).integers(0, 8, (40, G))
    return drawn[:, 0] if G == 1 else drawn


def cut(codes, size):
    return [codes[i : i + size] for i in range(0, len(codes), size)]


def vectors(model, pieces, mel_frames, speaker="p226", guidance=None):
    return np.concatenate(list(Conditions(model, mel_frames, guidance).vectors(pieces, speaker)))


@pytest.mark.parametrize("mel_frames", [True, False])
def test_vectors_are_those_of_the_model(model, codes, mel_frames):
    found = vectors(model, [codes], mel_frames, guidance=0)
    with torch.no_grad():
        given, speaker = torch.from_numpy(codes)[None], torch.tensor([1])
        local = model.local_condition(given, speaker)
        expected = model.vqvae.decoder.conditioner(local, speaker)[0]
        frames = model.mel_predictor(model.vqvae.quantizer.lookup(given), speaker)[0]
    each = vectors_per_frame(model)
    assert each == model.vqvae.decoder.conditioner.upsample
    assert len(found) == 40 * each and found.dtype == np.float32
    np.testing.assert_allclose(found[:, :4], expected, rtol=1e-4, atol=1e-5)
    if mel_frames:
        np.testing.assert_allclose(found[::each, 4:], frames, rtol=1e-4, atol=1e-4)
        assert np.array_equal(found[each - 1 :: each, 4:], found[::each, 4:])
    else:
        assert found.shape[1] == 4


@pytest.mark.parametrize("size", [1, 7, 40])
def test_guided_frames_are_further_from_the_average_speakers(model, codes, size):
    """In pieces, too; the decoder's own condition stays as it is."""
    plain = vectors(model, [codes], True, guidance=0)
    pieces = Conditions(model, True, 0.5).vectors(cut(codes, size), "p226")
    guided = np.concatenate(list(pieces))
    np.testing.assert_array_equal(guided[:, :4], plain[:, :4])
    table = model.mel_predictor.table.weight
    with torch.no_grad():
        before = table[0].clone()
        table[0] = table.mean(0)
        average = vectors(model, [codes], True, "p225", guidance=0)[:, 4:]
        table[0] = before
    frames = plain[:, 4:]
    assert np.abs(frames - average).max() > 0.01
    np.testing.assert_allclose(guided[:, 4:], 1.5 * frames - 0.5 * average, rtol=1e-4, atol=1e-4)


def test_who_is_enrolled_does_not_change_the_average(tiny_streaming_config):
    model = make(tiny_streaming_config)
    latents = torch.randn(1, 9, model.config.quantizer.codebook_dim)

    def average():
        stream = model.mel_predictor.stream_beside_average(torch.tensor([0]))
        return torch.cat([stream.add(latents), stream.end()], 1)[1]

    with torch.no_grad():
        before = average()
        table = model.mel_predictor.table
        own = torch.nn.functional.pad(torch.randn(1, table.embedding_dim), (0, 1), value=1)
        others = torch.nn.functional.pad(table.weight, (0, 1))
        table.weight = torch.nn.Parameter(torch.cat([others, own]))
        for projection in model.mel_predictor.projections:
            weight = torch.nn.functional.pad(projection.weight, (0, 1), value=0.5)
            projection.weight = torch.nn.Parameter(weight)
        torch.testing.assert_close(average(), before)


def test_where_all_are_enrolled_their_mean_is_the_average(tiny_streaming_config):
    model = make(tiny_streaming_config)
    table = model.mel_predictor.table
    with torch.no_grad():
        own = torch.cat([table.weight, torch.eye(len(table.weight))], 1)
        table.weight = torch.nn.Parameter(own)
        for projection in model.mel_predictor.projections:
            weight = torch.nn.functional.pad(projection.weight, (0, len(own)), value=0.5)
            projection.weight = torch.nn.Parameter(weight)
    codes = np.random.default_rng(1).integers(0, 8, (20, 2))
    assert np.isfinite(vectors(model, [codes], True, guidance=0.5)).all()


def test_one_speaker_alone_is_the_average(tiny_streaming_config):
    torch.manual_seed(0)
    model = Model(tiny_streaming_config, ["p225"]).eval()
    model.mel_predictor.fit(torch.from_numpy(noise(RATE))[None])
    codes = np.random.default_rng(1).integers(0, 8, (20, model.codebooks))
    codes = codes[:, 0] if model.codebooks == 1 else codes
    plain = vectors(model, [codes], True, "p225", guidance=0)
    np.testing.assert_array_equal(vectors(model, [codes], True, "p225", guidance=1), plain)


def test_guidance_is_the_models_own_by_default(tiny_streaming_config):
    given, plain = (
        make(replace(tiny_streaming_config, mel_predictor=replace(predictor, guidance=guidance)))
        for predictor in [tiny_streaming_config.mel_predictor]
        for guidance in (0.5, 0)
    )
    codes = np.random.default_rng(1).integers(0, 8, (40, 2))

    def drawn(model, guidance=None):
        return sampling.sample(model, codes, "p226", SamplingOptions(guidance=guidance))

    np.testing.assert_array_equal(drawn(given), drawn(plain, 0.5))
    np.testing.assert_array_equal(drawn(given, 0), drawn(plain))
    assert not np.array_equal(drawn(given), drawn(plain))


@pytest.mark.parametrize("mel_frames", [True, False])
@pytest.mark.parametrize("size", [1, 3, 39])
def test_pieces_are_the_whole_to_the_last_bit(model, codes, mel_frames, size):
    whole = vectors(model, [codes], mel_frames)
    pieces = list(Conditions(model, mel_frames).vectors(cut(codes, size), "p226"))
    assert all(len(piece) for piece in pieces)
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


@pytest.mark.parametrize("mel_frames", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_codes(model, codes, mel_frames, count):
    """Fewer than are waited for."""
    whole = vectors(model, [codes[:count]], mel_frames)
    assert len(whole) == count * vectors_per_frame(model)
    np.testing.assert_array_equal(vectors(model, cut(codes[:count], 1), mel_frames), whole)


@pytest.mark.parametrize("mel_frames", [True, False])
def test_the_lookahead_is_what_is_waited_for(model, codes, mel_frames):
    conditions, came = Conditions(model, mel_frames), 0

    def arriving():
        nonlocal came
        for code in codes:
            came += 1
            yield code[None]

    next(conditions.vectors(arriving(), "p225"))
    assert came == 1 + conditions.lookahead
    assert list(conditions.vectors([], "p225")) == []


def test_codes_of_another_shape_are_refused(model):
    G = model.codebooks
    shape = r"\(N,\)" if G == 1 else rf"\(N, {G}\)"
    wrong = [np.zeros((3, G + 1), np.int64), np.zeros((3, 1, 1), np.int64), np.zeros((3, G))]
    wrong.append(np.zeros((3, 1) if G == 1 else 3, np.int64))
    for codes in wrong:
        with pytest.raises(ValueError, match=f"codes: expected integers of shape {shape}; got"):
            sampling.sample(model, codes, "p225")
    high = np.zeros((3, G), np.int64)
    high[1, G - 1] = 8
    with pytest.raises(ValueError, match="codes: 8 is out of range; this model's codes are 0 … 7"):
        sampling.sample(model, high[:, 0] if G == 1 else high, "p225")


@pytest.mark.parametrize("post_filter", [True, False])
@pytest.mark.parametrize("size", [1, 7, 40])
def test_a_stream_is_the_sample(model, codes, post_filter, size):
    options = SamplingOptions(seed=3, post_filter=post_filter)
    expected = sampling.sample(model, codes, "p226", options)
    assert expected.shape == (40 * 96,)
    found = list(sampling.stream(model, cut(codes, size), "p226", options))
    np.testing.assert_array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize("size", [1, 7])
def test_a_stream_with_a_long_term_post_filter_is_the_sample(tiny_streaming_config, size):
    decoder = replace(tiny_streaming_config.decoder, long_term=True)
    model = make(replace(tiny_streaming_config, decoder=decoder))
    codes = encode(model, noise(40 * 96))
    expected = sampling.sample(model, codes, "p226")
    assert len(expected) == 40 * 96
    found = list(sampling.stream(model, cut(codes, size), "p226"))
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_post_filter_speaker_and_frames_matter(model, codes):
    base = sampling.sample(model, codes, "p226", SamplingOptions(seed=3))
    without = sampling.sample(model, codes, "p226", SamplingOptions(seed=3, post_filter=False))
    other = sampling.sample(model, codes, "p225", SamplingOptions(seed=3))
    assert not np.array_equal(base, without) and not np.array_equal(base, other)


def test_a_batch_is_its_single_runs(model, codes):
    several = [codes, codes[5:9], codes[:1]]
    batch = sampling.sample_batch(model, several, ["p225"] * 3, seeds=[1, 2, 3], threads=2)
    for one, seed, found in zip(several, (1, 2, 3), batch, strict=True):
        expected = sampling.sample(model, one, "p225", SamplingOptions(seed=seed))
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def conditioned(tiny_streaming_config):
    return make(tiny_streaming_config)


@pytest.mark.parametrize("samples", [1, 47, 48, 49, 95, 96, 97, 5000])
@pytest.mark.parametrize("size", [1, 100, 10**6])
def test_codes_of_a_stream_are_those_of_the_recording(conditioned, samples, size):
    waveform = noise(samples)
    whole = encode(conditioned, waveform)
    assert whole.shape == (-(-samples // 96), 2) and whole.dtype == np.int64
    with torch.no_grad():
        expected = conditioned.encode(torch.from_numpy(waveform)[None])[0].numpy()
    np.testing.assert_array_equal(whole, expected)
    blocks = list(encode_blocks(conditioned, iter(cut(waveform, size))))
    assert all(len(block) for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert len({tuple(code) for code in whole.tolist()}) > (1 if samples > 500 else 0)


def test_codes_come_while_the_recording_arrives(conditioned):
    waveform, came = noise(4000), 0

    def arriving():
        nonlocal came
        for block in cut(waveform, 10):
            came += len(block)
            yield block

    encoder, given = conditioned.vqvae.encoder, 0
    for block in encode_blocks(conditioned, arriving()):
        given += len(block)
        if came < 4000:
            assert came - 10 < given * 96 + encoder.lookahead <= came
    assert given == 42


def test_a_recording_is_read_twice_only_for_its_level(conditioned):
    """A pipe cannot be; its conversion then has the level of the training speech."""
    waveform = 0.3 * noise(3000)

    class Counted:
        times = 0

        def __iter__(self):
            self.times += 1
            yield from cut(waveform, 500)

    recording = Counted()
    assert conditioned.speech_level is None
    list(BlockEncoder(conditioned, recording))
    assert recording.times == 1
    levelled = make_levelled(conditioned, -20.0)
    encoder = BlockEncoder(levelled, recording)
    codes = np.concatenate(list(encoder))
    assert recording.times == 3 and encoder.samples == 3000
    np.testing.assert_array_equal(codes, encode(conditioned, waveform))  # as loud as it is
    level = audio.speech_level([waveform], RATE)
    assert encoder.gains.to_source == pytest.approx(10 ** ((level + 20) / 20))
    expected = frame_powers(10 ** ((-20 - level) / 20) * waveform, 96)
    np.testing.assert_allclose(encoder.powers, expected, rtol=1e-4)
    piped = BlockEncoder(levelled, iter(recording))
    np.testing.assert_array_equal(np.concatenate(list(piped)), codes)
    assert piped.gains.to_source == 1.0 and not piped.powers


def test_far_softer_speech_is_raised(conditioned):
    """To 20 dB below the training speech; what is within that is encoded as it is."""
    waveform = noise(20_000)
    level = audio.speech_level([waveform], RATE)
    model = make_levelled(conditioned, level + 10)
    usual = BlockEncoder(conditioned, [waveform])
    np.testing.assert_array_equal(encode(model, waveform), np.concatenate(list(usual)))
    lower = waveform * 10 ** (-10 / 20)  # 20 dB below
    for soft in (lower, lower / 8, lower / 1024):
        source = sampling.encode_source(model, [soft])
        assert np.mean(source.codes == encode(conditioned, lower)) > 0.99  # up to rounding
    assert np.mean(encode(conditioned, lower / 1024) == encode(conditioned, lower)) < 0.9
    assert len(encode(model, np.zeros(2000, np.float32))) == 21


def make_levelled(model, level):
    other = Model(model.config, model.speakers).eval()
    other.load_state_dict(model.state_dict())
    other.level.fill_(level)
    return other


@pytest.mark.parametrize("post_filter", [True, False])
@pytest.mark.parametrize("samples", [1, 96, 100, 2500])
def test_a_conversion_in_blocks_is_that_of_the_whole(conditioned, samples, post_filter):
    model, waveform = make_levelled(conditioned, -20.0), noise(samples)
    options = SamplingOptions(seed=2, post_filter=post_filter)
    expected = speechvq.convert(model, waveform, "p226", options)
    assert expected.shape == (samples,)
    for size in (70, 10**6):
        chunks = list(sampling.convert_blocks(model, cut(waveform, size), "p226", options))
        np.testing.assert_array_equal(np.concatenate(chunks), expected)
    source = sampling.encode_source(model, [waveform])
    chunks = list(sampling.convert_source(model, source, "p226", options))
    np.testing.assert_array_equal(np.concatenate(chunks), expected)
    codes = speechvq.encode(model, waveform)
    plain = speechvq.sample(conditioned, codes, "p226", options)[:samples]
    chunks = sampling.convert_blocks(model, iter(cut(waveform, 70)), "p226", options)
    np.testing.assert_array_equal(np.concatenate(list(chunks)), plain)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros(0), r"expected shape \(T,\), T at least 1, got \(0,\)"),
        (np.zeros((2, 100)), r"got \(2, 100\)"),
        (np.array([0.0, np.nan]), "NaN or infinite"),
    ],
)
@pytest.mark.parametrize("level", [float("nan"), -20.0])
def test_what_is_refused(conditioned, waveform, message, level):
    model = make_levelled(conditioned, level)
    for blocks in ([waveform], iter([waveform])):
        with pytest.raises(ValueError, match=message):
            list(encode_blocks(model, blocks))
    with pytest.raises(ValueError, match="T at least 1"):
        list(encode_blocks(model, []))


def test_silence_and_read_only_blocks(conditioned, recwarn):
    model = make_levelled(conditioned, -20.0)
    silence = np.zeros(1000, np.float32)
    silence.setflags(write=False)
    encoder = BlockEncoder(model, [silence])
    assert np.concatenate(list(encoder)).shape == (11, 2)
    assert encoder.gains.to_source == 1.0
    assert not [w for w in recwarn if "writ" in str(w.message)]
