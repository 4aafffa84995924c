import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from speechvq.config import SpectralPhaseConfig
from speechvq.data.manifest import read_manifest
from speechvq.data.segments import Waveforms
from speechvq.models.spectral import SpectralObjective
from speechvq.models.vqvae import VQVAE
from speechvq.sampling.encode import encode
from speechvq.training import validation
from speechvq.training.processes import Processes
from speechvq.training.validation import Validator

CPU = Processes(torch.device("cpu"))


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(1)
    model = VQVAE(tiny_config, ["p225", "p226"]).eval()
    model.quantizer.codebook.mul_(0.1)
    return model


@pytest.fixture
def waveforms(tiny_corpus):
    return Waveforms(read_manifest(tiny_corpus.train), 8000)


def test_likelihood_is_that_of_the_utterances(model, waveforms):
    nats, samples, codes = 0.0, 0, []
    for i, length in enumerate(waveforms.lengths):
        waveform = torch.from_numpy(waveforms.crop(i, 0, length))[None]
        speaker = torch.tensor([model.speaker_index(waveforms.utterances[i].speaker)])
        with torch.no_grad():
            output = model(waveform, speaker)
        nats += output.nll.item() * length
        samples += length
        codes += output.codes.flatten().tolist()
    result = Validator(model, waveforms, CPU, bfloat16=False).likelihood()
    bits = nats / samples / math.log(2)
    assert result.score == pytest.approx(bits, rel=1e-5)
    assert result.metrics["dead_codes"] == 8 - len(set(codes))
    assert result.metrics["total_bits_per_second"] == pytest.approx(bits * 8000 + 1500, rel=1e-5)


def test_pieces_bound_the_length(model, waveforms, monkeypatch):
    monkeypatch.setattr(validation, "LONGEST", 0.1)
    lengths = []
    encode = model.encode
    model.encode = lambda waveform, voice: (lengths.append(waveform.shape[-1]), encode(waveform))[1]
    Validator(model, waveforms, CPU, bfloat16=False).likelihood()
    assert max(lengths) == 800
    assert sum(lengths) == waveforms.lengths.sum()


def test_a_voice_is_found_in_the_whole_utterance(tiny_config, waveforms, monkeypatch):
    """Not anew in each piece, of which the last may be too short for it."""
    torch.manual_seed(1)
    config = replace(tiny_config, encoder_input="cepstra", strides=(80,))
    model = VQVAE(config, ["p225", "p226"]).eval()
    model.quantizer.codebook.copy_(model.encoder.frames(torch.randn(1, 640))[0][:8])
    codes = encode(model, waveforms.crop(0, 0, waveforms.lengths[0]))
    monkeypatch.setattr(validation, "LONGEST", 0.25)
    found, latents = [], model.latents
    model.latents = lambda x, voice: (found.append(voice), latents(x, voice))[1]
    result = Validator(model, waveforms, CPU, bfloat16=False).likelihood()
    of_first = [voice for voice in found if voice is found[0]]
    assert 1 < len(of_first) < len(found)
    with torch.no_grad():
        whole = model.encode(torch.from_numpy(waveforms.crop(0, 0, 2000))[None], found[0])[0]
    assert np.array_equal(whole.numpy(), codes[: len(whole)])
    assert math.isfinite(result.score)


def test_processes_share_the_utterances(model, waveforms):
    speakers = []
    for rank in range(2):
        processes = Processes(torch.device("cpu"), rank, 2)
        pieces = Validator(model, waveforms, processes, bfloat16=False)._pieces()
        speakers += [int(speaker) for _, speaker, _, _ in pieces]
    assert sorted(speakers) == [0, 0, 0, 1, 1, 1]


def test_spectral_before_and_after_the_quantizer_starts(model, waveforms):
    objective = SpectralObjective(model, SpectralPhaseConfig()).eval()
    validator = Validator(model, waveforms, CPU, bfloat16=False)
    before = validator.spectral(objective, quantize=False)
    after = validator.spectral(objective, quantize=True)
    assert before.score is None
    assert before.metrics.keys() == {"latent_loss"}
    assert after.metrics.keys() == {"spectral_loss", "bitrate", "perplexity", "dead_codes"}
    assert after.score == after.metrics["spectral_loss"] != before.metrics["latent_loss"]
    assert 1 <= after.metrics["perplexity"] <= 8


@pytest.mark.parametrize("quantize", [False, True])
def test_spectral_loss_is_that_of_the_utterances(model, waveforms, quantize):
    objective = SpectralObjective(model, SpectralPhaseConfig()).eval()
    total = 0.0
    for i, length in enumerate(waveforms.lengths):
        waveform = torch.from_numpy(waveforms.crop(i, 0, length))[None]
        waveform = torch.nn.functional.pad(waveform, (0, -length % 16))
        speaker = torch.tensor([model.speaker_index(waveforms.utterances[i].speaker)])
        with torch.no_grad():
            total += objective(waveform, speaker, quantize).loss.item() * length
    metrics = Validator(model, waveforms, CPU, bfloat16=False).spectral(objective, quantize).metrics
    got = metrics["spectral_loss" if quantize else "latent_loss"]
    assert got == pytest.approx(total / sum(waveforms.lengths), rel=1e-5)


def test_a_user_can_break_it_off(model, waveforms):
    objective = SpectralObjective(model, SpectralPhaseConfig()).eval()
    validator = Validator(model, waveforms, CPU, bfloat16=False)
    assert validator.likelihood(lambda: True) is None
    assert validator.spectral(objective, True, lambda: True) is None
