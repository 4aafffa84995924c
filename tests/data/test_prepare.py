"""Preparing a corpus from Python, with a reader from outside the package."""

import json

import numpy as np
import soundfile

from speechvq.data.corpora import CorpusReader, Recording
from speechvq.data.manifest import read_manifest
from speechvq.data.prepare import SplitSummary, prepare


class Flat(CorpusReader):
    """Files SPEAKER-NUMBER.wav in one folder."""

    kind = "flat"
    layout = "SPEAKER-NUMBER.wav"

    def recordings(self, root, faults):
        return [
            Recording(path.stem, path.stem.partition("-")[0], path, text=path.stem)
            for path in sorted(root.glob("*.wav"))
        ]

    def speakers(self, root):
        return {"ann": {"age": "23"}}


def test_a_corpus_of_another_kind(tmp_path, monkeypatch):
    root = tmp_path / "mine"
    root.mkdir()
    for speaker in ("ann", "bob"):
        for n in range(10):
            pitch = 0.3 + n / 100 + (speaker == "bob") / 200
            waveform = 0.3 * np.sin(np.arange(4800) * pitch)
            soundfile.write(root / f"{speaker}-{n}.wav", waveform, 16000)
    monkeypatch.chdir(tmp_path)
    prepared = prepare(root, Flat(), valid=0.1, test=0.2)
    assert (prepared.kind, str(prepared.out)) == ("flat", "exp/flat/data")
    assert [s.split for s in prepared.splits] == ["train", "valid", "test", "all"]
    assert prepared.splits[-1] == SplitSummary("all", 20, 20, 2, 0.1, 20, 0)
    assert (prepared.out / "roots.txt").read_text() == f"{root}\n"
    for summary in prepared.splits[:-1]:
        assert len(read_manifest(prepared.out / f"{summary.split}.jsonl")) == summary.utterances
    facts = json.loads((prepared.out / "speakers.json").read_text())
    assert facts == {"ann": {"age": "23"}, "bob": {}}
