"""Every configuration of the recipe loads, and is the model that its name promises."""

from pathlib import Path

import pytest

from speechvq.cli.train import SECTIONS
from speechvq.cli.train_prior import SECTIONS as PRIOR_SECTIONS
from speechvq.config import check_stages
from speechvq.settings import build, plain
from speechvq.yaml_reader import read_yaml

CONF = Path(__file__).parents[2] / "recipes" / "vctk" / "conf"

EXPECTED = {  # name: (hop length, K, the objectives of the stages)
    "cpu": (640, 128, ["cepstra", "mel_predictor", "decoder"]),
    "joint": (640, 128, ["cepstra", "mel_predictor", "likelihood"]),
    "phonemes": (640, 128, ["labels", "mel_predictor", "decoder"]),
    "tiny": (640, 16, ["cepstra", "mel_predictor", "decoder"]),
    "paper-vctk": (64, 512, ["likelihood"]),
    "paper-phonemes": (640, 128, ["likelihood"]),
    "paper-prior": (128, 512, ["likelihood"]),
}


def test_every_conf_is_expected():
    assert {path.stem for path in CONF.glob("*.yaml")} == EXPECTED.keys()


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_conf_loads(path):
    values = read_yaml(path)
    assert values.keys() == {"model", "stages", "training"}
    sections = {name: build(SECTIONS[name], values[name], name) for name in values}
    model, stages = sections["model"], sections["stages"]
    check_stages(model, stages)
    assert all(stage.segment_length % model.hop_length == 0 for stage in stages)
    hop_length, codebook_size, objectives = EXPECTED[path.stem]
    assert (model.hop_length, model.quantizer.codebook_size) == (hop_length, codebook_size)
    assert [stage.objective for stage in stages] == objectives
    for name, section in sections.items():  # as it is kept in a model folder
        assert build(SECTIONS[name], plain(section), name) == section
    if path.stem.startswith("paper-"):
        assert model.quantizer.beta == 0.25
        assert model.quantizer.update == "loss"
        assert model.features.kind == "waveform"
        assert model.mel_predictor.bands == 0
        assert not (model.encoder.filterbank or model.encoder.norm or model.encoder.residual_layers)
        assert stages[0].input_noise == 0
        assert stages[0].segment_length == (40960 if "prior" in path.stem else 7680)


@pytest.mark.parametrize("path", sorted(CONF.glob("prior/*.yaml")), ids=lambda path: path.stem)
def test_conf_of_a_prior_loads(path):
    values = read_yaml(path)
    sections = {name: build(PRIOR_SECTIONS[name], values[name], name) for name in values}
    assert sections["prior"].by_speaker
    (stage,) = sections["stages"]
    if path.stem == "paper":  # 320 codes of 128x
        assert stage.segment_length * 128 == 40960
