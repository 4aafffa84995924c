"""speechvq-enroll, with good recordings and with every mistake."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speechvq import audio, model_folder
from speechvq.cli.convert import main as convert
from speechvq.cli.enroll import main, parser
from speechvq.model import Model
from speechvq.training import enroll as enrolling
from speechvq.weights import read_weights

RATE = 8000
MODEL = Path("exp/vctk/vqvae")


@pytest.fixture(autouse=True)
def working_folder(tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)
    torch.manual_seed(0)
    model = Model(tiny_config, ["p225", "p226"]).eval()
    with torch.no_grad():  # codes among the latents, so that several are in use
        z = model.latents(0.1 * torch.randn(1, 8 * model.hop_length))[0]
        model.vqvae.quantizer.codebook.copy_(z)
    model_folder.save_model(MODEL, model, {}, "# A card\n")
    monkeypatch.setattr(enrolling, "STAGE", replace(enrolling.STAGE, segment_length=256))
    monkeypatch.setattr(enrolling, "MEL_STAGE", replace(enrolling.MEL_STAGE, segment_length=256))
    for i in range(3):
        record(f"wavs/{i}.wav", 5, seed=i)


def record(path, seconds, seed=0):
    rng = np.random.default_rng(seed)
    audio.write(path, (0.1 * rng.standard_normal(round(seconds * RATE))).astype(np.float32), RATE)


def contents(folder=MODEL):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_as_the_readme_says(capsys):
    assert main(["--name", "me", "--wavs", "wavs", "--steps", "40"]) == 0
    out, err = capsys.readouterr()
    summary, before, after, where = out.splitlines()
    assert summary == "15 s of speech in 3 recordings; on 2 s held out:"
    assert before.endswith("the nearest speaker before")
    assert after.endswith("bits per sample as me")
    assert float(after.split()[0]) < float(before.split()[0])
    assert where == "me is a speaker of exp/vctk/vqvae"
    assert err == "speechvq-enroll: model: exp/vctk/vqvae (newest below exp/)\n"
    assert "- me: 15 s of speech, 40 steps" in (MODEL / "README.md").read_text()
    assert convert(["--src", "wavs/0.wav", "--speaker", "me", "--out", "a.wav"]) == 0
    assert Path("a.wav").exists()


def test_json_alone_is_on_stdout_and_a_bad_file_is_reported(capsys):
    Path("wavs/bad.wav").write_bytes(b"RIFF")
    audio.write("wavs/silent.flac", np.zeros(RATE, np.float32), RATE)
    assert main(["--name", "me", "--wavs", "wavs", "--steps", "2", "--json"]) == 2
    out, err = capsys.readouterr()
    outcome = json.loads(out)
    assert outcome["model"] == str(MODEL)
    assert outcome["recordings"] == 3
    assert outcome["seconds_of_speech"] == 15
    assert outcome["unusable"].keys() == {"wavs/bad.wav", "wavs/silent.flac"}
    assert outcome["nearest"] in ("p225", "p226")
    assert outcome["bits_per_sample_after"] <= outcome["bits_per_sample_before"]
    for name in outcome["unusable"]:
        assert f"speechvq-enroll: error: {name}: " in err


def test_the_steps_are_those_of_the_library():
    """Which the parser cannot ask: it would import torch."""
    assert parser().parse_args(["--name", "a", "--wavs", "b"]).steps == enrolling.STAGE.steps


def test_out_writes_a_copy(capsys):
    before = contents()
    assert main(["--name", "me", "--wavs", "wavs", "--steps", "1", "--out", "exp/me/vqvae"]) == 0
    assert contents() == before
    assert model_folder.read_speakers("exp/me/vqvae") == ["p225", "p226", "me"]
    assert capsys.readouterr().out.endswith("me is a speaker of exp/me/vqvae\n")


def test_out_may_be_the_model_itself():
    arguments = [
        "--name",
        "me",
        "--wavs",
        "wavs",
        "--steps",
        "1",
        "--out",
        "./exp/vctk/../vctk/vqvae",
    ]
    assert main(arguments) == 0
    assert model_folder.read_speakers(MODEL) == ["p225", "p226", "me"]


def test_the_function_writes_what_the_command_writes():
    command = ["--name", "me", "--wavs", "wavs", "--steps", "2", "--seed", "3"]
    assert main([*command, "--out", "one"]) == 0
    done = enrolling.enroll(MODEL, "me", ["wavs"], out="two", steps=2, seed=3)
    assert done.folder == Path("two")
    assert contents(Path("one")).keys() == contents(Path("two")).keys()
    (one, one_header), (two, two_header) = (
        read_weights(Path(folder, "model.safetensors")) for folder in ("one", "two")
    )
    assert one_header == two_header
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        np.testing.assert_array_equal(tensor, two[name], err_msg=name)  # NaN, the level, is equal


def test_replace():
    arguments = ["--name", "p226", "--wavs", "wavs", "--steps", "2"]
    assert main(arguments) == 2
    before = model_folder.load_model(MODEL).vqvae.decoder.conditioner.speakers.weight
    assert main([*arguments, "--replace"]) == 0
    after = model_folder.load_model(MODEL)
    assert after.speakers == ["p225", "p226"]
    assert torch.equal(after.vqvae.decoder.conditioner.speakers.weight[0], before[0])
    assert not torch.equal(after.vqvae.decoder.conditioner.speakers.weight[1], before[1])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"--name": "p225"}, "name 'p225': exp/vctk/vqvae has a speaker of this name"),
        ({"--name": "a/b"}, "name 'a/b': files are named after speakers"),
        ({"--wavs": "gone"}, "gone: no such file"),
        ({"--wavs": "empty"}, "empty: no .wav, .flac, .ogg, .mp3 file in this folder"),
        ({"--wavs": "wavs/0.wav"}, "5.0 s of speech in 1 usable recording; at least 10 s is need"),
        ({"--wavs": "bad"}, "0.0 s of speech in 0 usable recordings"),
        ({"--model": "gone"}, "gone: no such model folder"),
        ({"--steps": "0"}, "argument --steps: must be a whole number, 1 or more, got '0'"),
        ({"--steps": "x"}, "argument --steps: must be a whole number, 1 or more, got 'x'"),
        ({"--seed": "-1"}, "argument --seed: must be a whole number, 0 or more"),
        ({"--device": "toaster"}, "device 'toaster' cannot be used here"),
        ({"--out": "wavs/0.wav"}, "wavs/0.wav: a file, where a folder was expected"),
        ({"--out": "wavs/0.wav/x"}, "a file, where a folder for the output was expected"),
        ({"--out": "exp/other"}, "--out exp/other: holds a model already"),
        ({"--out": "mine"}, "mine/README.md: would be overwritten; name another folder with --out"),
        ({"--name": None}, "the following arguments are required: --name"),
        ({"--wavs": None}, "the following arguments are required: --wavs"),
    ],
)
def test_every_mistake_is_one_line_and_code_2(capsys, tiny_config, change, reason):
    model_folder.save_model("exp/other", Model(tiny_config, ["x"]), {}, "card")
    Path("empty").mkdir()
    Path("bad").mkdir()
    Path("bad/a.wav").write_bytes(b"no sound")
    Path("mine").mkdir()
    Path("mine/README.md").write_text("mine")
    before = contents()
    options = {"--name": "me", "--wavs": "wavs", "--steps": "1", "--model": str(MODEL)} | change
    try:
        code = main([word for item in options.items() if item[1] is not None for word in item])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    *others, line = err.splitlines()
    assert line.startswith("speechvq-enroll: error: ")
    assert reason in line
    assert all(other.startswith("speechvq-enroll: ") for other in others)
    assert contents() == before


def test_a_model_that_cannot_be_written_to(capsys, monkeypatch):
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != MODEL and access(path, mode))
    assert main(["--name", "me", "--wavs", "wavs"]) == 2
    err = capsys.readouterr().err
    assert "exp/vctk/vqvae: this model folder cannot be written to; pass --out" in err
    assert main(["--name", "me", "--wavs", "wavs", "--steps", "1", "--out", "copy"]) == 0


def test_the_model_inside_the_package(capsys, monkeypatch, tmp_path):
    before = contents()
    monkeypatch.setattr(model_folder, "PRETRAINED", tmp_path / MODEL)
    assert main(["--name", "me", "--wavs", "wavs"]) == 2
    err = capsys.readouterr().err
    assert "is inside the package" in err
    assert "pass --out for a copy, such as --out exp/me/vqvae" in err
    assert contents() == before


def test_ctrl_c_leaves_the_model(capsys, monkeypatch):
    before = contents()
    monkeypatch.setattr(
        enrolling, "learning_rate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    assert main(["--name", "me", "--wavs", "wavs"]) == 130
    assert capsys.readouterr().err.endswith("speechvq-enroll: interrupted\n")
    assert contents() == before


def test_a_card_of_another_encoding_keeps_its_bytes():
    card = MODEL / "README.md"
    card.write_bytes(card.read_bytes() + "\nFür Jürgen\n".encode("latin-1"))
    assert main(["--name", "me", "--wavs", "wavs", "--steps", "1"]) == 0
    assert "Für Jürgen".encode("latin-1") in card.read_bytes()
