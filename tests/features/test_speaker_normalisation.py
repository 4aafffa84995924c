"""Speaker transforms of a corpus: VTLN warp factors, CMVN, and what silence does."""

import numpy as np
import pytest
import torch
from voices import RATE, speech

from speechvq.config import SpeakerNormalisationConfig
from speechvq.data.manifest import Utterance
from speechvq.data.segments import Waveforms
from speechvq.features.mfcc import MFCC, SpeakerTransforms
from speechvq.features.speaker_normalisation import fit_speaker_transforms


def corpus(stretches: dict[str, float], count: int = 4, seconds: float = 5.0) -> Waveforms:
    rng = np.random.default_rng(1)
    utterances, waveforms = [], []
    for i in range(count):
        for name, stretch in stretches.items():
            utterances.append(Utterance(f"{name}_{i}", name, "unread.wav", seconds))
            waveforms.append(speech(rng, stretch, seconds))
    return Waveforms(utterances, RATE, waveforms=waveforms)


def fitted(waveforms: Waveforms, names: list[str], **settings):
    """Transforms of the speakers, their MFCC, and the normalised cepstra of each."""
    mfcc, transforms = MFCC(RATE, RATE // 100, 24, 12), SpeakerTransforms(12, len(names))
    config = SpeakerNormalisationConfig(**settings)
    normalised = fit_speaker_transforms(transforms, mfcc, waveforms, names, config, seed=0)
    return transforms, mfcc, normalised


def test_warp_factors_have_the_ratios_of_the_resonances():
    stretches = {"low": 0.9, "middle": 1.0, "high": 1.2}
    found, _, _ = fitted(corpus(stretches), list(stretches))
    low, middle, high = found.warp.tolist()
    assert high / low == pytest.approx(1.2 / 0.9, rel=0.06)
    assert middle / low == pytest.approx(1 / 0.9, rel=0.06)
    assert low * middle * high == pytest.approx(1, abs=0.15)  # as many up as down


def test_cepstra_of_each_speaker_are_standard():
    stretches = {"low": 0.9, "high": 1.2}
    waveforms = corpus(stretches)
    transforms, mfcc, normalised = fitted(waveforms, list(stretches))
    for speaker, name in enumerate(stretches):
        own = [i for i, u in enumerate(waveforms.utterances) if u.speaker == name]
        batch = torch.stack([torch.from_numpy(waveforms.crop(i, 0, 40000)) for i in own])
        transform = transforms(torch.full((len(own),), speaker))
        frames = mfcc(batch, transform).flatten(0, 1)
        torch.testing.assert_close(frames.mean(0), torch.zeros(12), atol=0.02, rtol=0)
        torch.testing.assert_close(frames.std(0), torch.ones(12), atol=0.02, rtol=0)
        torch.testing.assert_close(normalised[speaker], frames, atol=0.02, rtol=0)


def test_a_single_speaker_is_not_warped():
    found, _, _ = fitted(corpus({"low": 0.9}), ["low"])
    assert found.warp.item() == 1
    assert torch.equal(found.matrix[0], found.matrix[0].diagonal().diag())


def with_silence(waveforms: Waveforms, silent: str) -> Waveforms:
    spoken = [
        0 * waveforms.crop(i, 0, 40000) if u.speaker == silent else waveforms.crop(i, 0, 40000)
        for i, u in enumerate(waveforms.utterances)
    ]
    return Waveforms(waveforms.utterances, RATE, waveforms=spoken)


def test_a_silent_speaker_spoils_nothing():
    silenced = with_silence(corpus({"low": 0.9, "high": 1.2}), "low")
    found, _, _ = fitted(silenced, ["low", "high"])
    assert found.matrix[0].isfinite().all()
    assert torch.equal(found.matrix[1], found.matrix[1].diagonal().diag())  # as if alone


def test_the_level_is_that_of_each_speaker():
    waveforms = corpus({"a": 1.0, "b": 1.0}, count=2)
    spoken = [waveforms.crop(i, 0, 40000) for i in range(len(waveforms))]
    quiet = [
        0.1 * x if u.speaker == "b" else x
        for u, x in zip(waveforms.utterances, spoken, strict=True)
    ]
    even, _, _ = fitted(waveforms, ["a", "b"])
    uneven, _, _ = fitted(Waveforms(waveforms.utterances, RATE, waveforms=quiet), ["a", "b"])
    difference = even.level - uneven.level
    assert difference[0] == pytest.approx(0, abs=1e-3)
    assert difference[1] == pytest.approx(np.log(100), abs=0.05)  # nats of power


def test_the_same_seed_gives_the_same_transforms():
    waveforms = corpus({"a": 0.9, "b": 1.2}, count=2)
    one, other = (fitted(waveforms, ["a", "b"], inca_threshold=0)[0] for _ in range(2))
    for x, y in zip(one.buffers(), other.buffers(), strict=True):
        assert torch.equal(x, y)
    assert not torch.equal(one.matrix[0], one.matrix[0].diagonal().diag()), "INCA has been fitted"
