"""Every question of speechvq-analyze beside a damaged recording, and of a single utterance."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from speechvq import audio, model_folder
from speechvq.cli import analyze
from speechvq.data.manifest import CorpusError, Phone, read_manifest, write_manifest
from speechvq.evaluation.prior import read_codes_of_speech
from speechvq.evaluation.trials import choose_trials
from speechvq.model import Model

QUESTIONS = {
    "abx": ["--score-on", "test.jsonl", "--context", "any"],
    "codebook": ["--manifest", "test.jsonl"],
    "phonemes": ["--score-on", "test.jsonl", "--map-on", "train.jsonl", "--no-baselines"],
    "reconstruction": ["--manifest", "test.jsonl"],
    "speakers": ["--manifest", "test.jsonl"],
}
PHONES = tuple(Phone(0.1 * i, 0.1 * (i + 1), label) for i, label in enumerate(("s", "aa") * 2))


@pytest.fixture
def model(tiny_config, tiny_corpus, tmp_path, monkeypatch):
    """A saved model; train.jsonl and test.jsonl have phones, three recordings of each speaker."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)
    monkeypatch.setattr("speechvq.evaluation.reconstruction.JUDGES", {})
    model = Model(tiny_config, ["p225", "p226"]).eval()
    model_folder.save_model("exp/vqvae", model, {"data": {}}, "card")
    random = np.random.default_rng(0)
    for split in ("train", "test"):
        utterances = []
        for u in read_manifest(getattr(tiny_corpus, split)):
            waveform = audio.read(u.path, 8000)[0][: 8000 // 2]
            for i in range(3):
                path = tmp_path / f"{split}-{u.id}-{i}.wav"
                audio.write(path, waveform + random.normal(0, 0.01, len(waveform)), 8000)
                copy = replace(u, id=path.stem, path=str(path), duration=0.5, phones=PHONES)
                utterances.append(copy)
        write_manifest(f"{split}.jsonl", utterances)
    return model


def damage(utterance):
    """Write a file that can be opened, but not be decoded."""
    broken = np.zeros(4000, np.float32)
    broken[3000] = np.nan
    soundfile.write(utterance.path, broken, 8000, subtype="FLOAT")


def strict(text):
    """JSON without Python's own NaN and Infinity."""

    def refused(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refused)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_damaged_recording_is_named_and_left_out(model, question, tmp_path, capsys):
    utterances = list(read_manifest("test.jsonl"))
    damage(utterances[1])
    command = [question, *QUESTIONS[question], "--model", "exp/vqvae", "--json", "--out"]
    assert analyze.main([*command, "beside"]) == 2  # though everything is written
    found, said = capsys.readouterr()
    (line,) = [line for line in said.splitlines() if "left out" in line]
    assert utterances[1].path in line
    # The scores are those of a manifest without it
    write_manifest("test.jsonl", [u for u in utterances if u != utterances[1]])
    assert analyze.main([*command, "without"]) == 0
    assert strict(found) == strict(capsys.readouterr().out)


@pytest.mark.parametrize("question", ["codebook", "phonemes", "reconstruction"])
def test_of_one_utterance_there_is_no_interval(model, question, capsys):
    write_manifest("test.jsonl", read_manifest("test.jsonl")[:1])
    command = [question, *QUESTIONS[question], "--model", "exp/vqvae", "--json", "--out", "one"]
    assert analyze.main(command) == 0
    found = capsys.readouterr().out
    assert "null" in found
    with open("one/scores.json") as file:
        assert strict(found) == strict(file.read())


@pytest.mark.parametrize("question", QUESTIONS)
def test_all_are_damaged(model, question, capsys):
    for utterance in read_manifest("test.jsonl"):
        damage(utterance)
    command = [question, *QUESTIONS[question], "--model", "exp/vqvae", "--out", "none"]
    assert analyze.main(command) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("speechvq-analyze") and "NaN" in last


def test_codes_of_speech_are_those_of_the_others(model):
    utterances = list(read_manifest("test.jsonl"))
    damage(utterances[0])
    found = read_codes_of_speech(model, "test.jsonl")
    assert list(found.utterances) == utterances[1:]
    assert len(found.codes) == len(utterances) - 1


def test_trials_of_others(model):
    utterances = list(read_manifest("test.jsonl"))
    damage(utterances[1])
    trials = choose_trials("test.jsonl", model, None, None, 0)
    used = [trial.utterance for trial in trials.trials]
    assert sorted(u.id for u in used) == sorted(u.id for u in utterances if u != utterances[1])
    assert utterances[1] not in trials.pools[utterances[1].speaker]


def test_a_target_of_whom_nothing_can_be_decoded(model):
    for utterance in read_manifest("test.jsonl"):
        if utterance.speaker == "p226":
            damage(utterance)
    with pytest.raises(CorpusError, match="p226"):
        choose_trials("test.jsonl", model, None, None, 0)
