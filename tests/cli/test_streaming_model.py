"""The commands with a streaming model of product codes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import speechvq
from speechvq import audio, codes, model_folder
from speechvq.cli import analyze, convert, decode, encode, enroll, report, sample, train
from speechvq.data.manifest import Phone, read_manifest, write_manifest
from speechvq.model import Model
from speechvq.sampling import SamplingOptions
from speechvq.training import enroll as enrolling

RATE = 8000


@pytest.fixture(scope="module")
def saved(tiny_streaming_config, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "exp" / "tiny" / "vqvae"
    torch.manual_seed(0)
    model = Model(tiny_streaming_config, ["p225", "p226"]).eval()
    waveform = 0.1 * torch.randn(1, RATE)
    with torch.no_grad():
        model.vqvae.quantizer.initialise(model.latents(waveform)[0])
    model.mel_predictor.fit(waveform)
    model.level.fill_(-25.0)
    model_folder.save_model(folder, model, {}, "# A card\n")
    return folder


@pytest.fixture(autouse=True)
def working_folder(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHVQ_MODEL", str(saved))
    monkeypatch.setattr(enrolling, "STAGE", replace(enrolling.STAGE, segment_length=800))
    rng = np.random.default_rng(0)
    envelope = np.repeat(rng.random(12 * 10), RATE // 10)
    record("a.wav", 0.2 * envelope[: 3 * RATE + 33] * rng.standard_normal(3 * RATE + 33))
    record("wavs/long.wav", 0.2 * envelope * rng.standard_normal(len(envelope)))


def record(path, waveform):
    audio.write(path, waveform.astype(np.float32), RATE)


def run(command, *arguments, code=0):
    try:
        assert command.main(list(arguments)) == code
    except SystemExit as stop:
        assert stop.code == code


def test_encode_then_decode_is_convert(saved, capsys):
    model, (waveform, _) = speechvq.load(saved), audio.read("a.wav")
    run(encode, "--src", "a.wav", "--out", "c.txt")
    text = Path("c.txt").read_text()
    assert text.startswith("# speechvq codes 1\n# codebook_size 8\n# hop_length 80\n")
    assert "\n# codebooks 2\na\t" in text
    codebook, found = codes.read_codes("c.txt")
    assert codebook == model_folder.codebook_of(model)
    np.testing.assert_array_equal(found["a"], speechvq.encode(model, waveform))
    assert found["a"].shape == (-(-len(waveform) // 80), 2)
    assert len({tuple(code) for code in found["a"].tolist()}) > 8

    drawn = ["--speaker", "p226", "--seed", "3"]
    run(decode, "--codes", "c.txt", "--out", "d", *drawn)
    run(convert, "--src", "a.wav", "--out", "b.wav", *drawn)
    options = SamplingOptions(seed=3)
    expected = audio.to_pcm(speechvq.sample(model, found["a"], "p226", options))
    np.testing.assert_array_equal(soundfile.read("d/a-p226.wav", dtype="int16")[0], expected)
    expected = audio.to_pcm(speechvq.convert(model, waveform, "p226", options))
    np.testing.assert_array_equal(soundfile.read("b.wav", dtype="int16")[0], expected)

    capsys.readouterr()
    run(encode, "--src", "a.wav", "--json")
    values = json.loads(capsys.readouterr().out)
    assert values["codebooks"] == 2 and values["codes"]["a"] == found["a"].tolist()


def one_line(capsys, *words):
    lines = [line for line in capsys.readouterr().err.splitlines() if ": model: " not in line]
    assert len(lines) == 1, lines
    assert all(word in lines[0] for word in words), lines


def test_codes_that_are_not_of_the_model(capsys):
    run(encode, "--src", "a.wav", "--out", "c.txt")
    capsys.readouterr()
    text = Path("c.txt").read_text()
    Path("d.txt").write_text(text.replace("# codebooks 2\n", ""))
    run(decode, "--codes", "d.txt", "--speaker", "p225", code=2)
    one_line(capsys, "speechvq-decode: error: d.txt:6: expected 1 number for each code, got")
    header, _ = codes.read_codes("c.txt")
    codes.write_codes("e.txt", replace(header, codebooks=1), {"a": np.array([1, 2])})
    run(decode, "--codes", "e.txt", "--speaker", "p225", code=2)
    one_line(capsys, "e.txt: made with codebooks 1, this model has 2")


def test_enroll(saved, tmp_path, capsys):
    before = model_folder.load_model(saved)
    run(enroll, "--name", "me", "--wavs", "wavs", "--steps", "20", "--out", "mine")
    summary, first, second, where = capsys.readouterr().out.splitlines()
    assert summary.startswith("12 s of speech in 1 recording")
    assert float(second.split()[0]) <= float(first.split()[0])
    assert where == "me is a speaker of mine"
    after = model_folder.load_model("mine")
    assert after.speakers == ["p225", "p226", "me"]
    assert model_folder.fingerprint(after) == model_folder.fingerprint(before)
    run(convert, "--src", "a.wav", "--speaker", "me", "--out", "b.wav", "--model", "mine")
    assert soundfile.info("b.wav").frames == 3 * RATE + 33


def test_what_wants_one_codebook_says_so(tiny_corpus, capsys):
    """Before anything is encoded or written."""
    utterances = read_manifest(tiny_corpus.train)
    phones = [replace(u, phones=(Phone(0.0, u.duration, "aa"),)) for u in utterances]
    write_manifest("phones.jsonl", phones)
    both = ["--train", "phones.jsonl", "--valid", "phones.jsonl"]
    says = "model.quantizer.codebooks: ", "codes of one codebook, and those of this model are of 2"
    run(analyze, "phonemes", "--map-on", "phones.jsonl", "--score-on", "phones.jsonl", code=2)
    err = capsys.readouterr().err.splitlines()
    assert all(word in err[-1] for word in ("speechvq-analyze: error: ", *says))
    run(train, "prior", *both, "--out", "prior", code=2)
    one_line(capsys, "speechvq-train: error: ", "a prior wants", *says)
    run(sample, "--speaker", "p225", "--seconds", "0.1", code=2)
    one_line(capsys, "speechvq-sample: error: ", "a prior draws", *says)
    run(analyze, "prior", "--train", "phones.jsonl", "--score-on", "phones.jsonl", code=2)
    one_line(capsys, "speechvq-analyze: error: ", "a prior draws", *says)
    assert not Path("prior").exists() and not list(Path().glob("*-p225*"))


def test_report(saved, capsys):
    run(report, "--model", str(saved), "--out", "page.html")
    text = Path("page.html").read_text()
    assert "100 codes per second, of 2 codebooks of 8, from 8000 Hz speech" in text
    assert "streaming, of features: waveform" in text
