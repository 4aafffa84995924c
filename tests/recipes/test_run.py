"""The recipe as a user runs it: every stage on a tiny configuration, and mistakes on the way."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "vctk"
STANDIN = RECIPE / "standin"
SPEAKERS = ("p225", "p226", "p227")
NUMBERS = ("001", "002", "025", "026", "027", "028", "029", "030", "031", "032")


def run(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        ["bash", str(RECIPE / "run.sh"), *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": path, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A few utterances of the stand-in corpus, in its layout."""
    root = tmp_path_factory.mktemp("corpus with a blank")
    for speaker in SPEAKERS:
        for folder, ending in (
            ("wav48_silence_trimmed", "_mic1.flac"),
            ("txt", ".txt"),
            ("phones", ".lab"),
        ):
            (root / folder / speaker).mkdir(parents=True)
            for number in NUMBERS:
                name = f"{folder}/{speaker}/{speaker}_{number}{ending}"
                shutil.copy(STANDIN / name, root / name)
    shutil.copy(STANDIN / "speaker-info.txt", root)
    return root


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    """The recipe, run from another folder: that folder, and the outcome."""
    folder = tmp_path_factory.mktemp("elsewhere")
    done = run(
        "--conf", "tiny.yaml", "--prior-conf", "tiny.yaml", "--db-root", str(corpus),
        "--n-gpus", "0",
        "--", "--stages.decoder.steps", "12",
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done


def test_every_stage_leaves_its_results(finished):
    exp = finished[0] / "exp" / "vctk"
    for name in (
        *(f"data/{part}.jsonl" for part in ("train", "valid", "test")),
        *(f"vqvae/{name}" for name in ("config.yaml", "model.safetensors", "speakers.json")),
        *(f"vqvae/{name}" for name in ("README.md", "metrics.jsonl")),
        *(f"codes/{part}.txt" for part in ("train", "valid", "test")),
        "phonemes/scores.json",
        *(f"vqvae/prior/{name}" for name in ("config.yaml", "model.safetensors", "README.md")),
        *(f"generation/{name}" for name in ("codes.txt", "scores.json", "generation.png")),
        "report/index.html",
    ):
        assert (exp / name).is_file(), name
    assert list((exp / "phonemes").glob("*.png"))
    assert len(list((exp / "generation").glob("sample-*.wav"))) == 3


def test_every_utterance_has_codes(finished):
    exp = finished[0] / "exp" / "vctk"
    found = []
    for part in ("train", "valid", "test"):
        lines = (exp / "codes" / f"{part}.txt").read_text().splitlines()
        found += [line.split("\t")[0] for line in lines if not line.startswith("#")]
    assert sorted(found) == sorted(f"{s}_{n}" for s in SPEAKERS for n in NUMBERS)


def test_sounds_to_listen_to(finished):
    from speechvq import audio

    wavs = finished[0] / "exp" / "vctk" / "wavs"
    originals = sorted(wavs.glob("*-original.wav"))
    assert originals
    for original in originals:
        id = original.stem.removesuffix("-original")
        waveform, sample_rate = audio.read(original)
        made = [wavs / f"{id}-reconstruction.wav", *wavs.glob(f"{id}-to-*.wav")]
        assert len(made) == len(originals)
        for path in made:
            assert audio.info(path) == (len(waveform) / sample_rate, 16000)
            assert f"to-{id[:4]}" not in path.stem


def test_output_tells_stages_and_what_to_listen_to(finished):
    out = finished[1].stdout
    for number in range(1, 8):
        assert f"== stage {number} of 7" in out
        assert f"== stage {number} done in" in out
    assert "Stages 1 to 7 took" in out
    assert "Listen to exp/vctk/wavs/" in out


def test_training_settings_pass_through(finished):
    metrics = (finished[0] / "exp" / "vctk" / "vqvae" / "metrics.jsonl").read_text()
    records = [json.loads(line) for line in metrics.splitlines()]
    assert max(r["step"] for r in records if r["stage"] == "decoder") == 12


def test_a_second_run_goes_on_instead_of_starting_again(finished):
    folder, _ = finished
    metrics = folder / "exp" / "vctk" / "vqvae" / "metrics.jsonl"
    before = metrics.read_text()
    done = run(
        "--conf", "tiny.yaml", "--stage", "2", "--stop-stage", "2", "--n-gpus", "0",
        "--", "--stages.decoder.steps", "12",
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert metrics.read_text() == before


def test_help_names_every_stage_and_option():
    done = run("--help")
    assert done.returncode == 0
    for word in (
        "--stage",
        "--stop-stage",
        "--conf",
        "--prior-conf",
        "--db-root",
        "--exp-dir",
        "--n-gpus",
    ):
        assert word in done.stdout
    assert "reconstruct and convert" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--stage", "8"], "--stage must be a whole number from 1 to 7, got '8'"),
        (["--stage", "zwei"], "--stage must be a whole number"),
        (["--stage"], "--stage needs a value"),
        (["--stage", ""], "--stage needs a value"),
        (["--conf", "--stage", "2"], "--conf needs a value"),
        (["--stage", "4", "--stop-stage", "3"], "--stage 4 comes after --stop-stage 3"),
        (["--conf", "nowhere.yaml"], "paper-vctk.yaml"),
        (["--db-root", "/nowhere"], "--db-root /nowhere: no such folder"),
        (["--db-root", str(RECIPE / "conf")], "not VCTK"),
        (["--n-gpus", "-1"], "--n-gpus must be"),
        (["--exp-dir", "/proc/x"], "--exp-dir /proc/x: cannot be made"),
        (["--gpus", "1"], "unknown option '--gpus'"),
        (["extra"], "unknown option 'extra'"),
    ],
)
def test_mistakes_are_one_line(arguments, says, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("run.sh: error: ")
    assert not done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("stage", "earlier"), [("2", "--stage 1"), ("3", "--stage 2"), ("4", "--stage 2")]
)
def test_a_stage_names_the_one_it_needs(stage, earlier, tmp_path):
    done = run("--stage", stage, cwd=tmp_path)
    assert done.returncode == 2
    assert earlier in done.stderr.splitlines()[0]


def test_a_corpus_that_cannot_be_read_costs_no_manifest(tmp_path):
    (tmp_path / "empty" / "wav48").mkdir(parents=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.jsonl").write_text("{}\n")
    done = run("--exp-dir", ".", "--db-root", "empty", "--stop-stage", "1", cwd=tmp_path)
    assert done.returncode == 2
    assert [p.name for p in (tmp_path / "data").iterdir()] == ["train.jsonl"]
    assert (tmp_path / "data" / "train.jsonl").read_text() == "{}\n"


def test_a_script_of_a_recipe_says_its_mistakes_in_one_line(tmp_path):
    script = [sys.executable, str(RECIPE / "listen.py"), "--model", "nope"]
    done = subprocess.run(
        [*script, "--manifest", "nope", "--out", "x"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("listen.py: error: nope: ")


def test_without_the_package_it_says_how_to_install_it(tmp_path):
    done = run("--stage", "1", cwd=tmp_path, PYTHON="/nowhere/python3")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    bare = tmp_path / "python3"
    bare.write_text(f'#!/bin/sh\nunset PYTHONPATH\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    done = run("--stage", "1", cwd=tmp_path, PYTHON=str(bare))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "pip install" in done.stderr
