"""The packaged model: it loads, encodes, converts and generates, and its numbers stay the same.

`python tests/test_pretrained.py` writes the golden record anew; a change that does so must say why
the packaged model is to give other codes or samples.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import speechvq
from speechvq.cli.train import SECTIONS
from speechvq.config import check_stages
from speechvq.model_folder import PRETRAINED, codebook_of, load_model
from speechvq.prior_folder import load_prior
from speechvq.sampling import SamplingOptions
from speechvq.sampling.generation import sample_codes
from speechvq.settings import build
from speechvq.yaml_reader import read_yaml

ROOT = Path(__file__).parents[1]
STANDIN = ROOT / "recipes/vctk/standin/wav48_silence_trimmed"
GOLDEN = Path(__file__).parent / "golden/pretrained.json"
RECORDINGS = ("p225/p225_001_mic1.flac", "p227/p227_002_mic1.flac")
SECONDS = 2.0
SAMPLES = 3000


@pytest.fixture(scope="module")
def model():
    return load_model(PRETRAINED)


def test_it_is_small_and_has_a_card():
    size = sum(path.stat().st_size for path in PRETRAINED.rglob("*") if path.is_file())
    assert size < 20e6
    card = (PRETRAINED / "README.md").read_text()
    for part in ("## Data", "## Training", "## Scores", "## Limits", "## Licence"):
        assert part in card


def test_its_training_can_be_repeated():
    """The exported configuration is of today's settings."""
    values = read_yaml(PRETRAINED / "config.yaml")
    sections = {name: build(SECTIONS[name], value, name) for name, value in values.items()}
    check_stages(sections["model"], sections["stages"])
    real = read_yaml(ROOT / "recipes/librispeech/conf/real.yaml")
    assert sections["stages"] == build(SECTIONS["stages"], real["stages"], "stages")
    assert sections["model"] == build(SECTIONS["model"], real["model"], "model")


def test_speech_is_converted_without_slow_imports():
    """These would take a third of the time of a short `speechvq-convert`."""
    program = (
        "import sys, numpy as np\n"
        "from speechvq.model_folder import PRETRAINED, load_model\n"
        "from speechvq.sampling import convert\n"
        "model = load_model(PRETRAINED)\n"
        "convert(model, np.zeros(4000, np.float32), 'p225')\n"
        "print({'librosa', 'scipy.signal', 'scipy.optimize'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_it_converts_a_sentence(model):
    assert len(model.speakers) == 321 and len(set(model.speakers)) == 321
    assert {"p225", "p226", "p227", "p228", "19", "26", "27"} <= set(model.speakers)
    path = sorted(STANDIN.rglob("*.flac"))[0]
    waveform, _ = speechvq.audio.read(path, model.sample_rate)
    waveform = waveform[: 2 * model.sample_rate]
    converted = speechvq.convert(model, waveform, "p226")
    assert converted.shape == waveform.shape
    # The conversion is loud where the sentence is
    powers = [np.square(x[:24000]).reshape(-1, 800).mean(1) for x in (waveform, converted)]
    assert np.corrcoef(np.log(np.stack(powers) + 1e-8))[0, 1] > 0.8


def test_a_small_change_of_level_changes_few_codes(model):
    """After the first second, in which the running mean is still that of the training speech."""
    waveform, _ = speechvq.audio.read(sorted(STANDIN.rglob("*.flac"))[1], model.sample_rate)
    codes = speechvq.encode(model, waveform)
    for gain in (0.8, 1.2):
        assert (speechvq.encode(model, gain * waveform) == codes)[100:].mean() > 0.8


def test_it_has_a_prior(model):
    prior = load_prior(PRETRAINED, codebook_of(model))
    codes = sample_codes(prior, 200, ["p225", "p226"])
    assert all(len(np.unique(one[:, g])) > 20 for one in codes for g in range(model.codebooks))


def record(model) -> dict:
    """What is pinned: codes of recordings, codes of the prior, and samples drawn from codes."""
    codes = {}
    for name in RECORDINGS:
        waveform, _ = speechvq.audio.read(STANDIN / name, model.sample_rate)
        waveform = waveform[: round(SECONDS * model.sample_rate)]
        codes[name] = speechvq.encode(model, waveform).tolist()
    prior = load_prior(PRETRAINED, codebook_of(model))
    drawn = sample_codes(prior, 60, ["p225", "19"], SamplingOptions(seed=3))
    spoken = np.array(codes[RECORDINGS[0]][100:125])
    waveform = speechvq.sample(model, spoken, "p226", SamplingOptions(seed=5))
    return {
        "codes": codes,
        "prior": [one.tolist() for one in drawn],
        "samples": np.rint(32768 * waveform[:SAMPLES]).astype(int).tolist(),
    }


def test_golden_record(model):
    """Codes exactly, samples to the last of 16 bits.

    Sums may be rounded in another order on other processors, so that samples are not compared bit
    for bit. A drawn level or code changes only if a uniform number lies within a rounding of the
    edge between two, which in a record as short as this hardly happens.
    """
    golden, found = json.loads(GOLDEN.read_text()), record(model)
    assert found["codes"] == golden["codes"]
    assert found["prior"] == golden["prior"]
    np.testing.assert_allclose(found["samples"], golden["samples"], atol=1)


def test_the_golden_record_is_of_speech():
    """So that the test above does not compare silence with silence."""
    golden = json.loads(GOLDEN.read_text())
    for codes in (*golden["codes"].values(), *golden["prior"]):
        assert len(codes) >= 50 and len(set(map(tuple, codes))) > 40
    assert len(golden["samples"]) == SAMPLES and np.std(golden["samples"]) > 300


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(json.dumps(record(load_model(PRETRAINED))) + "\n")
