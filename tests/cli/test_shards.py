"""Large manifests in shards: encoded and converted by jobs that stop and go on."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from speechvq import audio, model_folder
from speechvq.cli import convert, encode
from speechvq.data.manifest import Utterance, read_manifest, write_manifest
from speechvq.model import Model

RATE = 8000
COUNT = 8
BAD = 5
SPEAKERS = ["p225", "p226"]


@pytest.fixture(scope="module")
def place(tiny_config, tmp_path_factory):
    """A model, and a manifest of `COUNT` utterances, one of them without a recording."""
    folder = tmp_path_factory.mktemp("place")
    for name, seed in (("model", 0), ("other", 1)):
        torch.manual_seed(seed)
        model = Model(tiny_config, SPEAKERS).eval()
        with torch.no_grad():  # codes among the latents, so that several are in use
            z = model.latents(0.1 * torch.randn(1, 8 * model.hop_length))[0]
            model.vqvae.quantizer.codebook.copy_(z)
        model_folder.save_model(folder / name, model, {}, "card")
    rng = np.random.default_rng(0)
    waveform = 0.1 * rng.standard_normal(4 * RATE)
    audio.write(folder / "a.wav", waveform.astype(np.float32), RATE)
    utterances = [
        Utterance(f"talk/{i}", "x", str(folder / "a.wav"), 0.15 + 0.01 * i, 0.1 * i)
        for i in range(COUNT)
    ]
    utterances[BAD] = Utterance("bad", "x", str(folder / "none.wav"), 1.0)
    write_manifest(folder / "m.jsonl", utterances)
    write_manifest(folder / "many.jsonl", [
        Utterance(f"u{i}", "x", str(folder / "a.wav"), 0.5, 0.001 * i) for i in range(300)
    ])  # fmt: skip
    return folder


@pytest.fixture(autouse=True)
def working_folder(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHVQ_MODEL", str(place / "model"))


def run(command, arguments, capsys, code=0):
    try:
        assert command.main(list(map(str, arguments))) == code
    except SystemExit as stop:
        assert stop.code == code
    out, err = capsys.readouterr()
    return out, [line for line in err.splitlines() if ": model: " not in line]


def files(folder):
    """The audio files of a folder, by name."""
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*.wav")
    }


@pytest.mark.parametrize("count", [1, 2, 3, 11])
def test_shards_join_to_what_one_command_encodes(place, capsys, count):
    given = ["--manifest", place / "m.jsonl", "--out"]
    run(encode, [*given, "whole.txt"], capsys, code=2)
    for index in range(count):
        out, errors = run(encode, [*given, "c.txt", "--shard", f"{index}/{count}"], capsys)
        assert out == f"c.txt.{index}-of-{count}\n"
        assert len(errors) == (index == BAD % count)
    assert run(encode, [*given, "c.txt", "--shard", f"0/{count}"], capsys)[0] == ""  # whole
    _, errors = run(encode, [*given, "c.txt", "--join"], capsys, code=2)
    assert len(errors) == 1 and "bad: left out" in errors[0] and "no such file" in errors[0]
    assert Path("c.txt").read_bytes() == Path("whole.txt").read_bytes()


def test_shards_of_another_model_and_a_missing_one(place, capsys):
    given = ["--manifest", place / "m.jsonl", "--out", "c.txt"]
    run(encode, [*given, "--shard", "0/2"], capsys)
    _, errors = run(encode, [*given, "--join"], capsys, code=2)
    assert len(errors) == 1 and "c.txt.1-of-2" in errors[0]
    run(encode, [*given, "--shard", "1/2", "--model", place / "other"], capsys)
    _, errors = run(encode, [*given, "--join"], capsys, code=2)
    assert len(errors) == 1 and "c.txt.1-of-2: made by another model" in errors[0]
    assert not Path("c.txt").exists()


def test_the_shard_of_a_process_of_torchrun(place, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "2")
    given = ["--manifest", place / "m.jsonl", "--out"]
    assert run(encode, [*given, "c.txt"], capsys)[0] == "c.txt.2-of-3\n"
    run(encode, [*given, "d.txt", "--shard", "2/3"], capsys)
    assert Path("c.txt.2-of-3").read_bytes() == Path("d.txt.2-of-3").read_bytes()
    run(convert, [*given, "converted", "--speaker", "p225"], capsys)
    assert len(files("converted")) == len(range(2, COUNT, 3)) - (BAD % 3 == 2)
    _, errors = run(encode, ["--src", place / "a.wav", "--out", "e.txt"], capsys, code=2)
    assert "pass --manifest" in errors[0]


def killed(arguments, begun, wait=0.0):
    """Run speechvq-encode in a process, and kill it `wait` seconds after `begun` says yes."""
    environment = {**os.environ, "PYTHONPATH": str(Path(audio.__file__).parents[2])}
    command = [sys.executable, "-m", "speechvq.cli.encode", *map(str, arguments)]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while not begun() and process.poll() is None:
        time.sleep(0.001)
    time.sleep(wait)
    process.send_signal(signal.SIGKILL)
    return process.wait()


def kill_and_go_on(place, capsys, kills):
    """The joined file of two shards, of which the first is killed; the lines left by each kill."""
    part, left = Path("c.txt.0-of-2.part"), []
    given = ["--manifest", place / "many.jsonl", "--out", "c.txt"]

    def size():
        return part.stat().st_size if part.exists() else 0

    for wait in kills:
        before = size()
        killed([*given, "--shard", "0/2"], lambda before=before: size() > before + 2000, wait)
        if not part.exists():
            break
        left.append(part.read_bytes().count(b"\n"))
    for index in range(2):
        run(encode, [*given, "--shard", f"{index}/2"], capsys)
    run(encode, [*given, "--join"], capsys)
    return Path("c.txt").read_bytes(), left


def test_a_killed_shard_goes_on(place, capsys):
    joined, left = kill_and_go_on(place, capsys, [0])
    assert left and 6 < left[0] < 150
    run(encode, ["--manifest", place / "many.jsonl", "--out", "whole.txt"], capsys)
    assert joined == Path("whole.txt").read_bytes()


@pytest.mark.slow
def test_shards_killed_a_hundred_times(place, capsys, record_property):
    run(encode, ["--manifest", place / "many.jsonl", "--out", "whole.txt"], capsys)
    random.seed(0)
    kills = 0
    while kills < 100:
        joined, left = kill_and_go_on(place, capsys, [random.uniform(0, 0.2) for _ in range(3)])
        assert joined == Path("whole.txt").read_bytes()
        kills += len(left)
        for path in Path().glob("c.txt*"):
            path.unlink()
    record_property("figures", f"{kills} kills, each file the same")


@pytest.mark.parametrize("count", [1, 3])
def test_conversions_of_shards_are_those_of_one_command(place, capsys, count):
    given = ["--manifest", place / "m.jsonl", "--speaker", *SPEAKERS, "--out"]
    run(convert, [*given, "whole"], capsys, code=2)
    for index in range(count):
        _, errors = run(convert, [*given, "parts", "--shard", f"{index}/{count}"], capsys)
        assert len(errors) == (index == BAD % count)  # once for both speakers
    expected = files("whole")
    assert files("parts") == expected
    assert len(expected) == 2 * (COUNT - 1) and "p226/talk%2F3.wav" in expected
    out, errors = run(convert, [*given, "parts", "--join"], capsys, code=2)
    assert out.split() == [f"parts/{speaker}/manifest.jsonl" for speaker in SPEAKERS]
    assert len(errors) == 2 and all("bad: left out" in error for error in errors)
    everything = read_manifest(place / "m.jsonl")
    converted = read_manifest("parts/p226/manifest.jsonl")
    assert [u.id for u in converted] == [u.id for u in everything if u.id != "bad"]
    for u in converted:
        waveform, rate = audio.read(u.path)
        assert u.speaker == "p226" and abs(len(waveform) / rate - u.duration) < 0.001


def test_what_is_converted_is_not_converted_again(place, capsys):
    given = ["--manifest", place / "m.jsonl", "--speaker", "p225", "--out", "parts"]
    run(convert, given, capsys, code=2)
    expected = files("parts")
    lost = Path("parts/p225/talk%2F2.wav")
    lost.unlink()
    _, errors = run(convert, [*given, "--join"], capsys, code=2)
    assert len(errors) == 1 and f"{lost}: is missing, one of up to 2 of 8" in errors[0]
    assert run(convert, [*given, "--shard", "0/1"], capsys)[0] == f"{lost}\n"
    assert files("parts") == expected
    for change in (["--seed", "1"], ["--model", place / "other"], ["--no-post-filter"]):
        _, errors = run(convert, [*given, *change], capsys, code=2)
        assert len(errors) == 1 and "conversions with another" in errors[0]
    Path("parts/conversion.json").write_text("{")
    _, errors = run(convert, given, capsys, code=2)
    assert len(errors) == 1 and "another version of speechvq" in errors[0]
    Path("parts/conversion.json").unlink()
    lost.write_bytes(b"not a conversion")
    Path("parts/p225/talk%2F3.wav").unlink()
    written, errors = run(convert, given, capsys, code=2)
    assert written == "parts/p225/talk%2F3.wav\n"  # the others are converted
    assert len(errors) == 2 and "speechvq did not write it" in errors[0]
    assert lost.read_bytes() == b"not a conversion"
    _, errors = run(convert, [*given, "--join"], capsys, code=2)
    assert "speechvq did not write it" in errors[0]  # nor is it listed as a conversion


def test_conversions_are_joined_by_their_own_manifest(place, capsys):
    given = ["--manifest", place / "m.jsonl", "--speaker", "p225", "--out", "parts"]
    run(convert, given, capsys, code=2)
    outcome = json.loads(run(convert, [*given, "--join", "--json"], capsys, code=2)[0])
    (written,), (failed,) = outcome["written"], outcome["failed"]
    assert written == {"speaker": "p225", "manifest": "parts/p225/manifest.jsonl"}
    assert failed["speaker"] == "p225" and "no such file" in failed["error"]
    before = Path("parts/p225/manifest.jsonl").read_bytes()
    other = place / "other.jsonl"
    other.write_text((place / "m.jsonl").read_text().replace('"duration": ', '"duration": 1'))
    given[1] = other
    _, errors = run(convert, [*given, "--join"], capsys, code=2)
    assert len(errors) == 1 and "of another manifest" in errors[0]
    assert Path("parts/p225/manifest.jsonl").read_bytes() == before


def test_ids_and_speakers_stay_within_the_folder():
    from speechvq.cli.convert_manifest import output

    ids = ["a", "../a", "..", ".", "/a", "a/b", "a%2Fb", "%", "a\0b", "..%2Fa"]
    paths = {output("out", speaker, id) for id in ids for speaker in ids}
    assert len(paths) == len(ids) ** 2
    for path in paths:
        assert len(path.parts) == 3 and path.parts[0] == "out" and ".." not in path.parts


WRONG = [
    (encode, "--src a.wav --shard 0/2", "pass --manifest"),
    (encode, "--src a.wav --join", "pass --manifest"),
    (encode, "--manifest M --shard 2/2 --out c.txt", "expected I/N with I from 0 to N - 1"),
    (encode, "--manifest M --shard 0/2", "name --out"),
    (encode, "--manifest M --shard 0/2 --out c --format npz", "without --format"),
    (convert, "--manifest M --speaker p225 --shard 0/2", "name a folder with --out"),
    (convert, "--src a.wav --speaker p225 --shard 0/2", "pass --manifest"),
    (
        convert,
        "--manifest M --speaker p225 --out c --join",
        "talk%2F0.wav: is missing, one of up to 8 of 8",
    ),
]


@pytest.mark.parametrize(("command", "arguments", "message"), WRONG, ids=lambda x: str(x)[:60])
def test_a_mistake_is_one_line(place, capsys, command, arguments, message):
    manifest = str(place / "m.jsonl")
    words = [manifest if word == "M" else word for word in arguments.split()]
    _, errors = run(command, words, capsys, code=2)
    assert len(errors) == 1
    assert message in errors[0]
