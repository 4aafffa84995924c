#!/usr/bin/env python3
"""Hours of a corpus that a core encodes and converts in an hour, beside what limits it.

    python benchmarks/corpus.py [--manifest FILE] [--model DIR] [--repeats 3] [--json]

cat       reading the bytes of the files, from the page cache
decode    decoding them with soundfile alone
multiply  the matrix products of the encoder alone, at the speed of a large one on this core
encode    `speechvq.sampling.encode_source` of each file, as speechvq-encode does it
convert   encoding, and drawing all of them in lock-step, as speechvq-convert does it

The made-up corpus has FLAC and WAV files of 2 to 12 seconds. All is done on one thread, and hours
of a core are CPU time, so that other load on the machine counts little. The tasks take turns; the
table has medians. "convert, N threads" is by wall time, in hours of N cores, and says what it
should on a quiet machine only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from live import speech
from measure import table

from speechvq.data.manifest import Utterance

SECONDS = (2.0, 12.0)
RATE = 16000


def made_up(folder: Path, count: int) -> list[Utterance]:
    """Write recordings of made-up speech, each second one as WAV."""
    import soundfile

    rng = np.random.default_rng(0)
    whole = speech(RATE, SECONDS[1] + 1)
    utterances = []
    for i, seconds in enumerate(np.linspace(*SECONDS, count)):
        first = rng.integers(0, RATE)
        part = whole[first : first + round(seconds * RATE)]
        noisy = part + 0.002 * rng.standard_normal(len(part))
        path = folder / f"{i}.{'wav' if i % 2 else 'flac'}"
        soundfile.write(path, noisy, RATE)
        utterances.append(Utterance(str(i), "x", str(path), len(part) / RATE))
    return utterances


def products(model) -> Callable[[float], None]:
    """The multiplications of an encoder in so many seconds of speech, in one shape of matrix."""
    import torch

    encoder = model.vqvae.encoder
    each = sum(weight.numel() for weight in encoder.parameters() if weight.dim() > 1)
    rows, width = 1000, 512
    x, y = torch.randn(rows, width), torch.randn(width, width)

    def multiply(seconds: float) -> None:
        for _ in range(round(seconds * model.frame_rate * each / (rows * width * width))):
            x @ y

    return multiply


def tasks(model, utterances: Sequence[Utterance], drawn: int, threads: int) -> dict:
    """What is measured: seconds of audio, and a function that goes through them."""
    import soundfile

    from speechvq import audio
    from speechvq.sampling import encode_source, sample_into
    from speechvq.sampling.batched_sampler import MemorySink
    from speechvq.sampling.pauses import SourceLevel

    def encoded(listed: Sequence[Utterance]) -> list:
        parts = ((Path(u.path), model.sample_rate, u.start, u.duration) for u in listed)
        return [encode_source(model, audio.Recording(*part)) for part in parts]

    def convert(listed: Sequence[Utterance], threads: int) -> None:
        sources = encoded(listed)
        sample_into(
            [MemorySink() for _ in sources],
            model,
            [source.codes for source in sources],
            [model.speakers[i % len(model.speakers)] for i in range(len(sources))],
            lengths=[source.samples for source in sources],
            levels=[SourceLevel(model, source.powers, source.gain) for source in sources],
            threads=threads,
        )

    multiply = products(model)
    total = sum(u.duration for u in utterances)
    some = utterances[:drawn]
    seconds = sum(u.duration for u in some)
    return {
        "cat": (total, lambda: [Path(u.path).read_bytes() for u in utterances]),
        "decode": (total, lambda: [soundfile.read(u.path) for u in utterances]),
        "multiply": (total, lambda: multiply(total)),
        "encode": (total, lambda: encoded(utterances)),
        "convert": (seconds, lambda: convert(some, 1)),
        f"convert, {threads} threads": (seconds, lambda: convert(some, threads)),
    }


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", metavar="DIR", help="model folder")
    parser.add_argument("--manifest", metavar="FILE", help="a corpus (default: a made-up one)")
    parser.add_argument("--utterances", type=int, default=24, help="of the corpus (default: 24)")
    parser.add_argument("--convert", type=int, default=16, help="of them converted (default: 16)")
    parser.add_argument("--threads", type=int, default=2, help="of the last row (default: 2)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)

    import torch

    import speechvq
    from speechvq.data.manifest import read_manifest

    torch.set_num_threads(1)
    model = speechvq.load(options.model)
    with tempfile.TemporaryDirectory() as folder:
        if options.manifest:
            utterances = list(read_manifest(options.manifest)[: options.utterances])
        else:
            utterances = made_up(Path(folder), options.utterances)
        for _, work in tasks(model, utterances[:1], 1, 1).values():  # compiles
            work()
        todo = tasks(model, utterances, options.convert, options.threads)
        found: dict[str, list[float]] = {name: [] for name in todo}
        for _ in range(options.repeats):
            for name, (seconds, work) in todo.items():
                began, cpu = time.perf_counter(), time.process_time()
                work()
                wall, cpu = time.perf_counter() - began, time.process_time() - cpu
                cores = options.threads * wall if "threads" in name else max(cpu, 1e-9)
                found[name].append(seconds / cores)
    rows = [
        {
            "task": name,
            "hours_a_core_hour": float(f"{statistics.median(turns):.4g}"),
            "lowest_to_highest": [float(f"{x:.4g}") for x in (min(turns), max(turns))],
            "minutes_of_audio": round(todo[name][0] / 60, 2),
        }
        for name, turns in found.items()
    ]
    print(json.dumps(rows, indent=1) if options.json else table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
