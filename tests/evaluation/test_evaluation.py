"""The experiments as functions, on a tiny model and made-up speech."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soxr

torch = pytest.importorskip("torch")

from speechvq import audio  # noqa: E402
from speechvq.analysis.judges.judge import CONVERSION, REAL_TARGET, Judge, Score  # noqa: E402
from speechvq.analysis.judges.level import normalised  # noqa: E402
from speechvq.config import (  # noqa: E402
    CepstraStage,
    MelStage,
    SpeakerNormalisationConfig,
)
from speechvq.data.manifest import Utterance, write_manifest  # noqa: E402
from speechvq.evaluation import phonemes  # noqa: E402
from speechvq.evaluation.conversion import evaluate_conversion, synthesise  # noqa: E402
from speechvq.evaluation.likelihood import bits_per_sample  # noqa: E402
from speechvq.evaluation.normalised import (  # noqa: E402
    normalisation_of,
    speaker_normalised_cepstra,
)
from speechvq.evaluation.trials import choose_trials  # noqa: E402
from speechvq.model import Model  # noqa: E402
from speechvq.model_folder import read_config, save_model  # noqa: E402
from speechvq.sampling import SamplingOptions, convert, encode  # noqa: E402
from speechvq.sampling.utterances import encode_utterances, read_waveform  # noqa: E402
from speechvq.settings import plain  # noqa: E402

RATE = 16000


@pytest.fixture()
def utterances(tmp_path):
    found = []
    for speaker in ("p225", "p226"):
        for i in range(2):
            path = tmp_path / f"{speaker}_{i}.wav"
            noise = np.random.default_rng(i).normal(0, 0.1, 4000).astype(np.float32)
            audio.write(path, noise, 8000)
            found.append(Utterance(path.stem, speaker, str(path), 0.5))
    return found


@pytest.fixture()
def model(tiny_config):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return Model(tiny_config, ["p225", "p226"]).eval()


def test_codes_are_those_of_encode(model, utterances):
    encoded = list(encode_utterances(model, utterances))
    assert [e.utterance for e in encoded] == utterances
    for e in encoded:
        assert np.array_equal(e.codes, encode(model, e.waveform))
        assert len(e.codes) == -(-len(e.waveform) // model.hop_length)


def test_bits_are_averaged_over_samples(model, utterances):
    each = [bits_per_sample(model, [u]).value for u in utterances]
    both = bits_per_sample(model, utterances)
    assert both.value == pytest.approx(np.mean(each))  # all of one length
    assert both.utterances == 4
    assert bits_per_sample(model, []) is None


def test_a_judge_from_outside_is_run(model, utterances, tmp_path):
    class Duration(Judge):
        title, name, formats, kinds = "duration", "mine 1.0", {"seconds": ".1f"}, (CONVERSION,)

        def score(self, speech):
            return Score({"seconds": speech.measured(len) / RATE})

    write_manifest(tmp_path / "test.jsonl", utterances)
    trials = choose_trials(str(tmp_path / "test.jsonl"), model, None, 2, 0)
    result = evaluate_conversion(model, trials, [Duration()])
    found = result.to_dict()
    assert found["judges"] == {"duration": "mine 1.0"}
    assert found["duration"][CONVERSION]["seconds"].value == pytest.approx(0.5)


def test_targets_whose_ids_are_those_of_sources(model, utterances, tmp_path):
    """What is judged as a target is its own recording, in another manifest."""

    class Duration(Judge):
        title, name, formats, kinds = "duration", "mine 1.0", {"seconds": ".1f"}, (REAL_TARGET,)

        def score(self, speech):
            return Score({"seconds": speech.measured(len) / RATE})

    (tmp_path / "long").mkdir()
    longer = []
    for u in utterances:
        path = tmp_path / "long" / f"{u.id}.wav"
        audio.write(path, np.full(8000, 0.1, np.float32), 8000)
        other = {"p225": "p226", "p226": "p225"}[u.speaker]  # ids of the sources of its trials
        id = u.id.replace(u.speaker, other)
        longer.append(replace(u, id=id, path=str(path), duration=1.0))
    write_manifest(tmp_path / "test.jsonl", utterances)
    write_manifest(tmp_path / "long" / "targets.jsonl", longer)
    targets = str(tmp_path / "long" / "targets.jsonl")
    trials = choose_trials(str(tmp_path / "test.jsonl"), model, None, 2, 0, targets)
    result = evaluate_conversion(model, trials, [Duration()])
    found = result.judged["duration"].scores
    assert found[REAL_TARGET]["seconds"].value == pytest.approx(1.0)
    assert result.each == [{"duration": {}}] * 2


def test_synthesised_speech_is_that_of_the_functions(model, utterances, tmp_path):
    """Each waveform with a seed of its own, counted from that of the options; and quiet pauses."""
    model.level.fill_(-20.0)
    for utterance in utterances:
        speech = np.diff(audio.read(utterance.path)[0], append=0)  # without rumble
        audio.write(utterance.path, np.append(speech[:3000], 1e-4 * speech[3000:]), 8000)
    write_manifest(tmp_path / "test.jsonl", utterances)
    trials = choose_trials(str(tmp_path / "test.jsonl"), model, None, 2, 0)
    options = SamplingOptions(seed=5, temperature=0.8)
    found = synthesise(model, trials, options)
    assert len(found.conversions) == 2
    wanted = [(u, u.speaker) for u in trials.utterances.values()]
    wanted += [(trial.utterance, trial.target) for trial in trials.trials]
    made = [*found.reconstructions.values(), *found.conversions]
    for i, (speech, (utterance, speaker)) in enumerate(zip(made, wanted, strict=True)):
        waveform = read_waveform(utterance, model.sample_rate)
        drawn = convert(model, waveform, speaker, replace(options, seed=5 + i))
        expected = normalised(soxr.resample(drawn, model.sample_rate, RATE))
        np.testing.assert_allclose(speech, expected, atol=1e-5)


def test_the_normalisation_is_that_of_the_model(model, utterances, tmp_path):
    """That of a stage; and it is what the cepstra depend on."""
    own = SpeakerNormalisationConfig(mel_bands=20, dynamic_range=7.0)
    stages = [plain(MelStage()), plain(CepstraStage(normalisation=own))]
    save_model(tmp_path, model, {"stages": stages}, "")
    assert normalisation_of(read_config(tmp_path)) == own
    assert normalisation_of({"model": {}}) == SpeakerNormalisationConfig()
    waveform = read_waveform(utterances[0], 8000)
    one, other = (
        speaker_normalised_cepstra(utterances, 8000, 80, 12, config=config)(
            waveform, utterances[0].speaker
        )
        for config in (own, None)
    )
    assert not np.allclose(one, other, atol=0.1)


def test_normalised_cepstra_are_of_frames_and_known_speakers(utterances):
    features = speaker_normalised_cepstra(utterances, 8000, 80, 12)
    noise = np.random.default_rng(9).normal(0, 0.1, 4001).astype(np.float32)
    assert features(noise, "p225").shape == (51, 12)
    louder = features(np.concatenate([noise, noise]), "p226")
    assert np.isfinite(louder).all()
    with pytest.raises(ValueError):
        features(noise, "p999")


def test_baselines_are_computed_on_one_thread(model, monkeypatch):
    """So that they do not depend on the machine; torch has its threads again afterwards."""
    from threadpoolctl import threadpool_info

    found = []

    def features(*arguments):
        found.append((torch.get_num_threads(), {pool["num_threads"] for pool in threadpool_info()}))
        return {}

    monkeypatch.setattr(phonemes, "_baseline_features", features)
    torch.set_num_threads(3)
    some = SimpleNamespace(frames=[100])
    assert phonemes.baseline_codes(model, some, some, None, 0, lambda x, _: x) == {}
    assert found == [(1, {1})] and torch.get_num_threads() == 3
    torch.set_num_threads(1)


def test_titles_of_judges_differ(model, utterances, tmp_path):
    write_manifest(tmp_path / "test.jsonl", utterances)
    trials = choose_trials(tmp_path / "test.jsonl", model, None, 2, 0)
    with pytest.raises(ValueError, match="judges: expected different titles, got a, a"):
        evaluate_conversion(model, trials, [type("A", (Judge,), {"title": "a"})()] * 2)
