"""The study: its variants are settings that a training takes."""

import importlib.util
from pathlib import Path

import pytest

from speechvq.cli.train import parser
from speechvq.config import check_stages
from speechvq.settings import label, plain

SCRIPT = Path(__file__).parents[2] / "recipes/vctk/study.py"


def study():
    spec = importlib.util.spec_from_file_location("study", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STUDY = study()
VARIANTS = [
    pytest.param(group, extra or {}, id=f"{name}, {variant}")
    for name, group in STUDY.read().items()
    for variant, extra in group["variants"].items()
]


@pytest.mark.parametrize(("group", "extra"), VARIANTS)
def test_a_variant_can_be_trained(group, extra, tmp_path):
    argv = STUDY.training_options(group, extra, tmp_path, tmp_path)
    _, sections = parser().parse_settings(argv)
    check_stages(sections["model"], sections["stages"], sections["training"].init_from is not None)
    values = plain(sections)
    values["stages"] = {label(stage, "objective"): stage for stage in values["stages"]}
    for key, value in {**group["options"], **extra}.items():
        found = values
        for name in key.split("."):
            found = found[name]
        assert found == value, key


def test_a_table_has_what_was_judged(tmp_path):
    (tmp_path / "b/phonemes").mkdir(parents=True)
    scores = '{"scores": {"learned codes": {"accuracy": {"value": 0.5}, "pnmi": {"value": 0.6}}}}'
    (tmp_path / "b/phonemes/scores.json").write_text(scores)
    group = {"variants": {"a": None, "b": {"model.quantizer.decay": 0.9}}}
    assert STUDY.table(group, tmp_path).splitlines() == [
        "| variant | accuracy | PNMI | perplexity |",
        "| --- | --- | --- | --- |",
        "| b `--model.quantizer.decay 0.9` | 0.500 | 0.600 |  |",
    ]
