"""CodesDataset: its codes are those of `encode`, whatever it wraps, in workers too."""

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import speechvq
from speechvq import audio
from speechvq.data.manifest import Utterance, read_manifest, write_manifest
from speechvq.data.roots import Roots
from speechvq.model import Model

RATE = 8000


@pytest.fixture(scope="module")
def model(tiny_config):
    torch.manual_seed(0)
    model = Model(tiny_config, ["p225", "p226"]).eval()
    with torch.no_grad():  # codes among the latents, so that several are in use
        latents = model.latents(0.1 * torch.randn(1, 8 * model.hop_length))[0]
        model.vqvae.quantizer.codebook.copy_(latents)
    return model


class OfTensors(Dataset):
    """As torchaudio's: (waveform (channels, T), sample_rate, transcript, speaker)."""

    def __init__(self, waveforms, rate=RATE):
        self.waveforms, self.rate = waveforms, rate

    def __len__(self):
        return len(self.waveforms)

    def __getitem__(self, index):
        return self.waveforms[index], self.rate, "a text", index


def waveforms(*lengths):
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(1, length, generator=generator) for length in lengths]


def test_a_manifest(model, tiny_corpus):
    dataset = speechvq.CodesDataset(model, tiny_corpus.train)
    listed = read_manifest(tiny_corpus.train)
    assert len(dataset) == len(listed)
    for (codes, waveform, rest), utterance in zip(dataset, listed, strict=True):
        expected, _ = audio.read(utterance.path, RATE)
        np.testing.assert_array_equal(waveform, expected)
        np.testing.assert_array_equal(codes, speechvq.encode(model, expected))
        assert rest == (utterance,)
        assert (codes.dtype, waveform.dtype) == (torch.int64, torch.float32)
    assert len(set(codes.tolist())) > 2


def test_a_dataset_of_tuples(model):
    given = waveforms(1000, 777)
    dataset = speechvq.CodesDataset(model, OfTensors(given))
    for index, waveform in enumerate(given):
        codes, own, rest = dataset[index]
        assert torch.equal(own, waveform[0])
        np.testing.assert_array_equal(codes, speechvq.encode(model, waveform[0].numpy()))
        assert len(codes) == -(-len(own) // 16)
        assert rest == ("a text", index)


def test_channels_and_sample_rate_are_those_of_the_model(model, tmp_path):
    """As the same file is read: two channels at another rate."""
    rng = np.random.default_rng(0)
    stereo = rng.uniform(-0.3, 0.3, (11025, 2)).astype(np.float32)
    import soundfile

    soundfile.write(tmp_path / "a.wav", stereo, 11025, subtype="FLOAT")
    write_manifest(tmp_path / "a.jsonl", [Utterance("a", "p225", str(tmp_path / "a.wav"), 1.0)])
    of_file = speechvq.CodesDataset(model, tmp_path / "a.jsonl")[0]
    of_tensor = speechvq.CodesDataset(model, OfTensors([torch.from_numpy(stereo.T)], 11025))[0]
    torch.testing.assert_close(of_tensor.waveform, of_file.waveform, rtol=0, atol=1e-6)
    assert len(of_tensor.waveform) == RATE
    assert torch.equal(of_tensor.codes, of_file.codes)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches(model, workers):
    given = waveforms(1000, 777, 320)
    dataset = speechvq.CodesDataset(model, OfTensors(given))
    loader = DataLoader(dataset, 2, num_workers=workers, collate_fn=dataset.collate)
    first, second = loader
    assert first.codes.shape == (2, 63) and first.waveforms.shape == (2, 1000)
    assert first.code_lengths.tolist() == [63, 49] and first.lengths.tolist() == [1000, 777]
    assert first.rest == [("a text", 0), ("a text", 1)]
    for index, batch, row in ((0, first, 0), (1, first, 1), (2, second, 0)):
        codes, waveform, _ = dataset[index]
        assert torch.equal(batch.codes[row, : len(codes)], codes)
        assert torch.equal(batch.waveforms[row, : len(waveform)], waveform)
    assert not first.codes[1, 49:].any() and not first.waveforms[1, 777:].any()


def test_it_can_be_sent_to_a_worker_that_is_not_forked(model, tiny_corpus):
    dataset = speechvq.CodesDataset(model, tiny_corpus.train)
    again = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(again[1].codes, dataset[1].codes)


def test_product_codes_of_a_streaming_model(tiny_streaming_config):
    torch.manual_seed(0)
    model = Model(tiny_streaming_config, ["p225"]).eval()
    dataset = speechvq.CodesDataset(model, OfTensors(waveforms(1000, 777)))
    assert dataset[0].codes.shape == (13, 2)
    assert dataset.collate([dataset[0], dataset[1]]).codes.shape == (2, 13, 2)


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (torch.zeros(3, 2, 5), "got the shape (3, 2, 5)"),
        (torch.zeros(1, 0), "got the shape (1, 0)"),
        (torch.zeros(1, 5, dtype=torch.int16), "got int16"),
        (torch.full((1, 50), torch.nan), "NaN"),
    ],
)
def test_a_wrong_recording(model, item, fault):
    with pytest.raises(ValueError, match=re.escape(fault)):
        speechvq.CodesDataset(model, OfTensors([item]))[0]
    with pytest.raises(ValueError, match=r"recording 0: expected a tuple"):
        speechvq.CodesDataset(model, [1])[0]


def test_the_example_of_the_documents(tiny_corpus, monkeypatch, tmp_path, capsys):
    text = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n([^`]*CodesDataset[^`]*)```", text, re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exp/vctk/data").mkdir(parents=True)
    manifest = Path(tiny_corpus.train).read_text(encoding="utf-8")
    (tmp_path / "exp/vctk/data/train.jsonl").write_text(manifest, encoding="utf-8")
    Roots(tmp_path / "exp/vctk/data").allow([Path(tiny_corpus.train).parent])
    exec(compile(example, "docs/python.md", "exec"), {})
    assert capsys.readouterr().out.startswith("torch.Size([6, ")
