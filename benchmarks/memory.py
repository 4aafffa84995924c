#!/usr/bin/env python3
"""Memory of the commands, for recordings of 1, 10 and 60 minutes.

    python benchmarks/memory.py [--minutes 1 10 60] [--only encode convert] [--json]

A made-up utterance is repeated for as long as is wanted. Each command runs in a process of its own;
the table has the largest resident memory (RSS) of that process. The model is that of --model with a
small decoder that has learned nothing: drawing an hour then takes a few minutes, and what memory
could grow with, the recording, the codes and the audio to write, is the same. --whole keeps its
decoder.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from measure import table

from speechvq import audio

RATE = 16000
STUDIO_RATE = 48000
PIECE = 3  # s, of the files of a folder
COMMANDS = {
    "encode": "encode --model {model} --src {speech} --out {out}/codes.txt",
    "encode, files of 3 s": "encode --model {model} --src {folder} --out {out}/codes.txt",
    "convert": "convert --model {model} --src {speech} --speaker {speaker} --out {out}/a.wav",
    "decode": "decode --model {model} --codes {codes} --speaker {speaker} --out {out}",
    "sample --prompt": "sample --model {model} --prompt {speech} --speaker {speaker} --seconds 1 "
    "--out {out}/a.wav",
    "enroll": "enroll --model {model} --wavs {speech} --name new --steps 20 --out {out}/model",
    "prepare --check": "prepare {corpus} --corpus folder --check --valid 0 --test 0 --out {out}",
    "prepare --trim": "prepare {corpus} --corpus folder --trim --valid 0 --test 0 --out {out}",
}

# A process counts the memory of the one that started it, so a small one starts the command
WATCH = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def utterance(sample_rate: int) -> np.ndarray:
    """Three seconds that pass for speech: syllables of a voice and of noise, and a pause."""
    time = np.arange(PIECE * sample_rate) / sample_rate
    pitch = 120 + 15 * np.sin(2 * np.pi * 0.7 * time)
    phase = 2 * np.pi * np.cumsum(pitch) / sample_rate
    voice = sum(np.sin(k * phase) / k for k in range(1, 25))
    noise = np.random.default_rng(0).standard_normal(len(time))
    syllables = np.sin(2 * np.pi * 2 * time)
    waveform = 0.1 * voice * syllables.clip(0) ** 0.5 + 0.02 * noise * (-syllables).clip(0)
    return (waveform * (time < PIECE - 0.5)).astype(np.float32)


def write(path: Path, sample_rate: int, repeats: int) -> None:
    """Write the utterance again and again."""
    waveform = utterance(sample_rate)
    with audio.Writer(path, sample_rate) as writer:
        for _ in range(repeats):
            writer.write(waveform)


def write_sources(folder: Path, minutes: float, model) -> dict[str, str]:
    """Write what the commands read; the paths, by the names in `COMMANDS`."""
    from speechvq.codes import write_codes
    from speechvq.model_folder import codebook_of

    repeats = max(1, round(60 * minutes / PIECE))
    write(folder / "speech.wav", RATE, repeats)
    for i in range(repeats):
        write(folder / "folder" / f"{i}.wav", RATE, 1)
    for name in "abc":
        write(folder / "corpus" / "speaker" / f"{name}.wav", STUDIO_RATE, repeats)
    shape = (125,) if model.codebooks == 1 else (125, model.codebooks)
    codes = np.random.default_rng(0).integers(model.codebook_size, size=shape)
    count = round(60 * minutes * model.frame_rate)
    write_codes(
        folder / "codes.txt",
        codebook_of(model),
        {"a": np.resize(codes, (max(1, count), *shape[1:]))},
    )
    return {
        "speech": str(folder / "speech.wav"),
        "folder": str(folder / "folder"),
        "corpus": str(folder / "corpus"),
        "codes": str(folder / "codes.txt"),
    }


def with_small_decoder(model):
    """The model with another decoder and mel predictor; the encoder and codebook stay."""
    from speechvq.model import Model

    decoder = model.config.decoder
    wavenet = dataclasses.replace(
        decoder.wavenet, layers=1, dilation_cycle=1, residual_channels=16, skip_channels=16
    )
    conditioner = dataclasses.replace(decoder.conditioner, channels=16, layers=1)
    decoder = dataclasses.replace(decoder, wavenet=wavenet, conditioner=conditioner)
    small = Model(dataclasses.replace(model.config, decoder=decoder), model.speakers)
    other = ("vqvae.decoder.", "mel_predictor.")
    kept = {k: v for k, v in model.state_dict().items() if not k.startswith(other)}
    small.load_state_dict(small.state_dict() | kept)
    return small.eval()


def peak_memory(command: list[str]) -> float:
    """Run a command; the largest resident memory of its process, in MB."""
    done = subprocess.run([sys.executable, "-c", WATCH, *command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return int(done.stdout) / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main(argv: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--model", metavar="DIR", help="model folder with a prior (default: as in the commands)")
    add("--minutes", nargs="+", type=float, default=[1, 10, 60], metavar="M")
    add("--only", nargs="+", choices=list(COMMANDS), default=list(COMMANDS), metavar="COMMAND",
        help=f"of {', '.join(map(repr, COMMANDS))}")  # fmt: skip
    add("--whole", action="store_true", help="keep the model's decoder")
    add("--json", action="store_true")
    options = parser.parse_args(argv)

    from speechvq.model_folder import find_model, load_model, save_model
    from speechvq.prior_folder import copy_prior

    original = find_model(options.model)
    model = load_model(original)
    rows = [{"command": name} for name in options.only]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "model")
        save_model(folder, model if options.whole else with_small_decoder(model), {}, "A card.\n")
        copy_prior(original, folder)
        names = {"model": str(folder), "speaker": model.speakers[0]}
        for minutes in options.minutes:
            sources = Path(temporary, f"{minutes:g}")
            named = names | write_sources(sources, minutes, model)
            for row in rows:
                with tempfile.TemporaryDirectory(dir=temporary) as out:
                    name, *words = COMMANDS[row["command"]].split()
                    words = [word.format(out=out, **named) for word in words]
                    command = [sys.executable, "-m", f"speechvq.cli.{name}", *words]
                    row[f"{minutes:g}_min,_MB"] = round(peak_memory(command))
    print(json.dumps(rows) if options.json else table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
