"""A model folder in half precision."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

import speechvq
from speechvq.model import Model
from speechvq.model_folder import fingerprint, save_model

SCRIPT = Path(__file__).parents[2] / "recipes" / "librispeech" / "half.py"


@pytest.fixture(scope="module")
def half():
    spec = importlib.util.spec_from_file_location("half", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tiny_streaming_config, tmp_path) -> Path:
    torch.manual_seed(0)
    model = Model(tiny_streaming_config, ["p225", "p226"]).eval()
    with torch.no_grad():
        model.vqvae.quantizer.initialise(model.latents(0.1 * torch.randn(1, 8000))[0])
    save_model(tmp_path / "model", model, {}, "a card")
    return tmp_path / "model"


def test_matrices_are_rounded_and_nothing_else(half, folder, tmp_path):
    assert half.main([str(folder), str(tmp_path / "half")]) == 0
    whole, rounded = (speechvq.load(path) for path in (folder, tmp_path / "half"))
    for (name, x), y in zip(whole.state_dict().items(), rounded.state_dict().values(), strict=True):
        exact = x.ndim < 2 or "quantizer" in name or not x.is_floating_point()
        expected = x if exact else x.half().float()
        torch.testing.assert_close(y, expected, rtol=0, atol=0, equal_nan=True, msg=name)
    assert fingerprint(rounded) != fingerprint(whole)  # other codes, in places
    assert rounded.speakers == whole.speakers
    assert (tmp_path / "half" / "README.md").read_text() == "a card"
    waveform = 0.1 * np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    same = speechvq.encode(whole, waveform) == speechvq.encode(rounded, waveform)
    assert same.mean() > 0.9


def test_what_is_there_stays(half, folder, capsys):
    before = (folder / "model.safetensors").read_bytes()
    assert half.main([str(folder), str(folder)]) == 2
    assert f"{folder}: is not empty; name another folder" in capsys.readouterr().err
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_number_beyond_half_precision_is_refused(half):
    with pytest.raises(ValueError, match="input.weight: too large for half precision"):
        half.halved({"input.weight": torch.full((2, 2), 1e6)})


def test_a_folder_without_a_model_is_refused(half, tmp_path, capsys):
    assert half.main([str(tmp_path), str(tmp_path / "half")]) == 2
    assert "no model.safetensors in it; pass a model folder" in capsys.readouterr().err
    assert not (tmp_path / "half").exists()


@pytest.fixture
def drawn_level():
    spec = importlib.util.spec_from_file_location("drawn", SCRIPT.with_name("drawn_level.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_level_that_codes_depend_on_stays(drawn_level, tiny_config, tiny_corpus, tmp_path):
    save_model(tmp_path / "windows", Model(tiny_config, ["p225"]), {}, "a card")
    before = (tmp_path / "windows" / "model.safetensors").read_bytes()
    assert drawn_level.main([str(tmp_path / "windows"), "--manifest", tiny_corpus.valid]) == 0
    assert (tmp_path / "windows" / "model.safetensors").read_bytes() == before


def test_the_level_of_drawn_speech(drawn_level, folder, tiny_corpus, capsys, monkeypatch):
    before = speechvq.load(folder).state_dict()

    def tones(model, codes, *_):
        return [0.1 * np.sin(np.arange(8000) * 0.3) for _ in codes]

    monkeypatch.setattr(drawn_level, "sample_batch", tones)
    arguments = [str(folder), "--manifest", tiny_corpus.valid, "--utterances", "3"]
    assert drawn_level.main(arguments) == 0
    assert "conversions have -23.0 dB" in capsys.readouterr().out
    model = speechvq.load(folder)
    assert model.speech_level == pytest.approx(-23, abs=0.1)
    for name, x in model.state_dict().items():
        if name != "level":
            assert torch.equal(x, before[name]), name
