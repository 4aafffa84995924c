"""Speech of predicted log-mel frames, with phases by Griffin-Lim."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from speechvq import audio
from speechvq.config import ConditionerMelPredictorConfig
from speechvq.features.log_mel import LogMel
from speechvq.model import Model
from speechvq.sampling.griffin_lim import griffin_lim, griffin_lim_batch


@pytest.fixture(params=["tiny_config", "tiny_streaming_config"])
def model(request):
    torch.manual_seed(0)
    model = Model(request.getfixturevalue(request.param), ["p225", "p226"]).eval()
    with torch.no_grad():
        model.vqvae.quantizer.initialise(model.latents(0.1 * torch.randn(1, 8000))[0])
    return model


STANDIN = Path(__file__).parents[2] / "recipes/vctk/standin/wav48_silence_trimmed"


@pytest.fixture(scope="module")
def recording():
    waveform, _ = audio.read(STANDIN / "p226/p226_001_mic1.flac", 16000)
    return waveform[: 160 * 100]


def test_the_waveform_has_the_frames(recording):
    mel = LogMel(16000, 160, 80)
    frames = mel(torch.from_numpy(recording)[None])[0].numpy()
    made = griffin_lim(mel, frames)
    assert made.shape == recording.shape
    again = mel(torch.from_numpy(made)[None])[0].numpy()
    loud = frames > frames.max() - 8  # nats: 35 dB below the loudest
    assert np.abs(again - frames)[loud].mean() < 0.25
    # No other frames fit as well: a frame of delay is worse
    assert np.abs(again[1:] - frames[:-1])[loud[:-1]].mean() > 0.4


def test_a_batch_is_of_the_predicted_frames(model):
    shape = (20,) if model.codebooks == 1 else (20, model.codebooks)
    codes = np.random.default_rng(0).integers(0, model.codebook_size, shape)
    codes = [codes, codes[:3]]
    made = griffin_lim_batch(model, codes, ["p225", "p226"], seeds=[0, 1])
    assert [len(one) for one in made] == [len(one) * model.hop_length for one in codes]
    quantized = model.vqvae.quantizer.lookup(torch.from_numpy(codes[1])[None])
    with torch.no_grad():
        frames = model.mel_predictor(quantized, torch.tensor([1]))[0].numpy()
    expected = griffin_lim(model.mel_predictor.mel, frames, 1)
    np.testing.assert_array_equal(made[1], np.clip(expected[: len(made[1])], -1, 1))


@pytest.mark.parametrize(
    ("speakers", "seeds", "message"),
    [
        ("p225", None, "got the text 'p225'"),
        (["p225", "p999"], None, "unknown speaker 'p999'"),
        (["p225", "p226"], [1], "2 utterances, 2 speakers and 1 seeds"),
        (["p225", "p226"], None, "got none"),
    ],
)
def test_a_batch_is_checked_before_it_is_drawn(model, speakers, seeds, message):
    shape = () if model.codebooks == 1 else (model.codebooks,)
    codes = [
        np.zeros((3, *shape), np.int64),
        np.zeros((0 if "none" in message else 3, *shape), int),
    ]
    with pytest.raises(ValueError, match=message):
        griffin_lim_batch(model, codes, speakers, seeds=seeds)


def test_a_model_without_mel_predictor_is_refused(tiny_config):
    config = replace(tiny_config, mel_predictor=ConditionerMelPredictorConfig(bands=0))
    with pytest.raises(ValueError, match="no mel predictor"):
        griffin_lim_batch(Model(config, ["p225"]), [np.array([1])], ["p225"])
