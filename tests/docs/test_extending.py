"""The examples of docs/extending.md run as a user runs them, and the page shows them."""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from speechvq import audio

pytest.importorskip("torch")

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"


def run(name: str, *arguments: object, code: str | None = None) -> str:
    """Run an example in a process of its own and return what it prints."""
    program = [str(EXAMPLES / f"{name}.py")] if code is None else ["-c", code]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(EXAMPLES)]),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tiny_corpus, tmp_path_factory):
    """Model folder and output of an example that trains, by the name of the example."""

    @functools.cache
    def run_once(name: str) -> tuple[Path, str]:
        out = tmp_path_factory.mktemp(name) / "model"
        return out, run(name, tiny_corpus.train, tiny_corpus.valid, out)

    return run_once


@pytest.mark.parametrize(
    "name, hop_length, drawn", [("encoder", 80, 800), ("objective", 80, 800), ("decoder", 80, None)]
)
def test_a_part_from_outside_trains_encodes_and_samples(trained, name, hop_length, drawn):
    folder, printed = trained(name)
    words = printed.split()
    samples, codes, sampled = int(words[0]), int(words[2]), int(words[4])
    assert codes == -(-samples // hop_length)
    assert sampled == (drawn or codes * hop_length)
    assert (folder / "model.safetensors").is_file()


def test_a_model_folder_wants_the_module_of_its_parts(trained, tiny_corpus, tmp_path):
    from speechvq.model_folder import load_model

    out, _ = trained("encoder")
    with pytest.raises(ValueError, match="model.encoder.kind: no such kind: 'dilated'") as refused:
        load_model(out)
    assert "import the module that defines this part" in str(refused.value)
    assert "\n" not in str(refused.value)
    source = tiny_corpus.test.replace("test.jsonl", "p225/p225_test0.wav")
    code = "import sys, encoder; from speechvq.cli.convert import main; sys.exit(main())"
    target = tmp_path / "converted.wav"
    run("", "--model", out, "--src", source, "--speaker", "p226", "--out", target, code=code)
    assert len(audio.read(target)[0]) == len(audio.read(source)[0])


def test_a_corpus_reader_from_outside_prepares(tmp_path):
    corpus = tmp_path / "corpus"
    rows = []
    for speaker in ("anna", "ben"):
        for i in range(10):
            pitch = 0.1 + 0.02 * len(rows)  # copies of one recording would be kept together
            waveform = 0.3 * np.sin(np.arange(4800) * pitch).astype(np.float32)
            audio.write(corpus / "audio" / f"{speaker}-{i}.wav", waveform, 16000)
            rows.append(f"{speaker}-{i}\tSentence {i} of {speaker}.\n")
    (corpus / "transcripts.tsv").write_text("".join(rows))
    lines = run("reader", corpus, tmp_path / "data").splitlines()
    assert lines[-1] == "all: 20 utterances, 20 with text"
    assert {path.name for path in (tmp_path / "data").glob("*.jsonl")} == {
        "train.jsonl", "valid.jsonl", "test.jsonl",
    }  # fmt: skip


def test_a_judge_from_outside_scores(tiny_config, tiny_corpus, tmp_path):
    import torch

    from speechvq.model import Model
    from speechvq.model_folder import save_model

    torch.manual_seed(0)
    save_model(tmp_path / "model", Model(tiny_config, ["p225", "p226"]), {}, "a model")
    table = run("judge", tmp_path / "model", tiny_corpus.train)
    assert "distance to target" in table and "conversion" in table


def test_the_page_shows_the_examples():
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    files = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    shown = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    of_files = [name for block in shown for name, text in files.items() if block in text]
    assert len(of_files) == len(shown), "a block of the page is not in any example"
    assert set(of_files) == set(files)


def test_a_decoder_without_conditioner_follows_mel_stages(tiny_corpus, tmp_path):
    program = """
import sys, decoder, speechvq
from speechvq.config import *
from speechvq.training.enroll import enroll
from speechvq.training.train import train

model = ModelConfig(8000, encoder=StridedEncoderConfig(strides=(10, 8), channels=16),
    quantizer=QuantizerConfig(codebook_size=8, codebook_dim=4),
    decoder=decoder.VocoderConfig(channels=8, layers=1),
    mel_predictor=ConditionerMelPredictorConfig(bands=8))
few = dict(steps=2, batch_size=2, segment_length=1600, warmup_steps=1)
stages = [MelStage(**few), DecoderStage(**few)]
data, training = DataConfig(*sys.argv[1:3]), TrainingConfig(workers=0, samples=1)
folder = train(model, data, stages, training, sys.argv[3])
print(len(speechvq.sample(speechvq.load(folder), speechvq.encode(speechvq.load(folder),
    speechvq.audio.read(sys.argv[4], 8000)[0]), "p226")))
try:
    enroll(folder, "new", [sys.argv[4]] * 12)
except ValueError as error:
    print(error)
"""
    source = tiny_corpus.train.replace("train.jsonl", "p225/p225_train2.wav")
    files = (tiny_corpus.train, tiny_corpus.valid, tmp_path / "model", source)
    drawn, refused = run("", *files, code=program).splitlines()
    samples = len(audio.read(source)[0])
    assert int(drawn) == -(-samples // 80) * 80
    assert refused.startswith("model.decoder.kind: vocoder has no conditioner")
