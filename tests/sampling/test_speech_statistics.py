"""Codes and levels are those of the speech, whatever surrounds it in the recording."""

import dataclasses

import numpy as np
import pytest
import torch

from speechvq import sampling
from speechvq.config import ConditionerMelPredictorConfig
from speechvq.model import Model

RATE = 8000
LEVEL = -26.0


def speech(rms, T=4 * RATE):
    x = np.diff(np.random.default_rng(0).standard_normal(T + 1))  # nothing below the voice
    return (rms * x / x.std()).astype(np.float32)


def pause(seconds, rms=1e-5):
    return (rms * np.random.default_rng(1).standard_normal(round(seconds * RATE))).astype("f4")


@pytest.fixture(scope="module")
def model(tiny_config):
    """A raw-audio model, whose codes depend on the level."""
    torch.manual_seed(0)
    config = dataclasses.replace(tiny_config, mel_predictor=ConditionerMelPredictorConfig())
    model = Model(config, ["a", "b"]).eval()
    with torch.no_grad():
        loud = speech(10 ** (LEVEL / 20), 8 * model.hop_length)
        model.vqvae.quantizer.codebook.copy_(model.latents(torch.from_numpy(loud)[None])[0])
    model.level.fill_(LEVEL)
    return model


@pytest.mark.parametrize("before", [70, 3])
@pytest.mark.parametrize("once", [False, True])
def test_codes_after_a_pause_are_those_without_it(model, before, once):
    x = speech(0.02)
    expected = sampling.encode(model, x)
    whole = np.array_split(np.concatenate([pause(before), x]), 7)
    source = sampling.encode_source(model, iter(whole) if once else whole)
    assert source.samples == (before + 4) * RATE
    assert (source.codes[-len(expected) + 2 :] == expected[2:]).mean() > 0.98
    plain = sampling.encode_source(model, [x])
    assert 20 * np.log10(source.gain / plain.gain) == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("click", [0.9, -0.5])
def test_a_click_does_not_change_the_level(model, click):
    x = speech(0.005)
    plain = sampling.encode_source(model, [x])
    x[1000] = click
    clicked = sampling.encode_source(model, [x])
    assert 20 * np.log10(clicked.gain / plain.gain) == pytest.approx(0, abs=0.3)
    assert (clicked.codes == plain.codes).mean() > 0.97


@pytest.mark.parametrize("hertz", [0, 25, 50, 60])
def test_what_lies_below_the_voice_does_not_change_codes(model, hertz):
    x = speech(0.02)
    plain = sampling.encode_source(model, [x])
    hum = 0.05 * np.cos(2 * np.pi * hertz * np.arange(len(x)) / RATE).astype(np.float32)
    found = sampling.encode_source(model, [x + hum])
    assert 20 * np.log10(found.gain / plain.gain) == pytest.approx(0, abs=0.3)
    # The filter has a phase, which matters to an encoder of raw audio, most at low frequencies
    filtered = sampling.encode_source(model, [x + np.float32(0.05)])
    assert (found.codes[50:] == filtered.codes[50:]).mean() > 0.95


def test_a_long_recording_is_read_again_and_not_held(model):
    class Recording:
        passes = 0

        def __iter__(self):
            self.passes += 1
            for second in range(130):
                yield pause(1) if second < 100 else speech(0.01, RATE)

    recording = Recording()
    source = sampling.encode_source(model, recording)
    assert source.samples == 130 * RATE
    assert recording.passes > 1
    alone = sampling.encode_source(model, [speech(0.01, RATE)])
    assert source.gain == pytest.approx(alone.gain, rel=0.03)


def test_what_comes_but_once_waits_for_speech(model):
    given = 0

    def live():
        nonlocal given
        while True:
            given += 1
            yield pause(1) if given <= 100 else speech(0.01, RATE)

    codes = sampling.encode_blocks(model, live())
    next(codes)
    assert 160 <= given <= 260
