"""speechvq-convert, with good recordings and with every bad one."""

import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

import speechvq
from speechvq import audio, model_folder
from speechvq.cli.convert import main
from speechvq.model import Model

RATE = 8000


@pytest.fixture(scope="session")
def trained(tiny_config, tmp_path_factory):
    """A working folder below which a recipe has left a model."""
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(0)
    model = Model(tiny_config, ["p225", "p226"])
    model_folder.save_model(folder / "exp" / "vctk" / "vqvae", model, {}, "card")
    return folder


@pytest.fixture
def model(trained):
    return speechvq.load(trained / "exp" / "vctk" / "vqvae")


@pytest.fixture(autouse=True)
def working_folder(trained, tmp_path, monkeypatch):
    (tmp_path / "exp").symlink_to(trained / "exp")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)
    return tmp_path


def record(path, seconds=0.2, seed=0):
    rng = np.random.default_rng(seed)
    waveform = 0.1 * rng.standard_normal(round(seconds * RATE))
    audio.write(path, waveform.astype(np.float32), RATE)
    return Path(path)


def levelled(trained, folder):
    """The model of `trained` again, which has learned from speech at -6 dB."""
    model = speechvq.load(trained / "exp" / "vctk" / "vqvae")
    assert model.speech_level is None
    model.level.fill_(-6)
    model_folder.save_model(folder, model, {}, "card")
    return folder


def files():
    return sorted(str(p) for p in Path().glob("**/*") if p.is_file() and "exp" not in p.parts)


def test_as_the_readme_says(model, capsys):
    record("a.wav")
    assert main(["--src", "a.wav", "--speaker", "p225"]) == 0
    out, err = capsys.readouterr()
    assert out == "a-p225.wav\n"
    assert "speechvq-convert: model: exp/vctk/vqvae (newest below exp/)\n" in err
    assert files() == ["a-p225.wav", "a.wav"]
    written, rate = soundfile.read("a-p225.wav", dtype="float32")
    assert rate == RATE
    waveform, _ = audio.read("a.wav")
    expected = speechvq.convert(model, waveform, "p225")
    assert len(written) == len(waveform)
    np.testing.assert_allclose(written, expected, atol=1 / 32768)
    assert soundfile.info("a-p225.wav").subtype == "PCM_16"


def test_the_same_seed_gives_the_same_file():
    record("a.wav")
    outcomes = []
    for options in (["--seed", "1"], ["--seed", "1"], ["--seed", "2"], ["--temperature", "0.5"]):
        assert main(["--src", "a.wav", "--speaker", "p226", *options]) == 0
        outcomes.append(Path("a-p226.wav").read_bytes())
    assert outcomes[0] == outcomes[1]
    assert len(set(outcomes)) == 3


def test_several_sources_and_speakers(capsys):
    for name in ("a.wav", "deep/b.flac", "deep/er/c.wav"):
        record(name)
    record("other-rate.wav")
    Path("deep/notes.txt").touch()
    assert main(["--src", "a.wav", "deep", "--speaker", "p225", "p226", "p225", "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["failed"] == []
    assert [w["output"] for w in outcome["written"]] == [
        "a-p225.wav", "a-p226.wav", "deep/b-p225.wav", "deep/b-p226.wav",
        "deep/er/c-p225.wav", "deep/er/c-p226.wav",
    ]  # fmt: skip
    assert outcome["written"][0]["seconds"] == 0.2
    assert all(Path(w["output"]).exists() for w in outcome["written"])


def test_each_of_several_is_as_if_alone():
    for i in range(3):
        record(f"{i}.wav", 0.1 + 0.1 * i, seed=i)
    assert main(["--src", "0.wav", "1.wav", "2.wav", "--speaker", "p225", "--out", "all"]) == 0
    for i in range(3):
        assert main(["--src", f"{i}.wav", "--speaker", "p225"]) == 0
        assert Path(f"{i}-p225.wav").read_bytes() == Path(f"all/{i}-p225.wav").read_bytes()


def test_another_rate_and_two_channels():
    stereo = np.random.default_rng(0).standard_normal((22050, 2)) / 10
    soundfile.write("s.wav", stereo, 44100, subtype="FLOAT")
    assert main(["--src", "s.wav", "--speaker", "p225"]) == 0
    info = soundfile.info("s-p225.wav")
    assert (info.samplerate, info.channels, info.frames) == (RATE, 1, RATE // 2)


@pytest.mark.parametrize(
    ("out", "made"),
    [
        ("b.wav", "b.wav"),
        ("b.FLAC", "b.FLAC"),
        ("new/er/b.wav", "new/er/b.wav"),
        ("folder", "folder/a-p225.wav"),
        ("v1.5", "v1.5/a-p225.wav"),
    ],
)
def test_out(out, made):
    record("a.wav")
    assert main(["--src", "a.wav", "--speaker", "p225", "--out", out]) == 0
    assert files() == sorted(["a.wav", made])
    expected = "FLAC" if made.endswith("FLAC") else "WAV"
    assert soundfile.info(made).format == expected


def test_an_earlier_output_is_replaced():
    record("a.wav")
    assert main(["--src", "a.wav", "--speaker", "p225", "--seed", "1"]) == 0
    old = audio.read("a-p225.wav")[0]
    assert main(["--src", "a.wav", "--speaker", "p225"]) == 0
    assert not np.array_equal(audio.read("a-p225.wav")[0], old)


def refused(capsys, arguments, *words):
    """The command ends with 2 and one line of error that holds the words; nothing is written."""
    before = files()
    try:
        assert main(arguments) == 2
    except SystemExit as stop:  # argparse's own
        assert stop.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    errors = [line for line in err.splitlines() if ": model: " not in line]
    assert len(errors) == 1, err
    assert errors[0].startswith("speechvq-convert: error: ")
    for word in words:
        assert word in errors[0]
    assert files() == before


def nan():
    soundfile.write("x.wav", np.array([0.1, np.nan] * 2000), RATE, subtype="FLOAT")


def truncated():
    path = record("x.wav", 1)
    path.write_bytes(path.read_bytes()[:-3000])


def truncated_flac():
    path = record("y.flac", 2)
    Path("x.wav").write_bytes(path.read_bytes()[:-9000])
    path.unlink()


BAD = {
    "empty": (lambda: Path("x.wav").touch(), "empty file"),
    "no samples": (lambda: soundfile.write("x.wav", np.zeros(0), RATE), "no samples"),
    "too short": (lambda: record("x.wav", 0.05), "too short, 0.050 s"),
    "silent": (lambda: soundfile.write("x.wav", np.zeros(4000), RATE), "silent"),
    "NaN": (nan, "NaN"),
    "truncated": (truncated, "truncated"),
    "truncated FLAC": (truncated_flac, "truncated"),
    "not audio": (lambda: Path("x.wav").write_text("Dear Sir or Madam,\n" * 99), "not audio"),
    "missing": (lambda: None, "no such file"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_source(kind, capsys):
    make, words = BAD[kind]
    make()
    refused(capsys, ["--src", "x.wav", "--speaker", "p225"], "x.wav: ", words)


def test_one_bad_source_among_good_ones(capsys):
    record("a.wav")
    record("b.wav")
    truncated()
    assert main(["--src", "a.wav", "x.wav", "b.wav", "--speaker", "p225"]) == 2
    out, err = capsys.readouterr()
    assert sorted(out.splitlines()) == ["a-p225.wav", "b-p225.wav"]  # as each is ready
    assert err.count("error") == 1
    assert "speechvq-convert: error: x.wav: truncated" in err
    assert files() == ["a-p225.wav", "a.wav", "b-p225.wav", "b.wav", "x.wav"]


def test_bad_and_good_as_json(capsys):
    record("a.wav")
    truncated()
    assert main(["--src", "x.wav", "a.wav", "--speaker", "p225", "--json"]) == 2
    outcome = json.loads(capsys.readouterr().out)
    assert [w["source"] for w in outcome["written"]] == ["a.wav"]
    assert [f["source"] for f in outcome["failed"]] == ["x.wav"]
    assert "truncated" in outcome["failed"][0]["error"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--speaker", "p224"], ["unknown speaker 'p224'", "p225, p226", "did you mean p22"]),
        (["--speaker", "p225", "p226", "nobody"], ["unknown speaker 'nobody'"]),
        ([], ["--speaker is missing"]),
        (["--speaker", "p225", "--temperature", "0"], ["must be above 0", "argmax"]),
        (["--speaker", "p225", "--temperature", "warm"], ["--temperature", "'warm'"]),
        (["--speaker", "p225", "--seed", "-1"], ["--seed"]),
        (["--speaker", "p225", "--top-k", "0"], ["--top-k: must be a whole number, 1 or more"]),
        (["--speaker", "p225", "--top-p", "1.5"], ["--top-p: must be above 0 and at most 1"]),
        (["--speaker", "p225", "--guidance", "-1"], ["--guidance: must be 0 or more, got -1"]),
        (["--speaker", "p225", "--guidance", ".3"], ["guidance: this model has no mel predictor"]),
        (["--speaker", "p225", "--precision", "int8"], ["--precision", "bfloat16"]),
        (["--speaker", "p225", "--model", "none"], ["none: no such model folder"]),
        (["--speaker", "p225", "--device", "toaster"], ["device 'toaster' cannot be used"]),
        (["--speaker", "p225", "--out", "b.mp3"], ["cannot write .mp3; use .wav or .flac"]),
        (["--speaker", "p225", "--out", "a.wav"], ["a.wav: the output would overwrite"]),
        (["--speaker", "p225", "--out", "./deep/../a.wav"], ["would overwrite"]),
        (["--speaker", "p225", "p226", "--out", "b.wav"], ["name a folder"]),
        (["--speaker", "p225", "--out", "a.wav/b"], ["a.wav: a file, where a folder"]),
        (["--speaker", "p225", "--nonsense"], ["--nonsense"]),
    ],
)
def test_a_mistake(options, words, capsys):
    record("a.wav")
    Path("deep").mkdir()
    refused(capsys, ["--src", "a.wav", *options], *words)


def test_outputs_that_clash(capsys):
    record("one/a.wav")
    record("two/a.flac")
    refused(
        capsys,
        ["--src", "one", "two", "--speaker", "p225", "--out", "all"],
        "one/a.wav and two/a.flac would both be written to all/a-p225.wav",
    )


def test_a_source_is_never_overwritten(capsys):
    """Not even by the output for another source."""
    record("a.wav")
    record("a-p225.wav")
    refused(capsys, ["--src", ".", "--speaker", "p225"], "a-p225.wav: the output would overwrite")
    Path("link.wav").symlink_to("a.wav")
    refused(capsys, ["--src", "a.wav", "--speaker", "p225", "--out", "link.wav"], "overwrite")


def test_a_second_run_on_a_folder(capsys):
    """Conversions lie beside their sources; they are written again, and are no sources."""
    record("a.wav")
    record("sub/b.flac")
    for speaker, left_out in (("p225", 0), ("p225", 2), ("p226", 2), ("p226", 4)):
        assert main(["--src", ".", "--speaker", speaker]) == 0
        out, err = capsys.readouterr()
        assert sorted(out.splitlines()) == [f"a-{speaker}.wav", f"sub/b-{speaker}.wav"]
        assert ("left out" in err) == bool(left_out)
        assert f"left out {left_out} earlier outputs" in err or not left_out
    made = [name for name in files() if "-p" in name]
    assert len(made) == 4 and files() == sorted([*made, "a.wav", "sub/b.flac"])
    # By names of a shell's pattern it is the same; alone they are sources
    assert main(["--src", *files(), "--speaker", "p225"]) == 0
    assert len(made) == 4 and files() == sorted([*made, "a.wav", "sub/b.flac"])
    assert main(["--src", made[0], "--speaker", "p226", "--out", "twice.flac"]) == 0
    assert audio.is_drawn(Path("twice.flac"))


def test_a_recording_with_the_name_of_an_output(capsys):
    """It is not overwritten; the others are converted."""
    for name in ("a.wav", "b.wav", "a-p225.wav"):
        record(name)
    before = Path("a-p225.wav").read_bytes()
    assert main(["--src", "a.wav", "b.wav", "--speaker", "p225"]) == 2
    out, err = capsys.readouterr()
    assert out == "b-p225.wav\n"
    assert "a-p225.wav: is there, and speechvq did not write it; move it" in err
    refused(capsys, ["--src", "a.wav", "--speaker", "p225"], "speechvq did not write it")
    assert Path("a-p225.wav").read_bytes() == before
    assert main(["--src", "b.wav", "--speaker", "p225", "--out", "a-p225.wav"]) == 0


def test_a_source_that_cannot_be_used_is_told_once(capsys):
    record("a.wav")
    Path("bad.wav").write_bytes(b"no sound")
    assert main(["--src", "a.wav", "bad.wav", "--speaker", "p225", "p226", "--json"]) == 2
    out, err = capsys.readouterr()
    assert err.count("bad.wav: ") == 1
    assert [job["output"] for job in json.loads(out)["failed"]] == ["bad-p225.wav", "bad-p226.wav"]


def test_a_piped_source_has_a_name(capsys, monkeypatch):
    """And not that of its temporary file."""
    record("a.wav")

    def pipe(content):
        stdin = SimpleNamespace(buffer=io.BytesIO(content), isatty=lambda: False)
        monkeypatch.setattr("sys.stdin", stdin)

    arguments = ["--speaker", "p225", "--out", "out", "--json"]
    pipe(b"RIFF")
    assert main(["--src", "-", "a.wav", *arguments]) == 2
    out, err = capsys.readouterr()
    (failed,) = json.loads(out)["failed"]
    assert failed["source"] == "stdin" and failed["error"].startswith("stdin: not audio")
    assert "error: stdin: not audio" in err and "speechvq-pipe" not in out + err
    pipe(Path("a.wav").read_bytes())
    assert main(["--src", "-", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["written"][0]["source"] == "stdin"
    out, into = os.pipe()
    os.write(into, Path("a.wav").read_bytes()[:200])
    os.close(into)
    stdout = SimpleNamespace(isatty=lambda: False, buffer=io.BytesIO(), flush=lambda: None)
    monkeypatch.setattr("sys.stdout", stdout)
    with os.fdopen(out, "rb") as cut:
        stdin = SimpleNamespace(buffer=cut, isatty=lambda: False)
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["--src", "-", "--speaker", "p225", "--stream"]) == 2
    assert "error: stdin: truncated" in capsys.readouterr().err


def test_an_empty_folder_and_no_source(capsys):
    Path("empty").mkdir()
    refused(capsys, ["--src", "empty", "--speaker", "p225"], "empty: no .wav")
    refused(capsys, ["--speaker", "p225"], "--src is missing")


def test_without_any_training_the_model_of_the_package_speaks(tmp_path, capsys):
    (tmp_path / "exp").unlink()
    record("a.wav")
    assert main(["--src", "a.wav", "--speaker", "p226"]) == 0
    out, err = capsys.readouterr()
    assert out == "a-p226.wav\n" and "inside the package" in err
    assert audio.info("a-p226.wav") == (pytest.approx(0.2, abs=1e-3), 16000)


def test_codes_are_of_the_level_of_the_model_and_speech_of_the_source(tmp_path, trained, capsys):
    """Ten times as loud a recording has the same codes, and the speech is ten times as loud."""
    folder = levelled(trained, tmp_path / "levelled")
    rng = np.random.default_rng(0)
    for name, scale in (("soft", 0.004), ("loud", 0.04), ("hot", 0.2)):
        soundfile.write(f"{name}.wav", scale * rng.standard_normal(1600), RATE, subtype="FLOAT")
        rng = np.random.default_rng(0)
    arguments = ["--speaker", "p225", "--model", str(folder)]
    assert main(["--src", "soft.wav", "loud.wav", "hot.wav", *arguments]) == 0
    said = {name: soundfile.read(f"{name}-p225.wav")[0] for name in ("soft", "loud", "hot")}
    np.testing.assert_allclose(10 * said["soft"], said["loud"], atol=20 / 32768)
    # Speech as loud as that would be clipped
    louder = np.sqrt(np.mean(said["hot"] ** 2) / np.mean(said["loud"] ** 2))
    assert louder == pytest.approx(10 ** ((-20 + 28) / 20), rel=0.1)


def test_the_function_gives_what_the_command_writes(tmp_path, trained):
    """For a quiet file too, whose codes depend on its level."""
    folder = levelled(trained, tmp_path / "levelled")
    model = speechvq.load(folder)
    quiet = 0.004 * np.random.default_rng(0).standard_normal(4000)
    soundfile.write("quiet.wav", quiet, RATE, subtype="FLOAT")
    assert main(["--src", "quiet.wav", "--speaker", "p226", "--model", str(folder)]) == 0
    expected = speechvq.convert(model, audio.read("quiet.wav")[0], "p226")
    written, _ = soundfile.read("quiet-p226.wav", dtype="int16")
    np.testing.assert_array_equal(written, audio.to_pcm(expected))
    # The gain is not lost on the way
    model.level.fill_(math.nan)
    unlevelled = speechvq.convert(model, audio.read("quiet.wav")[0], "p226")
    assert not np.array_equal(written, audio.to_pcm(unlevelled))


def test_an_interrupt_leaves_what_is_whole(capsys, monkeypatch):
    """The shorter ones are there already; of the long one there is no trace."""
    from speechvq import sampling

    real = sampling.sample_into

    def interrupted(sinks, *arguments, **options):
        told = 0

        def progress(samples):
            nonlocal told
            told += samples
            if told > 2 * RATE:
                raise KeyboardInterrupt

        real(sinks, *arguments, **options | {"progress": progress, "threads": 1})

    record("a.wav", 0.2)
    record("b.wav", 30)
    monkeypatch.setattr(sampling, "sample_into", interrupted)
    assert main(["--src", "a.wav", "b.wav", "--speaker", "p225"]) == 130
    assert files() == ["a-p225.wav", "a.wav", "b.wav"]
    out, err = capsys.readouterr()
    assert out == "a-p225.wav\n"
    assert err.endswith("speechvq-convert: interrupted\n")


def test_a_full_disk_is_one_line(capsys, monkeypatch):
    def full(self, waveform):
        raise OSError(28, "cannot be written: is the disk full?", str(self.path))

    record("a.wav")
    monkeypatch.setattr(audio.Writer, "write", full)
    refused(capsys, ["--src", "a.wav", "--speaker", "p225"], "is the disk full?")


def test_truncated_distributions(model):
    record("a.wav")
    waveform, _ = audio.read("a.wav")
    for options, arguments in (
        (["--top-k", "3"], {"top_k": 3}),
        (["--top-p", "0.5", "--temperature", "0.9"], {"top_p": 0.5, "temperature": 0.9}),
        (["--precision", "bfloat16"], {"precision": "bfloat16"}),
    ):
        assert main(["--src", "a.wav", "--speaker", "p225", *options]) == 0
        sampling = speechvq.SamplingOptions(**arguments)
        expected = speechvq.convert(model, waveform, "p225", sampling)
        np.testing.assert_allclose(audio.read("a-p225.wav")[0], expected, atol=1 / 32768)


def stream(*options, source="a.wav"):
    """stdout and the exit code of a process of its own."""
    root = Path(speechvq.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "speechvq.cli.convert", "--src", source, "--speaker", "p225"]
        + list(options),
        capture_output=True, env={"PYTHONPATH": str(root), "PATH": ""},
    )  # fmt: skip
    assert b"Traceback" not in done.stderr, done.stderr
    return done.stdout, done.returncode


def test_a_stream_is_the_file():
    record("a.wav")
    assert main(["--src", "a.wav", "--speaker", "p225", "--out", "b.wav"]) == 0
    samples, _ = soundfile.read("b.wav", dtype="int16")
    bare, code = stream("--stream", "pcm")
    assert code == 0
    np.testing.assert_array_equal(np.frombuffer(bare, "<i2"), samples)
    wav, code = stream("--stream")
    assert code == 0
    Path("piped.wav").write_bytes(wav)
    piped, rate = audio.read("piped.wav")
    assert rate == RATE
    np.testing.assert_array_equal(piped, audio.read("b.wav")[0])


def test_a_stream_of_nothing_is_nothing(capsys):
    Path("text.wav").write_text("no audio")
    assert stream("--stream", source="text.wav") == (b"", 2)
    audio.write("silent.wav", np.zeros(RATE, np.float32), RATE)
    assert stream("--stream", source="silent.wav")[1] == 2
    record("a.wav")
    for options, words in (
        (["--stream", "--out", "b.wav"], "--stream and --out"),
        (["--stream", "--json"], "--stream and --json"),
        (["--stream", "mp3"], "invalid choice: 'mp3'"),
        (["--stream", "--speaker", "p226", "p225"], "1 sources and 2 speakers"),
    ):
        refused(capsys, ["--src", "a.wav", "--speaker", "p225", *options], words)


def test_a_player_that_leaves_early():
    """As `| head` does: no traceback, and an end."""
    record("a.wav", 20)
    root = Path(speechvq.__file__).parents[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "speechvq.cli.convert", "--src", "a.wav", "--speaker", "p225"]
        + ["--stream"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PYTHONPATH": str(root), "PATH": ""},
    )  # fmt: skip
    process.stdout.read(100)
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(timeout=30)


def test_list_speakers(capsys):
    assert main(["--list-speakers"]) == 0
    assert capsys.readouterr().out == "p225\np226\n"
    assert main(["--list-speakers", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["p225", "p226"]


def test_as_a_process_of_its_own():
    """No traceback, the exit code, and stdout apart from stderr."""
    record("a.wav")
    truncated()
    root = Path(speechvq.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "speechvq.cli.convert", "--src", "x.wav", "a.wav"]
        + ["--speaker", "p225"],
        capture_output=True, text=True, env={"PYTHONPATH": str(root), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == "a-p225.wav\n"
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if "compiled the sampler" not in line]
    assert len(lines) == 2, done.stderr
