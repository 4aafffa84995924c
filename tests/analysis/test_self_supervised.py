"""Self-supervised baselines: frames at codes by a naive loop; small random models."""

import json
import pickle
import sys

import numpy as np
import pytest
import torch
from tiny_torchaudio import pipeline, torchaudio

from speechvq import model_folder
from speechvq.analysis.self_supervised import at_codes, parsed_choice, self_supervised
from speechvq.analysis.torchaudio_models import import_torchaudio, load_pretrained
from speechvq.cli import analyze
from speechvq.data.manifest import Phone, Utterance, read_manifest, write_manifest
from speechvq.model import Model

RATE = 16000


@pytest.mark.parametrize("code_seconds", [0.01, 0.016, 0.02, 0.04, 0.08])
@pytest.mark.parametrize("M", [1, 7, 50])
def test_frames_at_codes(code_seconds, M):
    features = np.random.default_rng(M).standard_normal((M, 3)).astype(np.float32)
    N = max(1, round(M * 0.02 / code_seconds))
    expected = []
    for code in range(N):
        start, end = code * code_seconds - 1e-9, (code + 1) * code_seconds - 1e-9
        own = [j for j in range(M) if start <= (j + 0.5) * 0.02 < end]
        centre = (code + 0.5) * code_seconds
        own = own or [min(int(centre / 0.02), M - 1)]
        expected.append(features[own].mean(0))
    found = at_codes(features, 0.02, N, code_seconds)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_choices():
    assert parsed_choice("HUBERT_BASE:6") == ("HUBERT_BASE", 6)
    assert parsed_choice("WAVLM_BASE") == ("WAVLM_BASE", None)
    for wrong in ("", ":3", "A:", "A:0", "A:x", "A:-1", "A:²"):
        with pytest.raises(ValueError, match="expected NAME or NAME:LAYER"):
            parsed_choice(wrong)


@pytest.mark.parametrize(
    ("version", "advice"),
    [
        ("2.13.0+cpu", r'"torch==2.9.*" "torchaudio==2.9.*"'),
        ("3.0.1", r'"torch==2.9.*" "torchaudio==2.9.*"'),
        ("2.10.0a0+git1", 'must be that of torch: pip install "torchaudio==2.10.*"'),
        ("2.4.1", 'pip install "torchaudio==2.4.*"'),
    ],
)
def test_one_line_says_which_version_fits(monkeypatch, version, advice):
    monkeypatch.setattr(torch, "__version__", version)
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    with pytest.raises(ValueError, match=f"cannot be imported beside torch {version[:3]}") as got:
        import_torchaudio()
    assert advice in str(got.value) and "\n" not in str(got.value)


@pytest.mark.parametrize("samples", [100, 400, 6400, 6401])
def test_features_are_those_of_the_layer(monkeypatch, tmp_path, samples):
    weights, model = pipeline(monkeypatch, tmp_path)
    name, features = self_supervised("TINY:2", RATE, 320, weights)
    assert name == "TINY, layer 2"
    waveform = np.random.default_rng(0).normal(0, 0.1, samples).astype(np.float32)
    N = -(-samples // 320)
    padded = np.concatenate([np.zeros(40), waveform, np.zeros(320 * N - samples + 40)])
    with torch.no_grad():
        expected, _ = model.extract_features(torch.from_numpy(padded)[None].float())
    np.testing.assert_allclose(features(waveform, N), expected[1][0], atol=1e-5)


def test_frames_lie_on_their_samples(monkeypatch, tmp_path):
    weights, _ = pipeline(monkeypatch, tmp_path)
    pretrained = load_pretrained("TINY", weights)
    assert (pretrained.stride, pretrained.receptive_field, pretrained.layers) == (320, 400, 4)
    waveform = np.zeros(3200, np.float32)
    waveform[5 * 320 + 150 : 5 * 320 + 170] = 0.5
    with torch.no_grad():
        found, _ = pretrained.inner.feature_extractor(pretrained.framed(waveform, RATE), None)
    assert found.shape[1] == 10
    assert found[0].std(1).argmax() == 5
    assert pretrained.framed(waveform[:1600], 8000).shape == pretrained.framed(waveform, RATE).shape


def test_normalisation_before_the_model(monkeypatch, tmp_path):
    """A model that normalises its input gives the same at any level."""
    weights, _ = pipeline(monkeypatch, tmp_path, normalise=True)
    _, features = self_supervised("TINY", RATE, 640, weights)
    waveform = np.random.default_rng(0).normal(0, 0.1, 6400).astype(np.float32)
    np.testing.assert_allclose(features(waveform, 10), features(0.3 * waveform, 10), atol=1e-3)


class Evil:
    def __reduce__(self):
        return print, ("code of the file was run",)


def test_what_cannot_be_loaded(monkeypatch, tmp_path, capsys):
    weights, _ = pipeline(monkeypatch, tmp_path)
    with pytest.raises(
        ValueError, match=r"TINI: torchaudio\.pipelines has no such model; try TINY"
    ):
        self_supervised("TINI", RATE, 320, weights)
    with pytest.raises(ValueError, match="TINY has the layers 1 to 4"):
        self_supervised("TINY:5", RATE, 320, weights)
    with pytest.raises(FileNotFoundError, match="no such file of weights"):
        self_supervised("TINY", RATE, 320, tmp_path / "gone.pth")
    other = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(1)}, other)
    with pytest.raises(ValueError, match=r"other\.pth: not those of torchaudio's TINY"):
        self_supervised("TINY", RATE, 320, other)
    other.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match=r"other\.pth: not those of torchaudio's TINY"):
        self_supervised("TINY", RATE, 320, other)
    assert capsys.readouterr().out == ""


def test_weights_that_cannot_be_fetched(monkeypatch, tmp_path):
    found = torchaudio()
    pipeline(monkeypatch, tmp_path)

    def refuse(*_, **__):
        raise OSError("no network")

    kind = found.pipelines.Wav2Vec2Bundle
    monkeypatch.setattr(kind, "get_model", refuse)
    with pytest.raises(OSError, match=r"weights of TINY: cannot be fetched or read \(no network\)"):
        load_pretrained("TINY")


@pytest.fixture
def labelled(tiny_config, tiny_corpus, tmp_path, monkeypatch):
    """A tiny model in the working folder, and manifests with phones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)
    torch.manual_seed(0)
    model = Model(tiny_config, ["p225", "p226"])
    model_folder.save_model(tmp_path / "vqvae", model, {}, "card")
    for part in ("train", "test"):
        listed = [
            Utterance(u.id, u.speaker, u.path, u.duration,
                      phones=(Phone(0, 0.2, "a"), Phone(0.2, u.duration, "b")))
            for u in read_manifest(getattr(tiny_corpus, part))
        ]  # fmt: skip
        write_manifest(tmp_path / f"{part}.jsonl", listed, ["/"])
    return ["phonemes", "--model", "vqvae", "--map-on", "train.jsonl", "--score-on", "test.jsonl"]


def test_a_row_of_the_table(labelled, monkeypatch, tmp_path, capsys):
    weights, _ = pipeline(monkeypatch, tmp_path)
    assert analyze.main([*labelled, "--json", "--ssl", "TINY", "--ssl-weights", str(weights)]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert list(scores)[-1] == "k-means of TINY, layer 2"
    own, learned = scores["k-means of TINY, layer 2"], scores["learned codes"]
    assert own["frames_score"] == learned["frames_score"]
    assert 0 < own["accuracy"] <= 1


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--ssl", "A", "--no-baselines"], "--ssl is a baseline"),
        (["--ssl", "A", "B", "--ssl-weights", "f"], "is of one model, and --ssl names 2"),
        (["--ssl-weights", "f"], "is of one model, and --ssl names 0"),
        (["--ssl", "A:0"], "expected NAME or NAME:LAYER"),
    ],
)
def test_options_that_do_not_go_together(labelled, options, fault, capsys):
    assert analyze.main([*labelled, *options]) == 2
    assert fault in capsys.readouterr().err
