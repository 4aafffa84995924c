"""What is found out about a corpus's speakers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from speechvq.models.cepstra import FrameCepstra, SpeakerCepstra
from speechvq.training.speakers import (
    _maps,
    _with_context,
    find_dialects,
    fit_speakers,
    some_of_each,
    speech_level,
)
from voices import RATE, speech

from speechvq.data.manifest import Utterance
from speechvq.data.segments import Waveforms


def corpus(stretches: dict[str, float], count: int = 4, seconds: float = 5.0) -> Waveforms:
    rng = np.random.default_rng(1)
    utterances, waveforms = [], []
    for i in range(count):
        for name, stretch in stretches.items():
            utterances.append(Utterance(f"{name}_{i}", name, "unread.wav", seconds))
            waveforms.append(speech(rng, stretch, seconds))
    return Waveforms(utterances, RATE, waveforms=waveforms)


def cepstra(speakers: int) -> SpeakerCepstra:
    return SpeakerCepstra(FrameCepstra(RATE, RATE // 100, 24, 12), speakers)


def test_warps_are_the_resonances_ratios():
    stretches = {"low": 0.9, "middle": 1.0, "high": 1.2}
    found = cepstra(3)
    fit_speakers(found, corpus(stretches), list(stretches), seed=0)
    low, middle, high = found.warp.tolist()
    assert high / low == pytest.approx(1.2 / 0.9, rel=0.06)
    assert middle / low == pytest.approx(1 / 0.9, rel=0.06)
    assert low * middle * high == pytest.approx(1, abs=0.15)  # as many up as down


def test_cepstra_of_each_speaker_are_standard():
    stretches = {"low": 0.9, "high": 1.2}
    waveforms = corpus(stretches)
    found = cepstra(2)
    alike = fit_speakers(found, waveforms, list(stretches), seed=0)
    for speaker, name in enumerate(stretches):
        its = [i for i, u in enumerate(waveforms.utterances) if u.speaker == name]
        batch = torch.stack([torch.from_numpy(waveforms.crop(i, 0, 40000)) for i in its])
        frames = found(batch, torch.full((len(its),), speaker)).flatten(0, 1)
        torch.testing.assert_close(frames.mean(0), torch.zeros(12), atol=0.02, rtol=0)
        torch.testing.assert_close(frames.std(0), torch.ones(12), atol=0.02, rtol=0)
        torch.testing.assert_close(alike[speaker], frames, atol=0.02, rtol=0)


def two_voices(distorted: float) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Frames of two voices that say the same sounds in other orders, one linearly distorted; and
    which sounds."""
    rng = np.random.default_rng(0)
    D, sounds = 6, 12
    centres = 2 * rng.standard_normal((sounds, D))
    distortion = np.eye(D) + distorted * rng.standard_normal((D, D))
    spoken, said = [], []
    for distort in (np.eye(D), distortion):
        labels = np.repeat(rng.integers(sounds, size=400), 8)  # each sound for eight frames
        frames = (centres[labels] + 0.5 * rng.standard_normal((len(labels), D))) @ distort
        frames = torch.from_numpy((frames - frames.mean(0)) / frames.std(0)).float()
        spoken.append(frames)
        said.append(torch.from_numpy(labels))
    return spoken, said


def test_maps_bring_the_same_sounds_together():
    spoken, said = two_voices(distorted=0.35)

    def apart(maps):
        means = [
            torch.stack([(x @ m)[labels == k].mean(0) for k in range(12)])
            for x, m, labels in zip(spoken, maps, said, strict=True)
        ]
        return (means[0] - means[1]).square().mean() / means[0].square().mean()

    maps = _maps(spoken, lengths=[10 * [320]] * 2, rate=100, seed=0)
    assert apart(maps) < 0.5 * apart([torch.eye(6)] * 2)
    for x, matrix in zip(spoken, maps, strict=True):
        spread = (x @ matrix).std(0)
        torch.testing.assert_close(spread, torch.ones(6), atol=0.02, rtol=0)


def test_voices_that_are_near_each_other_are_left_alone():
    spoken, _ = two_voices(distorted=0.02)
    for matrix in _maps(spoken, lengths=[10 * [320]] * 2, rate=100, seed=0):
        assert matrix.equal(torch.eye(6))


def test_context_is_of_the_utterance_and_a_fifth_of_a_second():
    frames = torch.arange(80.0)[:, None]
    found = _with_context(frames, [50, 30], rate=200)
    assert found[20].tolist() == [2, 8, 14, 20, 26, 32, 38]
    assert found[50].tolist() == [50, 50, 50, 50, 56, 62, 68]


def test_a_single_speaker_is_not_warped():
    found = cepstra(1)
    fit_speakers(found, corpus({"low": 0.9}), ["low"], seed=0)
    assert found.warp.item() == 1
    assert torch.equal(found.matrix[0], found.matrix[0].diagonal().diag())


def with_silence(waveforms: Waveforms, silent: str) -> Waveforms:
    spoken = [
        0 * waveforms.crop(i, 0, 40000) if u.speaker == silent else waveforms.crop(i, 0, 40000)
        for i, u in enumerate(waveforms.utterances)
    ]
    return Waveforms(waveforms.utterances, RATE, waveforms=spoken)


def test_a_silent_speaker_spoils_nothing():
    found = cepstra(2)
    speech = with_silence(corpus({"low": 0.9, "high": 1.2}), "low")
    fit_speakers(found, speech, ["low", "high"], seed=0)
    assert found.matrix[0].isfinite().all()
    assert torch.equal(found.matrix[1], found.matrix[1].diagonal().diag())  # as if alone


def test_some_of_each_speaker():
    waveforms = corpus({"a": 1.0, "b": 1.0}, count=6, seconds=2.0)
    assert [len(its) for its in some_of_each(waveforms, ["a", "b"], 5.0)] == [3, 3]
    assert [len(its) for its in some_of_each(waveforms, ["a", "b"], 100.0)] == [6, 6]
    assert [len(its) for its in some_of_each(waveforms, ["a", "b"], 100.0, 8.0)] == [2, 2]
    (its, _) = some_of_each(waveforms, ["a", "b"], 3.9)
    np.testing.assert_array_equal(its[0], waveforms.crop(0, 0, 16000))  # spread over the whole
    np.testing.assert_array_equal(its[1], waveforms.crop(10, 0, 16000))


def test_dialects_are_the_codes_that_a_speaker_uses():
    uses = {"a": [0, 0, 1, 1, 2], "b": [2, 2, 2, 1, 2]}
    waveforms = corpus({"a": 1.0, "b": 1.0}, count=1, seconds=1.0)
    first = {waveforms.crop(i, 0, 1).item(): u.speaker for i, u in enumerate(waveforms.utterances)}
    model = SimpleNamespace(
        config=SimpleNamespace(codebook_size=4),
        quantizer=SimpleNamespace(codebook=torch.zeros(4, 1)),
        speakers=["a", "b"],
        encode=lambda x, voice: torch.tensor([uses[first[x[0, 0].item()]]]),
    )
    # Of code 1: 0.4 and 0.2, an even share being 0.3; nobody uses code 3
    expected = [[True, True, False, True], [False, True, True, True]]
    assert find_dialects(model, waveforms).tolist() == expected


def test_the_level_of_the_speakers():
    waveforms = corpus({"a": 1.0, "b": 1.0}, count=2)
    once = [waveforms.crop(i, 0, 40000) for i in range(len(waveforms))]
    louder = Waveforms(waveforms.utterances, RATE, waveforms=[2 * x for x in once])
    level = speech_level(waveforms, ["a", "b"])
    assert -22 < level < -18  # the vowels have a root mean square of 0.1
    assert speech_level(louder, ["a", "b"]) == pytest.approx(level + 6, abs=0.2)
    silent = Waveforms(waveforms.utterances, RATE, waveforms=[0 * x for x in once])
    assert speech_level(silent, ["a", "b"]) == 0
