"""speechvq-analyze codebook on tiny models and tones."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import speechvq
from speechvq import audio, model_folder
from speechvq.cli import analyze
from speechvq.data.manifest import Phone, read_manifest, write_manifest
from speechvq.model import Model


@pytest.fixture(params=["one codebook", "product codes"])
def model(request, tiny_config, tiny_streaming_config, tiny_corpus, tmp_path, monkeypatch):
    """A saved model whose codebooks are of its own data; its test data has no phones."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = tiny_config if request.param == "one codebook" else tiny_streaming_config
    model = Model(config, ["p225", "p226"]).eval()
    waveform = audio.read(read_manifest(tiny_corpus.train)[0].path, 8000)[0]
    with torch.no_grad():
        model.vqvae.quantizer.initialise(model.latents(torch.from_numpy(waveform)[None])[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)
    model_folder.save_model("exp/tiny/vqvae", model, {"data": tiny_corpus}, "card")
    return model


def rows(name):
    with open(f"exp/tiny/codebook/{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_counts_are_those_of_encode_and_no_phones_are_needed(model, tiny_corpus, capsys):
    assert analyze.main(["codebook"]) == 0
    out = capsys.readouterr().out
    assert "no phones" in out
    assert "(2 utterances" in out
    waveforms = [audio.read(u.path, 8000)[0] for u in read_manifest(tiny_corpus.test)]
    codes = np.concatenate([speechvq.encode(model, w) for w in waveforms])
    table = rows("codes")
    assert len(table) == 8 * model.codebooks
    counts = np.array([int(row["count"]) for row in table]).reshape(-1, 8)
    for own, of_codebook in zip(counts, codes.reshape(len(codes), -1).T, strict=True):
        assert own.tolist() == np.bincount(of_codebook, minlength=8).tolist()
    assert {row["class"] for row in table} == {""}
    uniform = [r for r in rows("bitrates") if r["coding"] == "uniform"][-1]
    assert float(uniform["bits_per_second"]) == pytest.approx(model.bitrate)
    for name in ("use", "map"):
        for kind in ("png", "svg"):
            assert (Path(f"exp/tiny/codebook/{name}.{kind}")).stat().st_size > 1000


def test_phones_colour_the_map_and_runs_are_reproducible(model, tiny_corpus, tmp_path, capsys):
    """Utterances without phones count for the use, and not for the colours."""
    one, other = read_manifest(tiny_corpus.test)
    phones = (Phone(0, one.duration, "AA1"),)
    write_manifest("some.jsonl", [replace(one, phones=phones), other], ["/"])
    call = ["codebook", "--manifest", "some.jsonl", "--map", "pca", "--json", "--out"]
    assert analyze.main([*call, "exp/tiny/codebook"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["utterances"], found["utterances_with_phones"]) == (2, 1)
    kinds = {row["class"] for row in rows("codes")}
    assert "vowels" in kinds
    assert kinds <= {"vowels", "silence", ""}
    assert analyze.main([*call, "again"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (tmp_path / "exp/tiny/codebook" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--manifest", "none.jsonl"], "none.jsonl: no such manifest"),
        (["--manifest", "empty.jsonl"], "no utterances in it"),
        (["--max-minutes", "0"], "--max-minutes: must be above 0"),
        (["--map", "umap"], "umap"),
    ],
)
def test_mistakes_are_one_line(model, tmp_path, capsys, options, complaint):
    (tmp_path / "empty.jsonl").write_text("")
    try:
        code = analyze.main(["codebook", *options])
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    assert complaint in capsys.readouterr().err.splitlines()[-1]
