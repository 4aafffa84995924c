"""The commands with a streaming model of product codes."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import speechvq
from speechvq import audio, codes, model_folder
from speechvq.analysis.frames import frame_labels, normalise
from speechvq.analysis.generation import DISTRIBUTIONS, OF_PRODUCT_CODES
from speechvq.analysis.ngrams import NGram
from speechvq.analysis.phonemes import phone_map, score
from speechvq.cli import analyze, convert, decode, encode, enroll, report, sample, train
from speechvq.data.manifest import Phone, read_manifest, write_manifest
from speechvq.model import Model
from speechvq.prior_folder import load_prior
from speechvq.sampling import SamplingOptions
from speechvq.sampling.generation import sample_codes
from speechvq.training import enroll as enrolling
from speechvq.training.prior import held_out_bits

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
    monkeypatch.setattr(enrolling, "MEL_STAGE", replace(enrolling.MEL_STAGE, segment_length=800))
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


def test_a_prior(saved, tiny_corpus, capsys):
    """Trained, drawn from, and compared with n-grams."""
    utterances = read_manifest(tiny_corpus.train)
    half = [(Phone(0.0, u.duration / 2, "aa"), Phone(u.duration / 2, u.duration, "t"))
            for u in utterances]  # fmt: skip
    labelled = [replace(u, phones=phones) for u, phones in zip(utterances, half, strict=True)]
    write_manifest("train.jsonl", labelled, ["/"])
    small = ["--prior.wavenet.layers", "2", "--prior.condition_channels", "4"]
    Path("conf.yaml").write_text(
        "stages: [{objective: prior, steps: 20, batch_size: 4, segment_length: 30}]\n"
        "training: {valid_every: 10, tensorboard: false}\n"
    )
    manifests = ["--train", "train.jsonl", "--valid", tiny_corpus.valid]
    run(train, "prior", "--config", "conf.yaml", *manifests, "--out", "prior", *small)
    model = speechvq.load(saved)
    prior = load_prior("prior", model_folder.codebook_of(model))
    assert prior.codebooks == 2
    card = Path("prior/README.md").read_text()
    assert "100 codes per second from 2 codebooks of 8." in card
    assert "| uniform (log2 K) | 6.000 | 600.0 |" in card

    words = ["--prior", "prior", "--speaker", "p226", "--seconds", "0.5", "--seed", "3"]
    run(sample, *words, "--codes", "c.txt")
    codebook, drawn = codes.read_codes("c.txt")
    assert codebook == model_folder.codebook_of(model)
    (expected,) = sample_codes(prior, 50, ["p226"], seeds=[3])
    np.testing.assert_array_equal(drawn["sample-p226-3"], expected)
    assert soundfile.info("sample-p226-3.wav").frames == RATE // 2

    run(sample, *words, "--prompt", "a.wav", "--codes", "d.txt", "--out", "d.wav")
    prompt = speechvq.encode(model, audio.read("a.wav")[0])
    (expected,) = sample_codes(prior, 50, ["p226"], seeds=[3], prompt=prompt)
    found = codes.read_codes("d.txt")[1]["d"]
    np.testing.assert_array_equal(found, np.concatenate([prompt, expected]))

    scored = ["--train", "train.jsonl", "--score-on", tiny_corpus.test, "--times", "2"]
    capsys.readouterr()
    run(analyze, "prior", "--prior", "prior", *scored, "--out", "generation")
    printed = capsys.readouterr().out
    assert OF_PRODUCT_CODES in printed and "drawn from the prior" in printed
    scores = json.loads(Path("generation/scores.json").read_text())
    bits = {name: value["value"] for name, value in scores["bits_per_code"].items()}
    assert scores["codebooks"] == 2 and bits["uniform (log2 K)"] == pytest.approx(6)
    learned = list(codes.read_codes("prior/codes/train.txt")[1].values())
    held_out = [
        speechvq.encode(model, audio.read(u.path)[0]) for u in read_manifest(tiny_corpus.test)
    ]
    apart = [NGram([x[:, g] for x in learned], 2, 8) for g in range(2)]
    total = sum(apart[g].bits(x[:, g]).sum() for x in held_out for g in range(2))
    assert bits["bigram"] == pytest.approx(total / sum(map(len, held_out)))
    speakers = prior.speaker([u.speaker for u in read_manifest(tiny_corpus.test)]).tolist()
    own = np.concatenate(held_out_bits(prior, held_out, speakers)).mean()
    assert bits["prior"] == pytest.approx(own)
    assert set(scores["divergences"]["drawn from the prior"]) == set(DISTRIBUTIONS)

    run(report, str(saved), "--results", ".", "--out", "page")
    assert OF_PRODUCT_CODES in Path("page/index.html").read_text()


def of_halves(path, manifest):
    """Write a manifest again, with two phones to each utterance."""
    halves = [
        replace(
            u, phones=(Phone(0.0, u.duration / 2, "aa"), Phone(u.duration / 2, u.duration, "s"))
        )
        for u in read_manifest(manifest)
    ]
    write_manifest(path, halves, ["/"])


def test_phonemes(saved, tiny_corpus, capsys):
    """A linear map of both codebooks, each of them alone, baselines, pictures and the page."""
    of_halves("map.jsonl", tiny_corpus.train)
    of_halves("score.jsonl", tiny_corpus.test)
    on = ["--map-on", "map.jsonl", "--score-on", "score.jsonl", "--out", "phonemes"]
    run(analyze, "phonemes", *on)
    out = capsys.readouterr().out
    assert "2 codebooks, K = 8, 100 codes/s, 600 bits/s; 2 phone classes" in out
    assert "linear classifier on all codebooks" in out and "the lowest perplexity" in out
    files = {path.name: path.read_bytes() for path in Path("phonemes").iterdir()}
    assert sorted(files) == [
        "codes-1.csv", "codes-1.png", "codes-1.svg", "codes-2.csv", "codes-2.png", "codes-2.svg",
        "confusion.png", "confusion.svg", "recall.csv", "recall.png", "recall.svg", "scores.json",
    ]  # fmt: skip
    result = json.loads(files["scores.json"])
    scores = result["scores"]
    assert list(scores)[:3] == ["learned codes", "codebook 1 of 2", "codebook 2 of 2"]
    assert scores["MFCC k-means"]["codebook_size"] == 8 and len(scores) == 7
    assert list(result["boundaries"])[1] == "changes of codebook 1 of 2"
    assert result["codebooks"] == 2 and scores["learned codes"]["pnmi"] is None

    model = speechvq.load(saved)
    (map_codes, map_labels, _), (score_codes, labels, index) = (
        encoded(model, f"{part}.jsonl") for part in ("map", "score")
    )
    right = phone_map(map_codes, map_labels, 8)(score_codes) == labels
    assert scores["learned codes"]["accuracy"] == right.mean()
    for g in range(2):
        parts = map_codes[:, g], map_labels, score_codes[:, g], labels
        alone = asdict(score(*parts, 8, index))
        assert scores[f"codebook {g + 1} of 2"] == json.loads(json.dumps(alone))
        rows = files[f"codes-{g + 1}.csv"].decode().splitlines()[1:]
        counts = {int(code): int(count) for code, count, *_ in (row.split(",") for row in rows)}
        assert counts == dict(enumerate(np.bincount(map_codes[:, g], minlength=8).tolist()))

    run(analyze, "phonemes", *on)
    assert files == {path.name: path.read_bytes() for path in Path("phonemes").iterdir()}
    run(report, str(saved), "--results", ".", "--out", "page")
    text = Path("page/index.html").read_text()
    assert "linear classifier on all codebooks" in text and "codes 2</figcaption>" in text


def encoded(model, manifest):
    """Codes by speechvq.encode, phone labels, and the utterance of each code."""
    utterances = read_manifest(manifest)
    found = [speechvq.encode(model, audio.read(u.path, RATE)[0]) for u in utterances]
    labels = [
        frame_labels(normalise(u.phones), len(c), 1 / model.frame_rate)
        for u, c in zip(utterances, found, strict=True)
    ]
    index = np.repeat(np.arange(len(found)), [len(c) for c in found])
    return np.concatenate(found), np.concatenate(labels), index


def test_report(saved, capsys):
    run(report, str(saved), "--out", "page")
    text = Path("page/index.html").read_text()
    assert "100 codes per second, of 2 codebooks of 8, from 8000 Hz speech" in text
    assert "streaming, of features: waveform" in text
