"""HMM units: decoding is checked against an exhaustive search, training on units that are known."""

import itertools
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from speechvq.codes import read_codes
from speechvq.data.manifest import read_manifest, write_manifest
from speechvq.data.roots import Roots
from speechvq.data.segments import Waveforms
from speechvq.features.gmm_mapping import GMMSpeakerMapping

sys.path.insert(0, str(Path(__file__).parents[2] / "recipes/vctk"))
try:
    import hmm_units
    import units as script
    from hmm_units import HMMTraining, HMMUnits, train_hmm_units
finally:
    del sys.path[0]


def random_units(K: int, S: int, F: int) -> HMMUnits:
    torch.manual_seed(0)
    return HMMUnits(
        torch.randn(2, K * S, F),
        torch.eye(F) + 0.1 * torch.randn(F, F),
        torch.randn(K).log_softmax(0),
        torch.randn(K, K).log_softmax(1),
        likelihood_scale=0.4,
        insertion_penalty=2.0,
    )


def score(units: HMMUnits, x: torch.Tensor, speaker: int, path: tuple[int, ...], S: int) -> float:
    """Log-probability of a path of states, up to a constant of all paths; -inf if impossible."""
    if path[0] % S:
        return -torch.inf
    total = units.initial[path[0] // S].item()
    for before, state in itertools.pairwise(path):
        if state == before or (state == before + 1 and state % S):
            continue
        if before % S != S - 1 or state % S:
            return -torch.inf
        total += units.bigram[before // S, state // S].item() - units.insertion_penalty
    distance = ((x - units.means[speaker, list(path)]) @ units.whiten).square().sum()
    return total - units.likelihood_scale * distance.item() / 2


@pytest.mark.parametrize("K, S", [(2, 2), (3, 1), (1, 3)])
def test_viterbi_is_the_best_of_all_paths(K, S):
    units = random_units(K, S, 4)
    utterances = [3 * torch.randn(n, 4) for n in (5, 1, 6, 4)]
    speakers = [0, 1, 1, 0]
    paths = units.states(utterances, speakers)
    for x, speaker, found in zip(utterances, speakers, paths, strict=True):
        every = itertools.product(range(K * S), repeat=len(x))
        best = max(every, key=lambda path: score(units, x, speaker, path, S))
        assert score(units, x, speaker, tuple(found.tolist()), S) == pytest.approx(
            score(units, x, speaker, best, S), abs=1e-4
        )


def test_states_do_not_depend_on_the_batch():
    units = random_units(4, 3, 5)
    utterances = [torch.randn(n, 5) for n in (30, 7, 100, 1, 64)]
    speakers = [0, 1, 0, 0, 1]
    batched = units.states(utterances, speakers)
    for x, speaker, states in zip(utterances, speakers, batched, strict=True):
        assert len(states) == len(x)
        assert torch.equal(units.states([x], [speaker])[0], states)


def test_units_of_a_path():
    path = torch.tensor([0, 1, 2, 2, 0, 1, 2, 6, 7, 8])  # unit 0 twice in a row, then unit 2
    assert hmm_units.unit_sequence(path, 3).tolist() == [0, 0, 2]


def test_known_units_are_found():
    """Units of three parts in random order: each becomes one unit, and the units differ.

    Two speakers realise them differently, by an offset for each part of each unit.
    """
    torch.manual_seed(0)
    K, F = 5, 6
    sounds = 3 * torch.randn(K, 3, F)
    speakers = [i % 2 for i in range(40)]
    others = sounds + 0.8 * torch.randn(K, 3, F)
    utterances, truth = [], []
    for speaker in speakers:
        order = torch.randint(K, (12,)).tolist()
        realised = others if speaker else sounds
        parts = [realised[k].repeat_interleave(4, dim=0) for k in order]
        utterances.append(torch.cat(parts) + 0.3 * torch.randn(12 * len(order), F))
        truth.append(torch.tensor(order).repeat_interleave(12))
    settings = HMMTraining(units=8)
    units = train_hmm_units(utterances, speakers, settings)
    states = torch.cat(units.states(utterances, speakers))
    found = states // settings.states
    assert torch.equal(torch.cat(units.units(utterances, speakers)), found)
    table = torch.zeros(8, K).index_put_(
        (found, torch.cat(truth)), torch.ones(len(found)), accumulate=True
    )
    assert table.max(dim=1).values.sum() / table.sum() > 0.9
    # The means of a speaker are at the realisations of that speaker, not half-way
    x, second = torch.cat(utterances), torch.tensor(speakers).repeat_interleave(144) == 1
    for speaker, frames in ((0, ~second), (1, second)):
        adapted = (x[frames] - units.means[speaker, states[frames]]).square().mean()
        common = (x[frames] - units.means.mean(0)[states[frames]]).square().mean()
        assert adapted < 0.85 * common
    nearest = torch.cdist(torch.cat(utterances), sounds.flatten(0, 1)).argmin(1) // 3
    assert (nearest == torch.cat(truth)).float().mean() > 0.9  # the task can be solved
    again = train_hmm_units(utterances, speakers, settings)
    assert torch.equal(again.means, units.means)


def test_rare_units_become_variants_of_frequent_ones():
    settings = HMMTraining(units=3, states=2, minimum_occupancy=0.5)
    means = torch.arange(24.0).view(2, 6, 2)
    before = means.clone()
    counts = torch.tensor([1.0, 0, 40, 40, 20, 20])  # of states; unit 0 is rare
    random = torch.Generator().manual_seed(0)
    hmm_units._replace_rare_units(means, counts, settings, random)
    assert torch.equal(means[:, 2:], before[:, 2:])
    noise = means[:, :2] - before[:, 2:4]  # unit 1 is the most frequent
    assert torch.allclose(noise[0], noise[1], atol=1e-5)  # the same for all speakers
    assert 0 < noise.abs().max() < 5 * hmm_units.SPLIT_STD


def test_too_little_speech():
    with pytest.raises(ValueError, match=r"segments of speech cannot start 50 units"):
        train_hmm_units([torch.randn(40, 4)], [0], HMMTraining(units=50))


def test_utterances_too_short_for_a_segment_are_left_out():
    with pytest.raises(ValueError, match=r"^0 segments of speech"):
        train_hmm_units([torch.randn(4, 4), torch.randn(1, 4)], [0, 0], HMMTraining(units=5))


def test_units_are_trained_on_every_speaker():
    """Corpora are listed speaker by speaker: the first hour may be of one speaker."""
    speakers = [0] * 20 + [1] * 20 + [2]
    chosen = script.choose_utterances(speakers, np.full(41, 3.0), most=30.0)
    counts = [[speakers[i] for i in chosen].count(s) for s in range(3)]
    assert chosen == sorted(set(chosen))
    assert len(chosen) == 10
    assert counts == [5, 4, 1]


def test_little_speech_is_used_whole():
    assert script.choose_utterances([0, 1, 1], np.full(3, 3.0), 3600) == [0, 1, 2]
    assert script.choose_utterances([0, 1, 1], np.full(3, 3.0), 1.0) == [0, 1]  # one of each


def test_features_are_mapped_by_speaker(tiny_corpus, monkeypatch):
    train = Waveforms(read_manifest(tiny_corpus.train), 8000)
    fitted = []
    monkeypatch.setattr(GMMSpeakerMapping, "fit", lambda self, x, seed: fitted.extend(x))
    monkeypatch.setattr(
        GMMSpeakerMapping, "forward", lambda self, x, speaker: 0 * x + speaker[:, None, None]
    )
    features = script.Features(train, script.Settings(sample_rate=8000))
    assert [x.shape[1] for x in fitted] == [script.CEPSTRA] * 2
    for i, utterance in enumerate(train.utterances):
        static, slopes = features(train, i).split(script.CEPSTRA, dim=1)
        assert (static == ["p225", "p226"].index(utterance.speaker)).all()
        assert slopes.abs().max() < 1e-6


def script_arguments(corpus, out, *more):
    return [
        *("--train", corpus.train, "--label", corpus.train, corpus.valid, "--out", str(out)),
        *("--sample-rate", "8000", "--units", "4", *more),
    ]


def test_a_file_of_labels(tiny_corpus, tmp_path, capsys):
    out = tmp_path / "units/labels.txt"
    assert script.main(script_arguments(tiny_corpus, out)) == 0
    codebook, labels = read_codes(out)
    assert (codebook.codebook_size, codebook.hop_length, codebook.sample_rate) == (4, 80, 8000)
    utterances = [*read_manifest(tiny_corpus.train), *read_manifest(tiny_corpus.valid)]
    assert {u.id: round(u.duration * 100) for u in utterances} == {
        id: len(frames) for id, frames in labels.items()
    }
    assert len(np.unique(np.concatenate(list(labels.values())))) > 1
    assert f"{len(utterances)} utterances" in capsys.readouterr().out

    first = out.read_text()
    assert script.main(script_arguments(tiny_corpus, out)) == 0
    assert out.read_text() == first
    assert script.main(script_arguments(tiny_corpus, out, "--seed", "1")) == 0
    assert read_codes(out)[0].model != codebook.model


def test_mistakes_are_one_line(tiny_corpus, tmp_path, capsys):
    out = tmp_path / "labels.txt"
    assert script.main(script_arguments(tiny_corpus, out, "--units", "1000")) == 2
    assert script.main(script_arguments(tiny_corpus, out, "--iterations", "0")) == 2
    other = tmp_path / "other.jsonl"
    Roots(tmp_path).allow([Path(tiny_corpus.train).parent])
    train = read_manifest(tiny_corpus.train)
    write_manifest(other, [u for u in train if u.speaker == "p225"])
    arguments = script_arguments(tiny_corpus, out)
    arguments[1] = str(other)
    arguments[3:5] = [str(tmp_path / "gone.jsonl")]
    assert script.main(arguments) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 3
    assert "segments of speech cannot start 1000 units" in lines[0]
    assert "iterations must be at least 1" in lines[1]
    assert "gone.jsonl: no such manifest" in lines[2]
    assert not out.exists()
