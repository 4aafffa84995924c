#!/usr/bin/env python3
"""Delay and speed of the conversion of a live recording, on one thread.

    python benchmarks/live.py [--model DIR] [--minutes 1] [--paced] [--json]

A made-up recording is repeated and given in blocks of 40 ms, as a pipe does. The algorithmic delay
is the most audio that had come when a sample was given, less what had been given before: what a
listener waits for on an infinitely fast machine. With `--paced` blocks come in real time, and the
script tells how late samples were after a minute and at the end: a conversion that cannot keep up
falls behind more and more.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time

import numpy as np
from measure import table

BLOCK = 0.04
"""Seconds of audio in a block."""


def speech(sample_rate: int, seconds: float) -> np.ndarray:
    """Made-up speech: a buzz of moving formants, with pauses."""
    time_ = np.arange(round(seconds * sample_rate)) / sample_rate
    phase = 2 * np.pi * np.cumsum(110 + 20 * np.sin(2 * np.pi * 0.7 * time_)) / sample_rate
    waveform = sum(np.sin(k * phase) / k for k in range(1, 30))
    waveform *= np.clip(np.sin(2 * np.pi * 1.5 * time_) + 0.5, 0, None)
    return (0.05 * waveform).astype(np.float32)


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", metavar="DIR", help="model folder with a streaming encoder")
    parser.add_argument("--speaker", help="target (default: the first)")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--paced", action="store_true", help="give the blocks in real time")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)

    import torch

    import speechvq
    from speechvq.sampling.streaming import convert_blocks

    torch.set_num_threads(1)
    model = speechvq.load(options.model)
    if not hasattr(model.vqvae.encoder, "stream"):
        parser.error("the encoder of this model does not stream; pass one of kind streaming")
    speaker = options.speaker or model.speakers[0]
    rate = model.sample_rate
    spoken = speech(rate, 4.0)
    size, total = round(BLOCK * rate), max(1, round(options.minutes * 60 / BLOCK))
    list(convert_blocks(model, iter([spoken]), speaker))  # compiles
    given = taken = delay = 0  # samples
    late: list[float] = []  # s, after each minute
    began = 0.0

    def blocks():
        nonlocal given
        for i in range(total):
            if options.paced:
                time.sleep(max(0.0, began + (i + 1) * BLOCK - time.perf_counter()))
            first = i * size % (len(spoken) - size)
            given += size
            yield spoken[first : first + size]

    began, cpu = time.perf_counter(), time.process_time()
    for chunk in convert_blocks(model, blocks(), speaker):
        if given < total * size:  # not what is flushed at the end
            delay = max(delay, given - taken)
        taken += len(chunk)
        if options.paced and taken // (60 * rate) > len(late):
            late.append(time.perf_counter() - began - taken / rate)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    row = {
        "minutes": options.minutes,
        "delay_ms": round(1000 * delay / rate),
        "times_real_time": round(options.minutes * 60 / seconds, 2),
        "times_real_time_by_CPU_time": round(options.minutes * 60 / cpu, 2),
        "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    if late:
        row |= {"late_after_a_minute_s": round(late[0], 2), "late_at_the_end_s": round(late[-1], 2)}
    print(json.dumps(row, indent=1) if options.json else table([row]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
