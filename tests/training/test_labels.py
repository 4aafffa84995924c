"""Frame labels from a file of codes, and a training on them."""

import numpy as np
import pytest
import torch

from speechvq.codes import Codebook, write_codes
from speechvq.config import DecoderStage, LabelsStage, MelPredictorStage, TrainingConfig
from speechvq.data.manifest import read_manifest
from speechvq.data.segments import Waveforms
from speechvq.model_folder import load_model
from speechvq.training.checkpoint import LAST, _load
from speechvq.training.labels import read_labels
from speechvq.training.train import train

RATE, HOP, K = 8000, 80, 8
CODEBOOK = Codebook(K, HOP, RATE, "units")


@pytest.fixture
def waveforms(tiny_corpus):
    return Waveforms(read_manifest(tiny_corpus.train), RATE)


@pytest.fixture
def labels(tiny_corpus):
    """Random labels, 100 a second, of every utterance to learn from and to validate on."""
    rng = np.random.default_rng(0)
    utterances = [*read_manifest(tiny_corpus.train), *read_manifest(tiny_corpus.valid)]
    return {u.id: rng.integers(K, size=round(u.duration * RATE / HOP)) for u in utterances}


def test_labels_are_those_of_the_utterances(tmp_path, waveforms, labels):
    path = tmp_path / "labels.txt"
    write_codes(path, CODEBOOK, dict(reversed(labels.items())))
    found = read_labels(str(path), waveforms, K)
    for i, utterance in enumerate(waveforms.utterances):
        expected = labels[utterance.id]
        np.testing.assert_array_equal(found.of_codes(i, 0, len(expected), HOP), expected)
        np.testing.assert_array_equal(found.of_codes(i, 800, 5, HOP), expected[10:15])


def test_what_is_refused(tmp_path, waveforms, labels):
    path = tmp_path / "labels.txt"

    def refusal(error=ValueError, size=K) -> str:
        with pytest.raises(error) as caught:
            read_labels(str(path), waveforms, size)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
        return str(caught.value)

    assert "no such file of labels; make it with: python recipes/vctk/units.py" in refusal(
        FileNotFoundError
    )
    write_codes(path, CODEBOOK, labels)
    assert "8 different labels, and model.quantizer.codebook_size is 7" in refusal(size=7)
    first = waveforms.utterances[0].id
    write_codes(path, CODEBOOK, {id: x for id, x in labels.items() if id != first})
    assert f"no labels of {first}; make them for every utterance" in refusal()
    write_codes(path, CODEBOOK, labels | {first: labels[first][:-4]})
    assert f"labels for 0.36 s of {first}, which has 0.40 s; make them anew" in refusal()


def test_a_training_on_labels(tmp_path, tiny_config, tiny_corpus, labels):
    """The vectors of the labels are the codebook, which the later stages keep."""
    path = tmp_path / "labels.txt"
    write_codes(path, CODEBOOK, labels)
    few = {"steps": 2, "batch_size": 2, "segment_length": 512, "warmup_steps": 1}
    stages = [
        LabelsStage(labels=str(path), **few),
        MelPredictorStage(codebook="keep", **few),
        DecoderStage(**few),
    ]
    training = TrainingConfig(precision="float32", samples=0, tensorboard=False)
    folder = train(tiny_config, tiny_corpus, stages, training, tmp_path / "all")
    checkpoint = _load(folder / LAST)
    vectors = next(x for name, x in checkpoint.items() if name.endswith("labels.vectors.weight"))
    assert torch.equal(load_model(folder).vqvae.quantizer.codebook, vectors)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="no such file of labels"):
        train(tiny_config, tiny_corpus, stages, training, tmp_path / "gone")
    assert not (tmp_path / "gone").exists()
