"""speechvq-analyze speakers on tiny models and two speakers' tones."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speechvq import model_folder
from speechvq.cli import analyze
from speechvq.data.manifest import Phone, read_manifest, write_manifest
from speechvq.model import Model
from speechvq.sampling.utterances import encode_utterances


@pytest.fixture(params=["one codebook", "product codes"])
def model(request, tiny_config, tiny_streaming_config, tiny_corpus, tmp_path, monkeypatch):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = tiny_config if request.param == "one codebook" else tiny_streaming_config
    model = Model(config, ["p225", "other"]).eval()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)
    model_folder.save_model("exp/tiny/vqvae", model, {}, "card")
    return model


def test_probes_and_no_information_without_phones(model, tiny_corpus, capsys):
    assert analyze.main(["speakers", "--manifest", tiny_corpus.train]) == 0
    out = capsys.readouterr().out
    assert "2 speakers, 1 by names that the model knows; 6 utterances" in out
    assert "3 folds of recordings; chance 0.500" in out
    assert "no two speakers have phones" in out
    scores = json.loads(Path("exp/tiny/speakers/scores.json").read_text())
    G, K, D = model.codebooks, model.codebook_size, model.config.quantizer.codebook_dim
    features = {name: row["features"] for name, row in scores["probes"].items()}
    expected = {"code histograms": G * K, "mean latents": D, "mean MFCC": 13}
    if G > 1:
        expected |= {f"… of codebook {g} of {G}": K for g in range(1, G + 1)}
    assert features == expected
    assert scores["information"] == {}
    assert scores["probes"]["mean MFCC"]["linear"]["value"] == 1  # voices of 110 and 210 Hz
    assert Path("exp/tiny/speakers/speakers.svg").stat().st_size > 1000


def test_information_of_labelled_speech_and_reproducibility(model, tiny_corpus, tmp_path, capsys):
    utterances = read_manifest(tiny_corpus.train)
    labelled = [replace(u, phones=(Phone(0, u.duration, "AA1"),)) for u in utterances]
    write_manifest("labelled.jsonl", [*labelled[:-1], utterances[-1]], ["/"])
    call = ["speakers", "--manifest", "labelled.jsonl", "--json", "--out"]
    assert analyze.main([*call, "one"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["labelled"] == 5
    assert len(found["information"]) == model.codebooks + 1
    assert analyze.main([*call, "two"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    with open("one/information.csv", newline="") as file:
        plugin = float(next(csv.DictReader(file))["plugin"])
    # By hand: one phone, so it is I(code; speaker) = H(z) + H(s) - H(z, s)
    codes = [
        e.codes.reshape(len(e.codes), -1)[:, 0] for e in encode_utterances(model, labelled[:5])
    ]
    speakers = np.repeat([u.speaker == "p225" for u in labelled[:5]], [len(c) for c in codes])

    def entropy(*columns):
        counts = np.unique(np.stack(columns), axis=1, return_counts=True)[1]
        return -(counts / counts.sum() * np.log2(counts / counts.sum())).sum()

    z = np.concatenate(codes)
    assert plugin == pytest.approx(entropy(z) + entropy(speakers) - entropy(z, speakers))


def test_a_speaker_with_one_recording_is_left_out_by_name(model, tiny_corpus, capsys):
    extra = replace(read_manifest(tiny_corpus.test)[0], id="x", speaker="lonely")
    write_manifest("more.jsonl", [*read_manifest(tiny_corpus.train), extra], ["/"])
    assert analyze.main(["speakers", "--manifest", "more.jsonl"]) == 0
    output = capsys.readouterr()
    assert "1 speakers have a single recording and are left out: lonely" in output.err
    assert "2 speakers" in output.out


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ([], "pass --manifest FILE"),
        (["--manifest", "none.jsonl"], "none.jsonl: no such manifest"),
        (["--manifest", "one.jsonl"], "one.jsonl: 1 of 1 speakers have two recordings or more"),
    ],
)
def test_mistakes_are_one_line(model, tiny_corpus, capsys, options, complaint):
    write_manifest("one.jsonl", read_manifest(tiny_corpus.train)[:3], ["/"])
    assert analyze.main(["speakers", *options]) == 2
    assert complaint in capsys.readouterr().err.splitlines()[-1]


def test_no_minutes(model, capsys):
    with pytest.raises(SystemExit, match="2"):
        analyze.main(["speakers", "--max-minutes", "-1"])
    assert "--max-minutes: must be above 0" in capsys.readouterr().err
