"""speechvq-encode and speechvq-decode: the two halves of a conversion."""

import io
import json
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import speechvq
from speechvq import audio, codes, model_folder
from speechvq.cli import convert, decode, encode
from speechvq.data.manifest import Phone, Utterance, write_manifest
from speechvq.data.textgrid import read_textgrid
from speechvq.model import Model

RATE = 8000
MODEL = "model"


@pytest.fixture(scope="session")
def saved(tiny_config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(0)
    model = Model(tiny_config, ["p225", "p226"]).eval()
    with torch.no_grad():  # codes among the latents, so that several are in use
        z = model.latents(0.1 * torch.randn(1, 8 * model.hop_length))[0]
        model.vqvae.quantizer.codebook.copy_(z)
    model_folder.save_model(folder / MODEL, model, {}, "card")
    return folder / MODEL


@pytest.fixture(autouse=True)
def working_folder(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPEECHVQ_MODEL", str(saved))


def record(path, seconds=0.2, seed=0):
    rng = np.random.default_rng(seed)
    waveform = 0.1 * rng.standard_normal(round(seconds * RATE))
    audio.write(path, waveform.astype(np.float32), RATE)


def run(command, arguments, capsys, code=0):
    try:
        assert command.main(arguments) == code
    except SystemExit as stop:
        assert stop.code == code
    out, err = capsys.readouterr()
    return out, [line for line in err.splitlines() if ": model: " not in line]


def test_codes_of_a_quiet_file_are_those_of_the_function(saved, tmp_path, capsys):
    model = speechvq.load(saved)
    model.level.fill_(-20)
    model_folder.save_model("levelled", model, {}, "card")
    quiet = 0.002 * np.random.default_rng(0).standard_normal(4000)
    soundfile.write("quiet.wav", quiet, RATE, subtype="FLOAT")
    out, _ = run(encode, ["--src", "quiet.wav", "--model", "levelled"], capsys)
    found = codes.parse_codes(out, "stdout")[1]["quiet"]
    waveform, _ = audio.read("quiet.wav")
    np.testing.assert_array_equal(found, speechvq.encode(speechvq.load("levelled"), waveform))
    assert (found != speechvq.encode(speechvq.load(saved), waveform)).any()


def test_functions_and_commands_agree_where_the_level_is_known(saved, capsys):
    """In a recording of several blocks, at a level of its own."""
    model = speechvq.load(saved)
    model.level.fill_(-20)
    model_folder.save_model("levelled", model, {}, "card")
    rng = np.random.default_rng(0)
    quiet = 0.003 * rng.standard_normal(12 * RATE) * (1 + np.sin(np.arange(12 * RATE) / 4000))
    soundfile.write("quiet.wav", quiet, RATE, subtype="FLOAT")
    model = speechvq.load("levelled")
    waveform, _ = audio.read("quiet.wav")
    arguments = ["--src", "quiet.wav", "--model", "levelled", "--out"]
    run(encode, [*arguments, "c.txt"], capsys)
    found = codes.read_codes("c.txt")[1]["quiet"]
    np.testing.assert_array_equal(found, speechvq.encode(model, waveform))
    assert len(set(found.tolist())) > 2
    run(convert, [*arguments, "b.wav", "--speaker", "p226", "--seed", "3"], capsys)
    options = speechvq.SamplingOptions(seed=3)
    expected = audio.to_pcm(speechvq.convert(model, waveform, "p226", options))
    np.testing.assert_array_equal(soundfile.read("b.wav", dtype="int16")[0], expected)


def test_decoded_speech_is_that_of_the_function(saved, capsys):
    record("a.wav")
    run(encode, ["--src", "a.wav", "--out", "c.txt"], capsys)
    options = ["--speaker", "p226", "--seed", "3", "--top-k", "5"]
    run(decode, ["--codes", "c.txt", "--out", "d", *options], capsys)
    found = codes.read_codes("c.txt")[1]["a"]
    drawn = speechvq.SamplingOptions(seed=3, top_k=5)
    expected = audio.to_pcm(speechvq.sample(speechvq.load(saved), found, "p226", drawn))
    np.testing.assert_array_equal(soundfile.read("d/a-p226.wav", dtype="int16")[0], expected)


def test_codes_on_stdout(saved, capsys):
    record("a.wav", 0.2)
    record("deep/b.flac", 0.3, seed=1)
    out, errors = run(encode, ["--src", "a.wav", "deep"], capsys)
    assert errors == []
    model = speechvq.load(saved)
    *header, first, second = out.splitlines()
    assert header == [
        "# speechvq codes 1",
        "# codebook_size 8",
        "# hop_length 16",
        "# sample_rate 8000",
        f"# model {model_folder.fingerprint(model)}",
    ]
    expected = speechvq.encode(model, audio.read("a.wav")[0])
    assert first == "a\t" + " ".join(map(str, expected))
    assert len(set(expected.tolist())) > 2
    assert second.startswith("b\t")


def test_codes_in_a_file_and_as_json(capsys):
    record("a.wav")
    text, _ = run(encode, ["--src", "a.wav"], capsys)
    assert run(encode, ["--src", "a.wav", "--out", "new/c.txt"], capsys) == ("", [])
    assert Path("new/c.txt").read_text() == text
    values = json.loads(run(encode, ["--src", "a.wav", "--json"], capsys)[0])
    codebook, utterances = codes.read_codes("new/c.txt")
    assert values["codes"] == {"a": utterances["a"].tolist()}
    assert values["model"] == codebook.model
    assert values["hop_length"] == 16


def test_a_manifest(saved, capsys):
    record("long.wav", 1.0)
    write_manifest(
        "test.jsonl",
        [
            Utterance("p225_001", "p225", "long.wav", 0.25, 0.5),
            Utterance("p225_002", "p225", "long.wav", 1.0),
        ],
    )
    out, errors = run(encode, ["--manifest", "test.jsonl"], capsys)
    assert errors == []
    _, utterances = codes.parse_codes(out, "stdout")
    model = speechvq.load(saved)
    assert list(utterances) == ["p225_001", "p225_002"]
    for id, (start, duration) in {"p225_001": (0.5, 0.25), "p225_002": (0.0, 1.0)}.items():
        waveform, _ = audio.read("long.wav", RATE, start, duration)
        np.testing.assert_array_equal(utterances[id], speechvq.encode(model, waveform))


def test_a_long_recording_is_never_whole_in_memory(saved, capsys, monkeypatch):
    record("a.wav", 25.0)
    expected = speechvq.encode(speechvq.load(saved), audio.read("a.wav")[0])
    lengths = []
    monkeypatch.setattr(audio, "read", lambda *_: pytest.fail("read as a whole"))
    whole = Model.latents

    def of_piece(model, waveform):
        lengths.append(waveform.shape[-1])
        return whole(model, waveform)

    monkeypatch.setattr(Model, "latents", of_piece)
    out, errors = run(encode, ["--src", "a.wav"], capsys)
    assert errors == []
    np.testing.assert_array_equal(codes.parse_codes(out, "stdout")[1]["a"], expected)
    assert len(lengths) == 3
    assert max(lengths) < 11 * RATE


def test_encode_then_decode_is_convert(capsys, monkeypatch):
    """A source of a whole number of codes: 0.2 s are 100 codes of 16 samples."""
    record("a.wav", 0.2)
    text, _ = run(encode, ["--src", "a.wav"], capsys)
    Path("c.txt").write_text(text)
    options = ["--speaker", "p226", "--seed", "3", "--temperature", "0.9"]
    out, errors = run(decode, ["--codes", "c.txt", "--out", "one", *options], capsys)
    assert (out, errors) == ("one/a-p226.wav\n", [])
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode("utf-16"))))
    assert run(decode, ["--codes", "-", *options], capsys)[0] == "a-p226.wav\n"
    run(convert, ["--src", "a.wav", "--out", "two.wav", *options], capsys)
    contents = {Path(p).read_bytes() for p in ("one/a-p226.wav", "a-p226.wav", "two.wav")}
    assert len(contents) == 1


def test_several_utterances_and_speakers(capsys):
    for i in range(3):
        record(f"{i}.wav", 0.1 + 0.1 * i)
    run(encode, ["--src", ".", "--out", "c.txt"], capsys)
    arguments = ["--codes", "c.txt", "--speaker", "p225", "p226", "--out", "d", "--json"]
    outcome = json.loads(run(decode, arguments, capsys)[0])
    assert [w["output"] for w in outcome["written"]] == [
        f"d/{i}-{speaker}.wav" for i in range(3) for speaker in ("p225", "p226")
    ]
    for i in range(3):
        frames = soundfile.info(f"d/{i}-p226.wav").frames
        assert frames == -(-(i + 1) * 800 // 16) * 16
        assert outcome["written"][2 * i]["seconds"] == round(frames / RATE, 3)


def test_a_bad_recording_among_good_ones(capsys):
    record("a.wav")
    record("c.wav")
    Path("b.wav").write_text("no audio, no audio, no audio, no audio")
    soundfile.write("s.wav", np.zeros(4000), RATE)
    record("d.flac", 30)
    content = Path("d.flac").read_bytes()
    Path("d.flac").write_bytes(
        content[:-12000] + bytes(4000) + content[-8000:]
    )  # met when most of it is encoded
    sources = ["--src", "a.wav", "b.wav", "s.wav", "d.flac", "c.wav"]
    out, errors = run(encode, [*sources, "--out", "c.txt"], capsys, code=2)
    assert len(errors) == 3
    assert errors[0].startswith("speechvq-encode: error: b.wav: not audio")
    assert errors[1].startswith("speechvq-encode: error: s.wav: silent")
    assert errors[2].startswith("speechvq-encode: error: d.flac: truncated or damaged")
    assert list(codes.read_codes("c.txt")[1]) == ["a", "c"]


def encode_refused(capsys, arguments, *words):
    out, errors = run(encode, arguments, capsys, code=2)
    assert out == ""
    assert len(errors) == 1, errors
    assert errors[0].startswith("speechvq-encode: error: ")
    assert all(word in errors[0] for word in words), errors
    assert not Path("c.txt").exists()


def test_encode_refuses(capsys):
    record("a.wav")
    record("deep/a.flac")
    Path("bad.wav").touch()
    Path("bad.jsonl").write_text("{}")
    soundfile.write("short.wav", np.ones(10), RATE)
    soundfile.write("nan.wav", np.full(4000, np.nan), RATE, subtype="FLOAT")
    to_file = ["--out", "c.txt"]
    encode_refused(capsys, ["--src", "bad.wav", *to_file], "bad.wav: an empty file")
    encode_refused(capsys, ["--src", "short.wav", *to_file], "short.wav: too short")
    encode_refused(capsys, ["--src", "nan.wav", *to_file], "nan.wav: ", "NaN")
    encode_refused(capsys, ["--src", "gone.wav", *to_file], "gone.wav: no such file")
    encode_refused(
        capsys, ["--src", "a.wav", "deep", *to_file], "a.wav and", "deep/a.flac", "the id 'a'"
    )
    encode_refused(capsys, ["--manifest", "bad.jsonl", *to_file], "bad.jsonl:1: no 'id'")
    encode_refused(capsys, ["--manifest", "gone.jsonl", *to_file], "no such manifest")
    encode_refused(capsys, ["--src", "a.wav", "--manifest", "bad.jsonl"], "not allowed with")
    encode_refused(capsys, [*to_file], "--src --manifest")
    encode_refused(capsys, ["--src", "a.wav", "--out", "deep"], "--out deep: a folder")
    encode_refused(capsys, ["--src", "a.wav", "--out", "a.wav"], "overwrite")
    encode_refused(capsys, ["--src", "a.wav", "--out", "a.wav/c"], "a.wav: a file, where")
    encode_refused(capsys, ["--src", "a.wav", "--model", "gone"], "gone: no such model folder")


def decode_refused(capsys, text, *words, options=("--speaker", "p225")):
    Path("c.txt").write_text(text)
    out, errors = run(decode, ["--codes", "c.txt", *options], capsys, code=2)
    assert out == ""
    assert len(errors) == 1, errors
    assert errors[0].startswith("speechvq-decode: error: ")
    assert all(word in errors[0] for word in words), errors
    assert not list(Path().glob("**/*-p22*"))


def test_decode_refuses(capsys, saved, tiny_config, tmp_path):
    record("a.wav")
    text, _ = run(encode, ["--src", "a.wav"], capsys)
    header = text.partition("a\t")[0]
    decode_refused(capsys, text + "b\t3 8 2\n", "c.txt:7: code 8 is out of range 0 … 7")
    decode_refused(capsys, text + "b\t3 -2\n", "c.txt:7: a code must be a whole number, got '-2'")
    decode_refused(capsys, header, "c.txt: no utterances")
    decode_refused(capsys, "hello", "c.txt:1: expected '# speechvq codes 1', got 'hello'")
    decode_refused(capsys, "", "c.txt:1: expected", "got nothing")
    decode_refused(capsys, text, "unknown speaker 'p999'", options=["--speaker", "p999"])
    decode_refused(capsys, header + "x/a\t1\nx-a\t1\n", "'x/a' and 'x-a' would both be written")
    decode_refused(
        capsys, text.replace("# hop_length 16", "# hop_length 64"), "hop_length 64", "has 16"
    )
    Path("dir").touch()
    decode_refused(
        capsys, text, "dir: a file, where", options=["--speaker", "p225", "--out", "dir"]
    )
    torch.manual_seed(1)
    other = Model(tiny_config, ["p225"])
    model_folder.save_model("other", other, {}, "card")
    decode_refused(
        capsys, text, "c.txt: made with model ", "pass --model",
        options=["--speaker", "p225", "--model", "other"],
    )  # fmt: skip
    out, errors = run(decode, ["--codes", "gone.txt", "--speaker", "p225"], capsys, code=2)
    assert errors == ["speechvq-decode: error: gone.txt: no such file; speechvq-encode makes them"]


def test_an_id_stays_within_the_folder(capsys):
    record("a.wav")
    text, _ = run(encode, ["--src", "a.wav"], capsys)
    Path("c.txt").write_text(text.replace("a\t", "../../a\t"))
    out, _ = run(decode, ["--codes", "c.txt", "--speaker", "p225", "--out", "d"], capsys)
    assert out == "d/..-..-a-p225.wav\n"


PHONES = (Phone(0.0, 0.1, "sil"), Phone(0.1, 0.2, "AH"), Phone(0.21, 0.25, 'say "t"'))


def manifest(*ids):
    """A manifest of two pieces of one recording; the first has phones."""
    record("long.wav", 1.0)
    write_manifest(
        "test.jsonl",
        [
            Utterance(ids[0], "p225", "long.wav", 0.25, 0.5, phones=PHONES),
            Utterance(ids[1], "p225", "long.wav", 0.3, 0.1),
        ],
    )
    return ["--manifest", "test.jsonl"]


def text_codes(arguments, capsys):
    return codes.parse_codes(run(encode, arguments, capsys)[0], "stdout")[1]


def test_textgrids_of_codes_beside_phones(capsys):
    arguments = manifest("one", "two")
    out, errors = run(encode, [*arguments, "--format", "textgrid", "--out", "grids"], capsys)
    assert (out, errors) == ("grids/one.TextGrid\ngrids/two.TextGrid\n", [])
    expected = text_codes(arguments, capsys)
    for id, own in expected.items():
        grid = read_textgrid(Path(f"grids/{id}.TextGrid"))
        seconds = {"one": 0.25, "two": 0.3}[id]
        runs = grid[0].intervals
        assert runs[0][0] == 0 and runs[-1][1] == seconds
        again = [int(x) for start, end, x in runs for _ in range(round((end - start) * RATE / 16))]
        assert again == own.tolist()
        assert len(runs) < len(own)
    one, two = (read_textgrid(Path(f"grids/{id}.TextGrid")) for id in ("one", "two"))
    assert [tier.name for tier in one] == ["codes", "phones"]
    assert [tier.name for tier in two] == ["codes"]
    between = (0.2, 0.21, "")
    listed = [(p.start, p.end, p.label) for p in PHONES]
    assert one[1].intervals == [*listed[:2], between, *listed[2:]]


def test_a_textgrid_overwrites_only_one_of_codes(capsys):
    arguments = [*manifest("one", "two"), "--format", "textgrid", "--out", "grids"]
    run(encode, arguments, capsys)
    Path("grids/one.TextGrid").write_text("labels by hand")
    out, errors = run(encode, arguments, capsys, code=2)
    assert out == "grids/two.TextGrid\n"
    assert len(errors) == 1 and "grids/one.TextGrid: is there" in errors[0]
    assert Path("grids/one.TextGrid").read_text() == "labels by hand"


def test_textgrids_stay_within_the_folder(capsys, tmp_path):
    arguments = manifest("../../up", "/root")
    out, _ = run(encode, [*arguments, "--format", "textgrid", "--out", "deep/g", "--json"], capsys)
    written = [each["output"] for each in json.loads(out)["written"]]
    assert written == ["deep/g/..-..-up.TextGrid", "deep/g/-root.TextGrid"]
    assert sorted(tmp_path.rglob("*.TextGrid")) == sorted(tmp_path / each for each in written)


def test_units_with_and_without_runs(capsys):
    arguments = manifest("one", "two")
    expected = text_codes(arguments, capsys)
    whole, _ = run(encode, [*arguments, "--format", "units"], capsys)
    lines = [f"{id}|{' '.join(map(str, own))}" for id, own in expected.items()]
    assert whole.splitlines() == lines
    to_file = ["--format", "units", "--merge-runs", "--out", "u.txt"]
    run(encode, [*arguments, *to_file], capsys)
    merged = [f"{id}|{' '.join(k for k, _ in groupby(map(str, c)))}" for id, c in expected.items()]
    assert Path("u.txt").read_text().splitlines() == merged
    assert merged != lines


def test_an_id_with_a_bar_is_no_id_of_units(capsys):
    out, errors = run(encode, [*manifest("a|b", "two"), "--format", "units"], capsys, code=2)
    assert out.startswith("two|") and out.count("\n") == 1
    assert len(errors) == 1 and "'a|b': must not hold '|'" in errors[0]


def test_codes_for_numpy(capsys):
    arguments = manifest("one", "über/alles")
    run(encode, [*arguments, "--format", "npz", "--out", "c.npz"], capsys)
    expected = text_codes(arguments, capsys)
    with np.load("c.npz", allow_pickle=False) as found:
        assert found["ids"].tolist() == ["one", "über/alles"]
        parts = np.split(found["codes"], np.cumsum(found["lengths"])[:-1])
        meta = json.loads(str(found["meta"]))
    for part, own in zip(parts, expected.values(), strict=True):
        np.testing.assert_array_equal(part, own)
    assert (meta["codebook_size"], meta["hop_length"], meta["sample_rate"]) == (8, 16, 8000)


def test_options_that_do_not_go_together(capsys):
    source = ["--src", "a.wav", "--format"]
    record("a.wav")
    encode_refused(capsys, [*source, "npz"], "not for stdout; pass --out FILE")
    encode_refused(capsys, [*source, "textgrid"], "not for stdout; pass --out DIR")
    encode_refused(capsys, [*source, "codes", "--merge-runs"], "--merge-runs is for")
    encode_refused(capsys, [*source, "units", "--json"], "--json is not for --format units")
    encode_refused(capsys, [*source, "npz", "--out", "a.wav"], "overwrite this source")
    encode_refused(capsys, [*source, "textgrid", "--out", "a.wav"], "a.wav: a file, where")
    arguments = [*manifest("x/a", "x-a"), "--format", "textgrid", "--out", "g"]
    encode_refused(capsys, arguments, "'x/a' and 'x-a' would both be written to g/x-a.TextGrid")
