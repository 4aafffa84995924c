"""The model inside the package: it loads, understands, speaks and babbles."""

from pathlib import Path

import numpy as np
import pytest

import speechvq
from speechvq.model_folder import PRETRAINED, codebook_of, load_model
from speechvq.prior_folder import load_prior
from speechvq.sampling.generation import sample_codes

STANDIN = Path(__file__).parents[1] / "recipes/vctk/standin/wav48_silence_trimmed"


@pytest.fixture(scope="module")
def model():
    return load_model(PRETRAINED)


def test_it_is_small_and_has_a_card():
    size = sum(path.stat().st_size for path in PRETRAINED.rglob("*") if path.is_file())
    assert size < 10e6
    card = (PRETRAINED / "README.md").read_text()
    for part in ("## Data", "## Training", "## Scores", "## Limits", "## Licence"):
        assert part in card


def test_it_says_a_sentence_again(model):
    assert model.speakers == ["p225", "p226", "p227", "p232"]
    path = sorted(STANDIN.rglob("*.flac"))[0]
    waveform, _ = speechvq.audio.read(path, model.sample_rate)
    waveform = waveform[: 2 * model.sample_rate]
    said = speechvq.convert(model, waveform, "p226")
    assert said.shape == waveform.shape
    # Where the sentence is loud, so is what is said
    powers = [np.square(x[:24000]).reshape(-1, 800).mean(1) for x in (waveform, said)]
    assert np.corrcoef(np.log(np.stack(powers) + 1e-8))[0, 1] > 0.8


def test_codes_do_not_depend_on_the_level(model):
    waveform, _ = speechvq.audio.read(sorted(STANDIN.rglob("*.flac"))[1], model.sample_rate)
    codes = speechvq.encode(model, waveform)
    for gain in (0.1, 3.0):
        assert (speechvq.encode(model, gain * waveform) == codes).mean() > 0.99


def test_it_has_a_prior(model):
    prior = load_prior(PRETRAINED, codebook_of(model))
    codes = sample_codes(prior, 200, ["p225", "p226"])
    assert all(len(set(its.tolist())) > 20 for its in codes)
