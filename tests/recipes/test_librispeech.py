"""The recipe of recorded people, on small folders of the corpora' layouts, made of the stand-in."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from speechvq.config import check_stages
from speechvq.data.manifest import read_manifest
from speechvq.settings import build
from speechvq.yaml_reader import read_yaml

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "librispeech"
STANDIN = ROOT / "recipes" / "vctk" / "standin"
JUDGES = ("resemblyzer", "faster_whisper", "pocketsphinx", "speechmos", "pyworld")


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    """Run the recipe in a folder, whose modules come first."""
    path = os.pathsep.join(filter(None, [str(cwd), str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        ["bash", str(RECIPE / "run.sh"), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )


def standin(speaker: str, number: int) -> tuple[Path, str]:
    """A recording of the stand-in, and its text."""
    name = f"{speaker}/{speaker}_{number:03d}"
    text = (STANDIN / "txt" / f"{name}.txt").read_text(encoding="utf-8").strip()
    return STANDIN / "wav48_silence_trimmed" / f"{name}_mic1.flac", text


def libri(root: Path, part: str, speaker: str, numbers: range, voice: str) -> None:
    """A speaker in a part of LibriSpeech."""
    folder = root / part / speaker / "7"
    folder.mkdir(parents=True)
    lines = []
    for number in numbers:
        path, text = standin(voice, number)
        shutil.copy(path, folder / f"{speaker}-7-{number:04d}.flac")
        lines.append(f"{speaker}-7-{number:04d} {text.upper()}\n")
    (folder / f"{speaker}-7.trans.txt").write_text("".join(lines))


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    """LibriSpeech, VCTK, speechocean762 and people in none of them, as they are downloaded."""
    root = tmp_path_factory.mktemp("corpora with a blank")
    libri(root / "LibriSpeech", "train-clean-100", "19", range(25, 31), "p225")
    libri(root / "LibriSpeech", "train-clean-100", "226", range(31, 37), "p226")
    libri(root / "strangers", "test-clean", "61", range(40, 42), "p227")
    for number in range(50, 56):
        path, text = standin("p227", number)
        name = f"p227_{number:03d}"
        for folder in ("wav48_silence_trimmed", "txt"):
            (root / "VCTK" / folder / "p227").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / f"VCTK/wav48_silence_trimmed/p227/{name}_mic1.flac")
        (root / f"VCTK/txt/p227/{name}.txt").write_text(text)
    ocean = root / "speechocean762"
    (ocean / "WAVE" / "SPEAKER0226").mkdir(parents=True)
    (ocean / "train").mkdir()
    lines = []
    for number in range(60, 66):
        path, text = standin("p232", number)
        waveform, sample_rate = soundfile.read(path)
        soundfile.write(ocean / f"WAVE/SPEAKER0226/00226{number:04d}.WAV", waveform, sample_rate)
        lines.append(f"00226{number:04d}\t{text.upper()}\n")
    (ocean / "train" / "text").write_text("".join(lines))
    (root / "lists").mkdir()
    for kind, ids in {
        "librispeech": [f"19-7-{n:04d}" for n in range(25, 30)] + ["226-7-0031", "226-7-0032"],
        "vctk": [f"p227_{n:03d}" for n in range(50, 55)],
        "speechocean762": [f"00226{n:04d}" for n in range(60, 66)],
    }.items():
        (root / "lists" / f"{kind}.txt").write_text("# a list\n" + "\n".join(ids) + "\n")
    return root


@pytest.fixture(scope="module")
def finished(corpora, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    """Every stage, without judges, which take longer than all the rest."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for judge in JUDGES:
        (folder / f"{judge}.py").write_text("raise ImportError('left out')\n")
    done = run(
        "--libri-root", str(corpora / "LibriSpeech"), "--vctk-root", str(corpora / "VCTK"),
        "--speechocean-root", str(corpora / "speechocean762"), "--only", str(corpora / "lists"),
        "--strangers-root", str(corpora / "strangers"), "--conf", "tiny.yaml", "--n-gpus", "0",
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "exp" / "librispeech", done


def test_corpora_are_joined(finished):
    """The listed utterances alone, of speakers that keep apart, with their texts."""
    parts = [
        read_manifest(finished[0] / f"data/{part}.jsonl") for part in ("train", "valid", "test")
    ]
    every = [u for part in parts for u in part]
    assert len({u.id for u in every}) == len(every) == 7 + 5 + 6
    assert {u.speaker for u in parts[0]} == {"19", "226", "p227", "so0226"}
    assert all(u.text for u in every)


def test_every_stage_leaves_its_results(finished):
    exp, done = finished
    for name in (
        *(f"vqvae/{name}" for name in ("config.yaml", "model.safetensors", "README.md")),
        *(f"codes/{part}.txt" for part in ("train", "valid", "test")),
        "conversion/scores.json",
        "report/index.html",
    ):
        assert (exp / name).is_file(), name
    assert list((exp / "wavs").glob("*-to-*.wav"))
    for number in range(1, 7):
        assert f"== stage {number} of 6" in done.stdout
    assert "Listen to exp/librispeech/wavs/" in done.stdout


def test_strangers_are_judged_beside_held_out_speech(finished):
    scores = json.loads((finished[0] / "conversion/scores.json").read_text())
    groups = {trial["group"] for trial in scores["trials"]}
    assert groups == {"held-out", "strangers"}
    assert {t["source"] for t in scores["trials"] if t["group"] == "strangers"} == {"61"}
    assert {trial["target"] for trial in scores["trials"]} == {"19", "226", "p227", "so0226"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no corpus; give --libri-root DIR"),
        (["--libri-root", "/nowhere"], "--libri-root /nowhere: no such folder"),
        (["--libri-root", str(STANDIN), "--only", str(STANDIN)], "no librispeech.txt in it"),
        (["--libri-root", str(STANDIN), "--conf", "none.yaml"], "real.yaml"),
        (["--stage", "7"], "--stage must be a whole number from 1 to 6, got '7'"),
        (["--db-root", "x"], "unknown option '--db-root'"),
    ],
)
def test_mistakes_are_one_line(arguments, says, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("run.sh: error: ")
    assert not list(tmp_path.iterdir())


def test_help_names_every_option():
    done = run("--help", cwd=ROOT)
    script = (RECIPE / "run.sh").read_text()
    for option in ("--libri-root", "--vctk-root", "--strangers-root", "--only", "--targets"):
        assert option in done.stdout
        assert script.count(option) > 1


@pytest.mark.parametrize("name", ["real", "tiny"])
def test_conf_loads(name):
    """A raw-audio VQ-VAE of product codes, learned by the mel objective, then a decoder."""
    from speechvq.cli.train import SECTIONS

    values = read_yaml(RECIPE / "conf" / f"{name}.yaml")
    sections = {key: build(SECTIONS[key], values[key], key) for key in values}
    model, stages = sections["model"], sections["stages"]
    check_stages(model, stages)
    assert model.features.kind == "waveform"
    assert model.quantizer.codebooks == 4
    assert [stage.objective for stage in stages] == ["mel", "mel", "decoder"]
    assert all(stage.segment_length % model.hop_length == 0 for stage in stages)


@pytest.mark.parametrize(
    ("kind", "form"),
    [("librispeech", r"\d+-\d+-\d{4}"), ("vctk", r"p22[5-8]_\d{3}"), ("speechocean762", r"\d{9}")],
)
def test_lists_have_ids_as_the_readers_give_them(kind, form):
    lines = (RECIPE / "lists" / f"{kind}.txt").read_text().splitlines()
    ids = [line for line in lines if not line.startswith("#")]
    assert len(set(ids)) == len(ids) > 0
    assert all(re.fullmatch(form, id) for id in ids)
