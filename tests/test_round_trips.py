"""Codecs give back what they were given, whatever it is: properties of every one.

In a million examples each: pytest tests/test_round_trips.py --hypothesis-profile=million
"""

import io
import itertools
import json
import os

import numpy as np
import pytest
import torch
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from speechvq import audio
from speechvq.cli.encode import _json
from speechvq.codes import Codebook
from speechvq.config import (
    DecoderStage,
    LoopConfig,
    PerturbationConfig,
    QuantizerConfig,
    StageConfig,
    StreamingStackConfig,
    WaveNetConfig,
)
from speechvq.data.interchange import npz, units_line
from speechvq.data.roots import Roots
from speechvq.models import mu_law
from speechvq.models.pqmf import PQMF, REACH, PQMFSynthesis
from speechvq.models.prior import delayed, undelayed
from speechvq.settings import build, plain
from speechvq.weights import make_header, parsed, read_header, read_weights, write_weights
from speechvq.yaml_reader import parse_yaml

K = 100
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
IDS = TEXT.filter(
    lambda id: id and id == id.strip() and id[0] != "#" and not set(id) & {*"\t\n\r\0|"}
)


@st.composite
def coded(draw):
    """A codebook, and the codes (N,) or (N, G) of a few utterances."""
    G = draw(st.integers(1, 3))
    codebook = Codebook(K, draw(st.integers(1, 999)), draw(st.integers(1, 99999)), "m", G)
    shape = st.integers(1, 9).map(lambda N: N if G == 1 else (N, G))
    codes = arrays.arrays(np.int64, shape, elements=st.integers(0, K - 1))
    return codebook, draw(st.dictionaries(IDS, codes, min_size=1, max_size=4))


@given(coded())
def test_npz(given):
    codebook, utterances = given
    with np.load(io.BytesIO(npz(codebook, utterances.items())), allow_pickle=False) as file:
        ends = np.cumsum(file["lengths"])[:-1]
        found = dict(zip(file["ids"].tolist(), np.split(file["codes"], ends), strict=True))
        assert Codebook(**json.loads(str(file["meta"]))) == codebook
    assert list(found) == list(utterances)
    for id, codes in utterances.items():
        np.testing.assert_array_equal(found[id], codes)


@given(coded(), st.booleans())
def test_units(given, merge):
    """Units name the codebook and the code; what is merged is equal frames in a row."""
    codebook, utterances = given
    for id, codes in utterances.items():
        name, _, units = units_line(id, codes, codebook, merge).rstrip("\n").partition("|")
        assert name == id
        frames = np.array(units.split(), int).reshape(-1, codebook.codebooks)
        np.testing.assert_array_equal(
            frames // K, np.broadcast_to(np.arange(codebook.codebooks), frames.shape)
        )
        expected = codes.reshape(len(codes), -1).tolist()
        if merge:
            expected = [frame for frame, _ in itertools.groupby(expected)]
        assert (frames % K).tolist() == expected


@given(coded())
def test_json(given):
    codebook, utterances = given
    found = json.loads("".join(_json(codebook, utterances.items())))
    assert found.pop("codes") == {id: codes.tolist() for id, codes in utterances.items()}
    assert Codebook(**found) == codebook


@given(st.lists(st.integers(0, 255), min_size=1, max_size=50))
def test_mu_law_of_levels(levels):
    assert mu_law.encode(mu_law.decode(torch.tensor(levels))).tolist() == levels


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50))
def test_mu_law_of_samples(samples):
    """Half a step of the companded amplitude is the most that is lost."""
    x = np.array(samples)
    back = mu_law.decode(mu_law.encode(torch.tensor(samples))).numpy()
    companded = [np.sign(y) * np.log1p(255 * np.abs(y)) / np.log(256) for y in (x, back)]
    assert np.abs(companded[0] - companded[1]).max() <= 1 / 255 + 1e-5


BANKS = {bands: PQMF(bands) for bands in (1, 2, 4, 8)}


@given(st.sampled_from(sorted(BANKS)), st.integers(0, 2**32 - 1), st.integers(1, 40))
def test_pqmf(bands, seed, steps):
    """Synthesis of the analysis is the waveform, 50 dB below it and 8 steps from its ends."""
    steps += 2 * REACH
    waveform = np.random.default_rng(seed).uniform(-0.5, 0.5, steps * bands).astype(np.float32)
    bank = BANKS[bands]
    synthesis = PQMFSynthesis(bank)
    analysed = bank.analyse(torch.from_numpy(waveform)[None])[0].numpy()
    if bands == 1:
        np.testing.assert_array_equal(analysed[:, 0], waveform)
        return
    back = np.concatenate([synthesis.add(analysed), synthesis.end()])
    inside = slice(REACH * bands, -REACH * bands)
    assert np.square(back - waveform)[inside].mean() < 1e-5 * np.square(waveform).mean()


@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_delayed_product_codes(G, N, seed):
    codes = torch.from_numpy(np.random.default_rng(seed).integers(0, K, (2, N, G)))
    steps = delayed(codes, start=K)
    assert torch.equal(undelayed(steps), codes)
    for g, n in itertools.product(range(G), range(N + G - 1)):
        expected = codes[:, n - g, g] if g <= n < N + g else torch.full((2,), K)
        assert torch.equal(steps[:, n, g], expected)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


TENSORS = st.dictionaries(
    st.text("abc.", min_size=1, max_size=6),
    arrays.arrays(
        st.sampled_from([np.float32, np.float64, np.int64, np.bool_, np.uint8]),
        arrays.array_shapes(min_dims=0, max_dims=3, max_side=3, min_side=0),
    ),
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | TEXT | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(TENSORS, st.dictionaries(TEXT, JSON, max_size=3), st.lists(IDS, min_size=1, max_size=3))
def test_weights_with_their_header(folder, tensors, config, speakers):
    path = folder / "model.safetensors"
    header = make_header("kind", config, speakers)
    write_weights(path, {name: torch.from_numpy(x.copy()) for name, x in tensors.items()}, header)
    found, again = read_weights(path)
    assert read_header(path) == again == header
    assert parsed(path, again, "config", dict) == config
    assert parsed(path, again, "speakers", list) == speakers
    assert found.keys() == tensors.keys()
    for name, x in tensors.items():
        np.testing.assert_array_equal(found[name].numpy(), x)
        assert found[name].numpy().dtype == x.dtype


SAMPLES = arrays.arrays(np.float64, st.integers(1, 60), elements=st.floats(-2, 2))


@given(SAMPLES, st.sampled_from([".wav", ".flac"]), st.sampled_from([8000, 16000, 44100]))
def test_sound_files(folder, waveform, suffix, sample_rate):
    """To the nearest of 16 bits; and those stay, however often they are written."""
    path = folder / f"a{suffix}"
    levels = np.clip(np.rint(waveform * 32768), -32768, 32767)
    for _ in range(2):
        audio.write(path, waveform, sample_rate)
        waveform, rate = audio.read(path)
        assert rate == sample_rate
        np.testing.assert_array_equal(waveform * 32768, levels)


@given(st.lists(SAMPLES, min_size=1, max_size=4), st.data())
def test_a_spool(parts, data):
    spool = audio.Spool()
    for part in parts:
        spool.add(part)
    whole = np.concatenate([audio.to_pcm(part) for part in parts])
    first, last = sorted(data.draw(st.tuples(*2 * [st.integers(0, len(whole))])))
    assert len(spool) == len(whole)
    np.testing.assert_array_equal(spool.part(0, len(whole))[first:last], whole[first:last])


FLOATS = st.floats(1e-6, 1e6)
SETTINGS = st.one_of(
    st.builds(WaveNetConfig, layers=st.integers(1, 30), dropout=st.floats(0, 0.99)),
    st.builds(
        QuantizerConfig,
        codebook_size=st.integers(2, 2**20),
        update=st.sampled_from(["ema", "loss"]),
        decay=st.floats(0.001, 0.999),
        beta=FLOATS,
    ),
    st.builds(
        LoopConfig,
        gradient_clip=FLOATS,
        seed=st.integers(0, 2**32 - 1),
        tensorboard=st.booleans(),
        keep_every=st.integers(0, 2**40),
    ),
    st.builds(
        DecoderStage,
        name=st.text("abc_-09", max_size=9),
        learning_rate=FLOATS,
        speakers=st.lists(TEXT, max_size=3).map(tuple),
        batch_size=st.integers(1, 1000),
    ),
    st.builds(PerturbationConfig, speed=st.floats(0, 0.5), gain=FLOATS),
    st.lists(st.tuples(st.integers(1, 99), st.integers(0, 1)), max_size=5).map(
        lambda pairs: StreamingStackConfig(
            dilations=tuple(d for d, _ in pairs), lookahead=tuple(a for _, a in pairs)
        )
    ),
)


@given(SETTINGS)
def test_settings_as_yaml(value):
    """As `config.yaml` and `--print_config` write them, and any other YAML."""
    hint = StageConfig if isinstance(value, StageConfig) else type(value)
    for options in ({"sort_keys": False, "allow_unicode": True}, {"default_flow_style": True}):
        text = yaml.safe_dump(plain(value), **options)
        assert build(hint, parse_yaml(text, "file"), "a") == value


PARTS = st.lists(st.sampled_from(["..", ".", "", "a", "b", "manifests", "é"]) | TEXT, max_size=6)


@given(PARTS, st.booleans())
def test_a_manifest_names_nothing_outside(folder, parts, absolute):
    """Against the folders of the path, walked one by one."""
    assume(not any("/" in part for part in parts))
    name = ("/" if absolute else "") + "/".join(parts)
    walked = [] if name.startswith("/") else str(folder).split("/")[1:]
    for part in name.split("/"):
        if part == "..":
            walked = walked[:-1]
        elif part not in ("", "."):
            walked.append(part)
    inside = walked[: len(folder.parts) - 1] == list(folder.parts[1:])
    try:
        found = Roots(folder).path(name)
    except ValueError:
        assert not inside or len(walked) == len(folder.parts) - 1 or "\0" in name
    else:
        assert inside and found == os.sep + os.sep.join(walked)
