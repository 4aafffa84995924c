"""Set the level that a model folder states to that of the speech that it draws.

    python recipes/librispeech/drawn_level.py exp/librispeech/vqvae --manifest valid.jsonl

A conversion gets the level of its source by the level that the model states, at first that of the
training speech. A mel predictor that learned by L1 predicts medians, and its speech is some
decibels softer than what it learned from. Only the one number is written. Where the encoder
is no streaming one, recordings are brought to this level before it hears them, so it stays.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from speechvq import audio
from speechvq.cli.errors import command
from speechvq.data.manifest import read_manifest
from speechvq.model_folder import WEIGHTS, load_model
from speechvq.sampling import SamplingOptions, sample_batch
from speechvq.sampling.utterances import encode_utterances
from speechvq.weights import read_weights, write_weights


def drawn_level(model, manifest: str, count: int, seed: int) -> float:
    """Median level in dB of conversions of `count` utterances of a manifest to random speakers."""
    random = np.random.default_rng(seed)
    utterances = read_manifest(manifest)
    chosen = [utterances[i] for i in random.permutation(len(utterances))[:count]]
    codes = [e.codes for e in encode_utterances(model, chosen)]
    targets = [str(name) for name in random.choice(model.speakers, len(codes))]
    drawn = sample_batch(model, codes, targets, SamplingOptions(seed=seed))
    return float(np.median([audio.speech_level([x], model.sample_rate) for x in drawn]))


@command
def main(argv: list[str] | None = None) -> int:
    """Measure, write and print the level."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, help="model folder")
    parser.add_argument("--manifest", required=True, help="utterances to convert")
    parser.add_argument("--utterances", type=int, default=40, help="how many are drawn")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    model = load_model(options.model)
    if not hasattr(model.vqvae.encoder, "stream"):
        print(f"{options.model}: the level stays; its encoder is given recordings at it")
        return 0
    level = drawn_level(model, options.manifest, options.utterances, options.seed)
    tensors, header = read_weights(options.model / WEIGHTS)
    tensors["level"].fill_(level)
    write_weights(options.model / WEIGHTS, tensors, header)
    print(f"{options.model}: conversions have {level:.1f} dB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
