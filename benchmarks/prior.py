#!/usr/bin/env python3
"""Sampling speed of a prior, in codes per second and as a multiple of real time.

    python benchmarks/prior.py [--model DIR] [--json]

One thread draws codes from the prior of the model, for one utterance and for sixteen in parallel.
The two cases take turns; the table has medians over the repeats.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import torch

SECONDS = 10.0
UTTERANCES = (1, 16)


def main(argv: list[str] | None = None) -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", metavar="DIR", help="model folder with a prior")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="duration of each utterance")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)

    from speechvq.model_folder import codebook_of, find_model, load_model
    from speechvq.prior_folder import load_prior
    from speechvq.sampling.generation import sample_codes

    torch.set_num_threads(1)
    folder = find_model(options.model)
    model = load_model(folder)
    prior = load_prior(folder, codebook_of(model))
    length = max(1, round(options.seconds * model.frame_rate))
    durations: dict[int, list[float]] = {count: [] for count in UTTERANCES}
    for repeat in range(options.repeats + 1):
        for count, times in durations.items():
            started = time.perf_counter()
            sample_codes(prior, length, [prior.speakers[0]] * count)
            if repeat:  # the first turn compiles
                times.append(time.perf_counter() - started)
    rows = []
    for count, times in durations.items():
        codes = count * length
        rows.append(
            {
                "utterances": count,
                "codes_per_second": round(codes / statistics.median(times)),
                "lowest": round(codes / max(times)),
                "highest": round(codes / min(times)),
                "times_real_time": round(codes / statistics.median(times) / model.frame_rate, 1),
            }
        )
    if options.json:
        print(json.dumps(rows))
        return 0
    print("| utterances | codes/s | lowest to highest | times real time |\n|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['utterances']} | {row['codes_per_second']:,} | {row['lowest']:,} to "
            f"{row['highest']:,} | {row['times_real_time']} |"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
