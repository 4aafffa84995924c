"""speechvq-sample and speechvq-train prior, as a user runs them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import speechvq
from speechvq import audio, model_folder
from speechvq.cli.sample import main
from speechvq.cli.train import main as train
from speechvq.codes import read_codes
from speechvq.config import PriorConfig, WaveNetConfig
from speechvq.model import Model
from speechvq.models.prior import Prior
from speechvq.prior_folder import save_prior

RATE = 8000


@pytest.fixture(autouse=True)
def model(tiny_config, tmp_path, monkeypatch) -> Model:
    """A model with a prior, below the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SPEECHVQ_MODEL", raising=False)
    torch.manual_seed(0)
    vqvae = Model(tiny_config, ["p225", "p226"]).eval()
    model_folder.save_model("exp/tiny/vqvae", vqvae, {}, "card")
    wavenet = WaveNetConfig(1, 1, 2, 4, 4, 4)
    prior = Prior(PriorConfig(condition_channels=4, wavenet=wavenet), 8, ["p225", "p226"])
    keep(prior)
    return vqvae


def keep(prior: Prior) -> None:
    codebook = model_folder.codebook_of(speechvq.load("exp/tiny/vqvae"))
    save_prior("exp/tiny/vqvae/prior", prior, codebook, {}, "card")


def wavs() -> list[str]:
    return sorted(str(path) for path in Path().glob("*.wav"))


def test_as_the_readme_says(model, capsys):
    assert main(["--speaker", "p226", "--seconds", "0.5", "--seed", "3"]) == 0
    assert capsys.readouterr().out == "sample-p226-3.wav\n"
    assert audio.info("sample-p226-3.wav") == (0.5, RATE)
    first = Path("sample-p226-3.wav").read_bytes()
    assert main(["--speaker", "p226", "--seconds", "0.5", "--seed", "3"]) == 0
    assert Path("sample-p226-3.wav").read_bytes() == first
    assert main(["--speaker", "p226", "--seconds", "0.5", "--seed", "4"]) == 0
    assert Path("sample-p226-4.wav").read_bytes() != first


def test_several_at_once_are_each_as_alone(capsys):
    words = ["--seconds", "0.25", "--seed", "5"]
    assert main(["--speaker", "p225", "p226", "--count", "2", "--json", *words]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert [(w["speaker"], w["seed"]) for w in outcome["written"]] == [
        ("p225", 5), ("p225", 6), ("p226", 5), ("p226", 6),
    ]  # fmt: skip
    assert [w["seconds"] for w in outcome["written"]] == 4 * [0.25]
    together = Path("sample-p226-6.wav").read_bytes()
    alone = ["--speaker", "p226", "--seconds", "0.25", "--seed", "6", "--out", "alone.wav"]
    assert main(alone) == 0
    assert Path("alone.wav").read_bytes() == together


def test_a_recording_with_the_name_of_a_sample(capsys):
    """It is not overwritten; the other sample is drawn."""
    audio.write("sample-p225-0.wav", np.full(RATE // 4, 0.1, np.float32), RATE)
    before = Path("sample-p225-0.wav").read_bytes()
    assert main(["--speaker", "p225", "p226", "--seconds", "0.25"]) == 2
    out, err = capsys.readouterr()
    assert out == "sample-p226-0.wav\n"
    assert "sample-p225-0.wav: is there, and speechvq did not write it; move it" in err
    assert Path("sample-p225-0.wav").read_bytes() == before
    named = ["--out", "sample-p225-0.wav"]
    assert main(["--speaker", "p225", "--seconds", "0.25", *named]) == 0
    assert audio.is_drawn(Path("sample-p225-0.wav"))


def test_codes_can_be_kept(model):
    assert main(["--speaker", "p225", "--seconds", "0.25", "--codes", "kept/codes.txt"]) == 0
    codebook, kept = read_codes("kept/codes.txt")
    assert codebook == model_folder.codebook_of(model)
    codes = kept["sample-p225-0"]
    assert len(codes) == round(0.25 * model.frame_rate)
    said = speechvq.sample(model, codes, "p225")
    np.testing.assert_allclose(audio.read("sample-p225-0.wav")[0], said, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ["--out", "a.wav", "--codes", "a.wav"],
            "--codes a.wav: a sample goes there",
        ),
        (["--out", "#a.wav", "--codes", "c.txt"], "utterance id '#a': must not"),
    ],
)
def test_codes_that_cannot_be_kept(model, capsys, words, error):
    before = sorted(Path().iterdir())
    assert main(["--speaker", "p225", "--seconds", "0.25", *words]) == 2
    assert error in capsys.readouterr().err
    assert sorted(Path().iterdir()) == before


def test_a_prompt_is_continued(model):
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE // 4)
    audio.write("a.wav", noise, RATE)
    words = ["--speaker", "p225", "--seconds", "0.5", "--prompt", "a.wav", "--codes", "c.txt"]
    assert main(words) == 0
    codes = read_codes("c.txt")[1]["sample-p225-0"]
    prompt = speechvq.encode(model, audio.read("a.wav")[0])
    np.testing.assert_array_equal(codes[: len(prompt)], prompt)
    assert len(codes) == len(prompt) + 250
    assert audio.info("sample-p225-0.wav")[0] == pytest.approx(0.75)


def test_a_code_that_does_not_end_is_told(model, capsys):
    prior = Prior(PriorConfig(wavenet=WaveNetConfig(1, 1, 2, 4, 4, 4)), 8, model.speakers)
    with torch.no_grad():
        prior.wavenet.output.bias[2] = 50.0
    keep(prior)
    assert main(["--speaker", "p225", "--seconds", "1.5"]) == 0
    assert "sample-p225-0.wav: one code for 1.5 s on end" in capsys.readouterr().err
    assert main(["--speaker", "p225", "--seconds", "0.9"]) == 0
    assert "on end" not in capsys.readouterr().err


def test_silence_is_told(model, capsys, monkeypatch):
    class Silent:
        @staticmethod
        def sample_into(sinks, *_, **__):
            for sink in sinks:
                sink.write(np.zeros(800, np.float32))
                sink.close()

    monkeypatch.setattr("speechvq.sampling.sample_into", Silent.sample_into)
    assert main(["--speaker", "p225", "--seconds", "0.1"]) == 0
    assert "sample-p225-0.wav: silent; another --seed may help" in capsys.readouterr().err


def test_a_speaker_whom_the_prior_does_not_know(tiny_config, capsys):
    vqvae = Model(tiny_config, ["p225", "p226", "new"])
    vqvae.load_state_dict(
        {
            name: torch.cat([x, x[:1]]) if name.endswith("conditioner.speakers.weight") else x
            for name, x in speechvq.load("exp/tiny/vqvae").state_dict().items()
        }
    )
    model_folder.save_model("exp/tiny/vqvae", vqvae, {}, "card")
    assert main(["--speaker", "new", "--seconds", "0.1"]) == 0
    assert "the prior does not know new" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--speaker", "p999"], "unknown speaker 'p999'"),
        (["--speaker", "p225", "--seconds", "0"], "--seconds: must be above 0, got 0"),
        (["--speaker", "p225", "--count", "0"], "--count: must be a whole number, 1 or more"),
        (["--speaker", "p225", "--prompt", "none.wav"], "none.wav"),
        (["--speaker", "p225", "--count", "2", "--out", "a.wav"], "one file for 2 samples"),
        (["--speaker", "p225", "--prior", "nowhere"], "nowhere: no prior there"),
        (["--seconds", "1"], "--speaker"),
    ],
)
def test_mistakes_are_one_line(words, message, capsys):
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2 and not captured.out
    assert message in captured.err.splitlines()[-1]
    assert wavs() == []


def test_training_a_prior(tiny_corpus, capsys):
    conf = Path("conf.yaml")
    stage = {"steps": 4, "batch_size": 2, "segment_length": 64, "warmup_steps": 1}
    training = {"valid_every": 2, "tensorboard": False}
    stages = [{"objective": "prior", **stage}]
    conf.write_text(yaml.safe_dump({"stages": stages, "training": training}))
    words = ["prior", "--model", "exp/tiny/vqvae", "--config", str(conf), "--out", "mine"]
    words += ["--train", tiny_corpus.train, "--valid", tiny_corpus.valid]
    small = ["--prior.wavenet.layers", "2", "--prior.condition_channels", "4"]
    assert train([*words, *small]) == 0
    assert capsys.readouterr().out == "mine\n"
    assert main(["--speaker", "p225", "--seconds", "0.1", "--prior", "mine"]) == 0
    assert train([*words, *small]) == 2  # there is one already
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("speechvq-train: error: mine: holds a training already")
    with pytest.raises(SystemExit):
        train([*words, "--prior.wavenet.layerz", "2"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert "did you mean --prior.wavenet.layers?" in error
