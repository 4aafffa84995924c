"""Every configuration of the recipe loads, and is the model that its name promises."""

from pathlib import Path

import pytest
import yaml

from speechvq.cli.train import parser
from speechvq.cli.train_prior import parser as prior_parser
from speechvq.config import PhaseConfig, SpectralPhaseConfig, TrainingConfig
from speechvq.model_folder import build_config

CONF = Path(__file__).parents[2] / "recipes" / "vctk" / "conf"

EXPECTED = {  # name: (hop length, K, whether the objective is the paper's alone)
    "cpu": (640, 128, False),
    "tiny": (640, 16, False),
    "paper-vctk": (64, 512, True),
    "paper-phonemes": (640, 128, True),
    "paper-prior": (128, 512, True),
}


def test_every_conf_is_expected():
    assert {path.stem for path in CONF.glob("*.yaml")} >= EXPECTED.keys()


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_conf_loads(path):
    assert yaml.safe_load(path.read_text()).keys() == {"model", "training"}
    values = parser().parse_args(["--config", str(path)]).as_dict()  # unknown keys are refused
    model = build_config(values["model"])
    phases = {
        "spectral": SpectralPhaseConfig(**values["training"].pop("spectral")),
        "likelihood": PhaseConfig(**values["training"].pop("likelihood")),
    }
    training = TrainingConfig(**phases, **values["training"])
    for phase in (training.spectral, training.likelihood):
        assert phase.segment_length % model.hop_length == 0
    if path.stem in EXPECTED:
        hop_length, codebook_size, paper = EXPECTED[path.stem]
        assert (model.hop_length, model.codebook_size) == (hop_length, codebook_size)
        assert (training.spectral.steps == 0 and not training.freeze_codes) == paper
    if path.stem.startswith("paper-"):
        assert model.beta == 0.25
        assert model.codebook_update == "loss"
        assert training.likelihood.segment_length == (40960 if "prior" in path.stem else 7680)


@pytest.mark.parametrize("path", sorted(CONF.glob("prior/*.yaml")), ids=lambda path: path.stem)
def test_conf_of_a_prior_loads(path):
    values = prior_parser().parse_args(["--config", str(path)]).as_dict()
    assert values["prior"]["by_speaker"]
    if path.stem == "paper":  # 320 codes of 128x
        assert values["training"]["phase"]["segment_length"] * 128 == 40960
