"""What a caller of the Python API can get wrong, and torch in another state than usual."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

import speechvq
from speechvq.config import DataConfig
from speechvq.model import Model
from speechvq.model_folder import codebook_of
from speechvq.sampling import convert_source, encode_source
from speechvq.sampling.generation import sample_codes
from speechvq.sampling.pauses import at_source_level

RATE = 8000


@pytest.fixture(scope="module")
def model(tiny_streaming_config, one_thread):
    torch.manual_seed(0)
    made = Model(tiny_streaming_config, ["p225", "p226"]).eval()
    made.level.fill_(-26.0)
    with torch.no_grad():
        made.vqvae.quantizer.initialise(made.latents(torch.from_numpy(noise())[None])[0])
    return made


def noise(seconds=1.0):
    random = np.random.default_rng(0)
    return (0.1 * random.standard_normal(round(RATE * seconds))).astype(np.float32)


@pytest.mark.parametrize("kind", [np.int16, np.int32, np.uint8, bool])
def test_integers_are_no_waveform(model, tmp_path, kind):
    whole = (1000 * noise()).astype(kind)
    with pytest.raises(ValueError, match=r"expected floats in \[-1, 1\], got"):
        speechvq.encode(model, whole)
    with pytest.raises(ValueError, match=r"a\.wav: expected floats in \[-1, 1\], got"):
        speechvq.audio.write(tmp_path / "a.wav", whole, RATE)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"recording 0: .*got (int|uint|bool)"):
        speechvq.CodesDataset(model, [(whole, RATE)])[0]


def test_samples_of_16_bits_as_floats_are_no_waveform(model):
    loud = 32768 * noise()
    with pytest.raises(ValueError, match=r"samples reach [\d.]+ where \[-1, 1\] was expected"):
        speechvq.encode(model, loud)
    with pytest.raises(ValueError, match=r"recording 0: .*samples reach [\d.]+ where"):
        speechvq.CodesDataset(model, [(loud, RATE)])[0]


def test_channels_come_first(model):
    stereo = np.stack([noise(), noise()])
    both = speechvq.CodesDataset(model, [(stereo, RATE), (stereo.T, RATE)])
    np.testing.assert_array_equal(both[0].codes.numpy(), speechvq.encode(model, noise()))
    with pytest.raises(ValueError, match="channels come last"):
        both[1]


def test_autocast_of_the_caller_changes_nothing(model):
    codes = speechvq.encode(model, noise())
    samples = speechvq.sample(model, codes, "p225")
    with torch.autocast("cpu", torch.bfloat16):
        np.testing.assert_array_equal(speechvq.encode(model, noise()), codes)
        np.testing.assert_array_equal(speechvq.sample(model, codes, "p225"), samples)


def test_a_source_of_unknown_level_keeps_the_level_that_is_drawn(model):
    """Blocks of an iterator are encoded as they come."""
    source = encode_source(model, iter([noise()[:3000], noise()[3000:]]))
    assert len(source.powers) == 0
    drawn = speechvq.sample(model, source.codes, "p226")[: source.samples]
    converted = np.concatenate(list(convert_source(model, source, "p226")))
    np.testing.assert_array_equal(converted, drawn)
    np.testing.assert_array_equal(at_source_level(model, source, drawn), drawn)


def test_a_text_is_not_several_speakers(model):
    with pytest.raises(ValueError, match="one name an utterance expected, got the text 'p225'"):
        sample_codes(None, 5, "p225")
    with pytest.raises(ValueError, match="speaker: expected a name, got 0"):
        speechvq.sample(model, speechvq.encode(model, noise()), 0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda codes: codes.astype(float), "integers; got float64"),
        (lambda codes: codes - 8, "codes must be 0 … 7"),
        (lambda codes: codes + 8, "codes must be 0 … 7"),
        (lambda codes: codes[:, 0], r"shape \(N, 2\)"),
    ],
)
def test_codes_that_could_not_be_read_are_not_written(model, tmp_path, change, complaint):
    codes = speechvq.encode(model, noise())
    with pytest.raises(ValueError, match=f"utterance 'b': .*{complaint}"):
        speechvq.codes.write_codes(
            tmp_path / "codes.txt", codebook_of(model), {"a": codes, "b": change(codes)}
        )
    assert not list(tmp_path.iterdir())


def test_an_id_twice_and_no_utterances_are_not_written(model, tmp_path):
    codes = speechvq.encode(model, noise())
    for utterances, complaint in (
        ([("a", codes), ("a", codes)], "'a': is there twice"),
        ({}, "no"),
    ):
        with pytest.raises(ValueError, match=complaint):
            speechvq.codes.write_codes(tmp_path / "codes.txt", codebook_of(model), utterances)
    assert not list(tmp_path.iterdir())


def test_manifests_may_be_paths():
    assert DataConfig(Path("a/train.jsonl")) == DataConfig("a/train.jsonl")


@pytest.mark.parametrize("wrong", [{"seed": 1.5}, {"top_k": 1.5}, {"top_k": "3"}, {"seed": None}])
def test_whole_numbers(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: must be a whole number, . or more"):
        speechvq.SamplingOptions(**wrong)


def test_a_model_in_half_precision(model):
    with pytest.raises(ValueError, match="weights are torch.float16, float32 was expected"):
        speechvq.encode(copy.deepcopy(model).half(), noise())
