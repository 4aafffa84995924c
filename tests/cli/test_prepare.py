"""speechvq-prepare, from a directory tree to manifests."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from speechvq.cli.prepare import main
from speechvq.data.manifest import read_manifest
from speechvq.data.split import group_sentences


@pytest.fixture
def corpus(tmp_path):
    root = tmp_path / "mine"
    for speaker in ("ann", "bob"):
        (root / speaker).mkdir(parents=True)
        for n in range(12):
            path = root / speaker / f"{n:02d}.wav"
            pitch = 0.3 + n / 100 + (speaker == "bob") / 200
            soundfile.write(path, 0.3 * np.sin(np.arange(4800) * pitch), 16000)
            words = f"Shared {n}" if n < 4 else f"{speaker} says {n}"
            path.with_suffix(".txt").write_text(words)
    return root


def test_manifests_and_a_table(corpus, tmp_path, capsys):
    out = tmp_path / "out" / "data"
    assert main([str(corpus), "--out", str(out), "--valid", "0.1", "--test", "0.2"]) == 0
    parts = {name: read_manifest(out / f"{name}.jsonl") for name in ("train", "valid", "test")}
    assert sum(map(len, parts.values())) == 24
    sides = [set(group_sentences(part)) for part in parts.values()]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 20
    assert json.loads((out / "speakers.json").read_text()) == {"ann": {}, "bob": {}}
    assert sorted(path.name for path in out.iterdir()) == [
        "roots.txt",
        "speakers.json",
        "test.jsonl",
        "train.jsonl",
        "valid.jsonl",
    ]
    table = capsys.readouterr().out.splitlines()
    assert " ".join(table[0].split()) == (
        "split utterances sentences speakers minutes with text with phones"
    )
    assert table[4].split() == ["all", "24", "20", "2", "0.12", "24", "0"]
    assert table[5] == f"folder corpus; manifests in {out}"


@pytest.mark.parametrize("beside", [True, False])
def test_the_tier_of_phones_has_a_name(corpus, tmp_path, capsys, beside):
    folder = corpus / "ann" if beside else tmp_path / "labels"
    folder.mkdir(exist_ok=True)
    tiers = '"IntervalTier" "Segmente" 0 0.3 1 0 0.3 "a" "IntervalTier" "Other" 0 0.3 1 0 0.3 "b"'
    text = f'"ooTextFile" "TextGrid" 0 0.3 <exists> 2 {tiers}'
    (folder / "05.TextGrid").write_text(text)
    if not beside:
        (folder / "05.TextGrid").rename(folder / "ann05.TextGrid")
        (corpus / "ann" / "05.wav").rename(corpus / "ann" / "ann05.wav")

    def phones(*options):
        out = tmp_path / "out"
        arguments = [str(corpus), "--out", str(out), *options]
        code = main(arguments if beside else [*arguments, "--phones", str(folder)])
        parts = [read_manifest(out / f"{name}.jsonl") for name in ("train", "valid", "test")]
        return code, [p.label for part in parts for u in part for p in u.phones or ()]

    assert phones("--tier", "Segmente") == (0, ["a"])
    assert phones("--tier", "Other") == (0, ["b"])
    capsys.readouterr()
    if beside:
        code, found = phones("--tier", "segments")
        assert found == []
        err = capsys.readouterr().err
        assert "one tier named 'segments', found the tiers 'Segmente', 'Other'" in err


def test_json_alone_is_on_stdout(corpus, tmp_path, capsys, monkeypatch):
    (corpus / "ann" / "00.txt").unlink()
    monkeypatch.chdir(tmp_path)
    assert main([str(corpus), "--json", "--speakers", "ann", "--trim", "--seed", "3"]) == 0
    said = capsys.readouterr()
    summary = json.loads(said.out)
    assert summary["out"] == "exp/folder/data"
    assert [row["split"] for row in summary["splits"]] == ["train", "valid", "test", "all"]
    assert (summary["splits"][3]["utterances"], summary["splits"][3]["with_text"]) == (12, 11)
    assert said.err == (
        "speechvq-prepare: warning: 1 utterance of ann without text, kept (ann_00)\n"
        "speechvq-prepare: warning: no text is known of 1 of 12 utterances: whether two of these "
        "are the same sentence is told by the names of the files alone, and could not be checked\n"
    )
    assert (tmp_path / "exp/folder/data/train.jsonl").exists()


def test_what_cannot_be_used_is_named_and_the_rest_prepared(corpus, tmp_path, capsys):
    (corpus / "ann" / "00.wav").write_bytes(b"RIFF")
    (corpus / "bob" / "01.txt").unlink()
    (corpus / "bob" / "01.txt").symlink_to("nowhere")
    (corpus / "ann" / "01.wav").rename(corpus / "ann" / "new\nline.wav")
    assert main([str(corpus), "--out", str(tmp_path / "out"), "--test", "0.2"]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if ": error: " in line]
    assert len(errors) == 3
    for name in ("ann/00.wav: ", "bob/01.txt: No such file", "ann/new\\nline.wav"):
        assert any(name in line for line in errors)
    parts = [read_manifest(tmp_path / f"out/{name}.jsonl") for name in ("train", "valid", "test")]
    assert sum(map(len, parts)) == 22


def test_only_the_utterances_of_a_list(corpus, tmp_path, capsys):
    wanted = [f"{speaker}_{n:02d}" for speaker in ("ann", "bob") for n in range(5, 9)]
    (tmp_path / "list.txt").write_text("# some of them\n\n" + "\n".join([*wanted, "ann_99"]))
    options = ["--only", str(tmp_path / "list.txt"), "--valid", "0", "--test", "0"]
    assert main([str(corpus), *options, "--out", str(tmp_path / "out")]) == 2
    assert [u.id for u in read_manifest(tmp_path / "out/train.jsonl")] == wanted
    assert "left out (ann_99)" in capsys.readouterr().err
    (tmp_path / "list.txt").write_text("# none\n")
    assert main([str(corpus), *options, "--out", str(tmp_path / "out")]) == 2
    assert "list.txt: no utterance in it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["{tmp}/gone"], "/gone: no such folder"),
        (["{tmp}", "--corpus", "vctk"], "not vctk"),
        (["{root}", "--corpus", "vctk"], "not vctk; expected wav48"),
        (["{root}", "--corpus", "tedlium"], "argument --corpus: invalid choice"),
        (["{root}", "--speakers", "anne"], "did you mean ann?"),
        (["{root}", "--valid", "0.5", "--test", "0.5"], "leave nothing to train on"),
        (["{root}", "--valid", "x"], "argument --valid: invalid float"),
        (["{root}", "--phones", "{tmp}/gone"], "/gone: no such folder of label files"),
        (["{root}", "--out", "{root}/ann/00.wav"], "00.wav: a file, where the folder"),
        (["{root}", "--out", "{root}/ann/00.wav/x"], "part of its folder's path is a file"),
        (["{root}", "--mic", "3"], "argument --mic: invalid choice"),
        ([], "the following arguments are required: ROOT"),
    ],
)
def test_every_mistake_is_one_line_and_code_2(corpus, tmp_path, capsys, arguments, reason):
    filled = [a.format(tmp=tmp_path, root=corpus) for a in arguments]
    if "--out" not in filled:
        filled += ["--out", str(tmp_path / "out")]
    try:
        code = main(filled)
    except SystemExit as exit:
        code = exit.code
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("speechvq-prepare: error: ")
    assert reason in line
    assert not (tmp_path / "out").exists()


def test_help_is_quick_and_needs_no_heavy_imports():
    code = (
        "import sys\n"
        "from speechvq.cli.prepare import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'librosa', 'scipy', 'soxr', 'praatio', 'tqdm'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    begin = time.monotonic()
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "usage: speechvq-prepare" in process.stdout
    assert time.monotonic() - begin < 5  # a second on a quiet machine


def test_a_speaker_whom_a_manifest_would_refuse(corpus, tmp_path, capsys):
    (corpus / "bob").rename(corpus / "bob\N{NO-BREAK SPACE}b")
    out = tmp_path / "data"
    main([str(corpus), "--out", str(out), "--valid", "0.2", "--test", "0"])
    assert {u.speaker for u in read_manifest(out / "train.jsonl")} == {"ann"}
    assert "with a name that cannot be used, skipped" in capsys.readouterr().err
