"""Two tiny models, and the numbers that they give.

`python tests/golden/tiny.py tests/golden` makes the numbers anew, and is right only where a change
is meant to give other codes or samples. `python tests/golden/tiny.py tests/golden anew` makes the
model folders anew before, and is right only where a release is meant to refuse older model folders.
CHANGELOG.md has to say so.
"""

import sys
from pathlib import Path

import numpy as np
import torch

import speechvq
from speechvq import model_folder
from speechvq.config import (
    ConditionerConfig,
    ModelConfig,
    PriorConfig,
    QuantizerConfig,
    StreamingEncoderConfig,
    StreamingMelPredictorConfig,
    StreamingStackConfig,
    StridedEncoderConfig,
    WaveNetConfig,
    WaveNetDecoderConfig,
)
from speechvq.model import Model
from speechvq.models.prior import Prior
from speechvq.prior_folder import load_prior, save_prior
from speechvq.sampling import SamplingOptions, kernel
from speechvq.sampling.engine import Engine
from speechvq.sampling.generation import sample_codes

HERE = Path(__file__).parent
RATE = 8000
SPEAKERS = ("p225", "p226")
STACK = StreamingStackConfig(channels=8, dilations=(1, 2), lookahead=(1, 2))
WAVENET = WaveNetConfig(
    layers=4, dilation_cycle=3, residual_channels=4, skip_channels=8, output_channels=8
)
MODELS = {
    # All parts of the model in the package
    "streaming": ModelConfig(
        sample_rate=RATE,
        encoder=StreamingEncoderConfig(stride=80, bands=8, memory=0.5, stack=STACK),
        quantizer=QuantizerConfig(codebook_size=16, codebook_dim=8, codebooks=2),
        decoder=WaveNetDecoderConfig(
            conditioner=ConditionerConfig(channels=6, upsample=2, layers=1),
            subbands=2,
            long_term=True,
            mel_condition=True,
            top_p=0.9,
            wavenet=WAVENET,
        ),
        mel_predictor=StreamingMelPredictorConfig(bands=10, speaker_dim=4, stack=STACK),
    ),
    # The paper's
    "paper": ModelConfig(
        sample_rate=RATE,
        encoder=StridedEncoderConfig(channels=8),
        quantizer=QuantizerConfig(codebook_size=16, codebook_dim=8),
        decoder=WaveNetDecoderConfig(conditioner=ConditionerConfig(channels=6), wavenet=WAVENET),
    ),
}


def waveform(rate: int = RATE, seconds: float = 0.5) -> np.ndarray:
    """A voice of sorts (T,) float32 of 16 bits: a formula, and no file."""
    t = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * (120 * t + 15 * t**2)
    harmonics = sum(np.sin(h * phase) * np.cos(3 * h * t) ** 2 / h for h in range(1, 16))
    noise = np.modf(1e4 * np.sin(np.arange(len(t)) ** 1.5))[0]
    loudness = 0.05 + np.sin(2 * np.pi * 2.5 * t) ** 2
    return (np.rint(8192 * loudness * (0.5 * harmonics + 0.03 * noise)) / 32768).astype(np.float32)


@torch.no_grad()
def make(name: str) -> None:
    """Write a model with a prior, from seed 0; its weights are such that its numbers vary."""
    torch.manual_seed(0)
    model = Model(MODELS[name], SPEAKERS).eval()
    speech = torch.from_numpy(waveform()).unsqueeze(0)
    if name == "paper":  # its latents would hardly vary
        for weights in model.vqvae.encoder.parameters():
            weights *= 2.4 if weights.ndim > 1 else 0
    model.vqvae.quantizer.initialise(model.latents(speech)[0])
    model.vqvae.decoder.fit(speech)
    model.vqvae.decoder.wavenet.output.weight *= 8
    if model.mel_predictor is not None:
        model.mel_predictor.fit(speech)
    model.level.fill_(-25.0)
    folder = HERE / name
    model_folder.save_model(folder, model, {}, f"# {name}: of tests/golden/tiny.py\n")
    config = PriorConfig(condition_channels=4, wavenet=WAVENET)
    prior = Prior(config, model.codebook_size, SPEAKERS, model.codebooks)
    prior.wavenet.output.weight[: model.codebook_size] *= 8
    save_prior(folder / "prior", prior, model_folder.codebook_of(model), {}, "# A prior\n")


@torch.no_grad()
def numbers(
    folder: Path, seconds: float = 0.5, pinned: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """What is pinned of a model folder: codes, what is drawn with a seed, and what lies between.

    Likelihoods are those of the pinned levels, if there are any: between two levels rounding
    decides, and processors round differently.
    """
    model = speechvq.load(folder)
    decoder, speaker = model.vqvae.decoder, torch.tensor([1])
    speech = waveform(model.sample_rate, seconds)
    codes = speechvq.encode(model, speech)
    found = {"codes": codes, "latents": speechvq.sampling.latents(model, speech)}
    given = torch.from_numpy(codes).unsqueeze(0)
    if model.mel_predictor is not None:
        found["mel"] = model.mel_predictor(model.vqvae.quantizer.lookup(given), speaker)[0].numpy()

    condition = decoder.conditioner(model.local_condition(given, speaker), speaker)
    whole = np.pad(speech, (0, len(codes) * model.hop_length - len(speech)))
    found["levels"] = decoder.pqmf.encode(torch.from_numpy(whole).unsqueeze(0)).numpy()
    levels = torch.from_numpy(found["levels"] if pinned is None else pinned)
    period = levels.shape[1] // condition.shape[1]
    streams = Engine(decoder.wavenet).streams(1)
    scored = streams.score([0], condition.numpy(), period, levels.numpy())
    for by, logits in (
        ("forward", decoder.wavenet(levels, condition)),
        ("engine", torch.from_numpy(scored)),
    ):
        of_levels = logits.log_softmax(-1).gather(-1, levels.unsqueeze(-1))
        found |= {f"nats_{by}": of_levels[0].numpy(), f"logits_{by}": logits[0, ::500].numpy()}
    found["samples"] = np.concatenate(
        speechvq.sample_batch(
            model,
            [codes[:16], codes[3:12]],
            SPEAKERS,
            SamplingOptions(seed=5),
            threads=torch.get_num_threads(),
        )
    )
    options = SamplingOptions(seed=7)
    found["conversion_samples"] = speechvq.convert(model, speech[:1200], "p225", options)

    prior = load_prior(folder, model_folder.codebook_of(model))
    found["logits_prior"] = prior(given, prior.condition(speaker))[0].numpy()
    drawn = sample_codes(prior, 40, SPEAKERS, SamplingOptions(seed=3))
    return found | {"codes_prior": np.stack(drawn)}


if __name__ == "__main__":
    for name in MODELS:
        if "anew" in sys.argv:
            make(name)
            pinned = None
        else:
            pinned = np.load(HERE / f"{name}.npz")["levels"]
        found = numbers(HERE / name, pinned=pinned)
        if pinned is not None:  # likelihoods are of these, not of those that are rounded here
            found["levels"] = pinned
        np.savez_compressed(Path(sys.argv[1]) / f"{name}.npz", **found)
    print(torch.backends.cpu.get_cpu_capability(), kernel.PANEL)
