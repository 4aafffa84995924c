#!/usr/bin/env python
"""Measure how a training reads its corpus.

start     seconds and memory until a training has made its first step, by the lines of its manifest
crops     random crops per second from utterances of 35 s, by where they lie
waiting   share of the time of a step that the trainer waits for data

The corpus is made up: noise in syllables. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measure import rates, table

from speechvq import audio
from speechvq.data.manifest import Utterance, read_manifest, write_manifest
from speechvq.data.segments import Waveforms

RATE = 16000
SECONDS = 35.0
CROP = 2.0
FILES = 20
SPEAKERS = 1000
CONFIG = Path(__file__).parents[1] / "recipes" / "librispeech" / "conf"

SERVER = """
import http.server, re, sys

class Ranges(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        first, last = map(int, re.fullmatch(r"bytes=(\\d+)-(\\d+)", self.headers["Range"]).groups())
        with open(self.translate_path(self.path), "rb") as file:
            file.seek(first)
            piece = file.read(last + 1 - first)
        self.send_response(206)
        self.send_header("Content-Length", str(len(piece)))
        self.end_headers()
        self.wfile.write(piece)

    def log_message(self, *arguments):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ranges)
print(server.server_port, flush=True)
server.serve_forever()
"""
TRAIN = """
import json, resource, sys, time
began = time.perf_counter()
from speechvq.cli.train import main
from speechvq.training.trainer import Trainer
from torch.utils.data import DataLoader

found = {"waited": 0.0}
step = Trainer._step

def timed(self, *arguments):
    step(self, *arguments)
    found.setdefault("first_step", time.perf_counter() - began)
    found["last_step"] = time.perf_counter() - began

class Waited:
    def __init__(self, batches):
        self.batches = batches

    def __next__(self):
        started = time.perf_counter()
        batch = next(self.batches)
        if "first_step" in found:
            found["waited"] += time.perf_counter() - started
        return batch

iterate = DataLoader.__iter__
DataLoader.__iter__ = lambda self: Waited(iterate(self))
Trainer._step = timed
code = main(sys.argv[1:])
found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(found))
sys.exit(code)
"""


def recording(seed: int, seconds: float = SECONDS) -> np.ndarray:
    """Noise (T,) of four syllables a second, softer at high frequencies, with pauses."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.convolve(rng.normal(size=len(time)), np.exp(-np.arange(32) / 8), mode="same")
    envelope = np.clip(np.sin(2 * np.pi * 4 * time), 0, None) * (np.sin(time) > -0.8)
    return (0.04 * noise * envelope + 1e-4 * rng.normal(size=len(time))).astype(np.float32)


def write_corpora(folder: Path, only: tuple[str, ...] = ()) -> dict[str, list[Utterance]]:
    """Write the same recordings as files of several kinds and as a tar; utterances by kind."""
    kinds = only or ("wav", "flac", "ogg", "opus", "mp3", "tar")
    found: dict[str, list[Utterance]] = {kind: [] for kind in kinds}
    for i in range(FILES):
        waveform, speaker = recording(i), f"s{i % 4}"
        for kind in kinds:
            path = folder / f"{i}.{kind.replace('tar', 'flac')}"
            _write(path, waveform)
            found[kind].append(Utterance(f"{speaker}_{i}", speaker, str(path), SECONDS))
    if "tar" in kinds:
        with tarfile.open(folder / "shard.tar", "w") as tar:
            for u in found["tar"]:
                tar.add(u.path, Path(u.path).name)
        with tarfile.open(folder / "shard.tar") as tar:
            found["tar"] = [
                Utterance(u.id, u.speaker, f"{folder}/shard.tar:{m.offset_data}:{m.size}", SECONDS)
                for u, m in zip(found["tar"], tar, strict=True)
            ]
    return found


def _write(path: Path, waveform: np.ndarray) -> None:
    import soundfile

    form = {".opus": ("OGG", "OPUS"), ".mp3": ("MP3", None)}.get(path.suffix, (None, None))
    soundfile.write(path, waveform, RATE, format=form[0], subtype=form[1])


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """URL of a server of the files of a folder, in a process of its own."""
    command = [sys.executable, "-c", SERVER]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()


def at_url(utterances: list[Utterance], folder: Path, url: str) -> list[Utterance]:
    """The utterances of a folder, as a server has them."""
    return [
        Utterance(u.id, u.speaker, u.path.replace(str(folder), url), u.duration) for u in utterances
    ]


def crops(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Crops of `CROP` seconds per second of one process, and of whole files for comparison."""
    from speechvq.audio import opening

    with tempfile.TemporaryDirectory() as temporary, served(Path(temporary)) as url:
        folder = Path(temporary)
        kinds = write_corpora(folder)
        kinds["tar at a URL"] = at_url(kinds["tar"], folder, url)
        rng = np.random.default_rng(0)

        def task(utterances: list[Utterance], whole: bool) -> Callable[[int], int]:
            waveforms = Waveforms(utterances, RATE, cache_bytes=0)

            def draw(times: int) -> int:
                for _ in range(times):
                    i, start = int(rng.integers(FILES)), int(rng.integers(33 * RATE))
                    opening._findings.clear()  # in a large corpus each file is a new one
                    if whole:
                        audio.read(utterances[i].path, RATE)
                    else:
                        waveforms.crop(i, start, round(CROP * RATE))
                return times

            return draw

        tasks = {
            (kind, how): task(utterances, how == "whole")
            for kind, utterances in kinds.items()
            for how in ("crop", "whole")
        }
        found = rates(tasks, options)
        sizes = {kind: _bytes(own) for kind, own in kinds.items()}
    middle = {name: float(np.median(turns)) for name, turns in found.items()}
    return [
        {
            "source": kind,
            "MB_of_a_file": sizes[kind] / 1e6,
            "crops_per_second": middle[kind, "crop"],
            "lowest_to_highest": [min(found[kind, "crop"]), max(found[kind, "crop"])],
            "whole_files_per_second": middle[kind, "whole"],
            "times": middle[kind, "crop"] / middle[kind, "whole"],
        }
        for kind in kinds
    ]


def _bytes(utterances: list[Utterance]) -> float:
    part = re.search(r":\d+:(\d+)$", utterances[0].path)
    return float(part[1]) if part else os.path.getsize(utterances[0].path)


def train(manifest: Path, config: str, out: Path, steps: int, workers: int) -> dict[str, float]:
    """Train one stage for some steps; what `TRAIN` finds."""
    options = [
        *("--config", str(CONFIG / config), "--data.train", str(manifest)),
        *("--data.valid", str(manifest.parent / "valid.jsonl"), "--out", str(out), "--overwrite"),
        *("--stages.warm_up.steps", str(steps), "--stages.codes.steps", "0"),
        *("--stages.decoder.steps", "0", "--training.workers", str(workers)),
        *("--training.valid_utterances", "1", "--training.log_every", "1000"),
        *("--training.checkpoint_every", "1000", "--training.tensorboard", "false"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, *options], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def start(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Seconds and memory until the first step, by the lines of a manifest."""
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder = Path(temporary)
        utterances = write_corpora(folder, ("flac",))["flac"]
        write_manifest(folder / "valid.jsonl", [Utterance("v", "00000", utterances[0].path, 5.0)])
        for lines in options.lines:
            path = folder / "train.jsonl"
            with open(path, "w") as file:
                for i in range(lines):
                    seconds = 5 + i * 7919 % 1000 / 40
                    speaker = f"{i % min(SPEAKERS, lines // 10):05d}"
                    file.write(
                        f'{{"id": "{speaker}-{i:08d}", "speaker": "{speaker}", '
                        f'"path": "{utterances[i % FILES].path}", "duration": {seconds}, '
                        '"text": "he was not there when the train came in at last"}\n'
                    )
            if not rows:
                read_manifest(path)  # what is compiled or cached is, from here on
            found = train(path, "tiny.yaml", folder / "out", steps=2, workers=1)
            began = time.perf_counter()
            kept = read_manifest(path)
            rows.append(
                {
                    "lines": lines,
                    "hours": round(float(kept.columns.durations.sum()) / 3600),
                    "MB_of_manifest": round(path.stat().st_size / 1e6),
                    "reading,_s": time.perf_counter() - began,
                    "first_step,_s": found["first_step"],
                    "peak_MB": round(found["peak"]),
                }
            )
            print(json.dumps(rows[-1]), file=sys.stderr)
    return rows


def waiting(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Share of the time of the trainer's steps, after the first, that it waits for data."""
    rows = []
    with tempfile.TemporaryDirectory() as temporary, served(Path(temporary)) as url:
        folder = Path(temporary)
        kinds = write_corpora(folder, ("wav", "flac", "tar"))
        kinds["tar at a URL"] = at_url(kinds["tar"], folder, url)
        for kind, utterances in kinds.items():
            for workers in options.workers:
                many = [  # more than a training keeps in memory
                    Utterance(f"{u.id}_{i}", u.speaker, u.path, u.duration)
                    for i in range(2 if options.quick else 100)
                    for u in utterances
                ]
                write_manifest(folder / "train.jsonl", many)
                write_manifest(folder / "valid.jsonl", utterances[:1])
                config = "tiny.yaml" if options.quick else options.config
                found = train(
                    folder / "train.jsonl", config, folder / "out", options.steps, workers
                )
                steps = found["last_step"] - found["first_step"]
                rows.append(
                    {
                        "source": kind,
                        "processes_that_load": workers,
                        "ms_a_step": 1000 * steps / (options.steps - 1),
                        "waiting,_%": 100 * found["waited"] / steps,
                    }
                )
                print(json.dumps(rows[-1]), file=sys.stderr)
    return rows


PARTS = {"start": start, "crops": crops, "waiting": waiting}


def main(argv: list[str] | None = None) -> int:
    """Measure and print the tables."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    add = parser.add_argument
    add("--only", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART")
    add("--lines", nargs="+", type=int, default=[1000, 10_000, 100_000, 1_000_000], metavar="N",
        help="lines of manifests; 10000000 takes 2 GB of disk and some minutes")  # fmt: skip
    add("--folder", metavar="DIR", help="where manifests are made (default: the temporary folder)")
    add("--config", default="real.yaml", help="of the training, in the recipe (default: real.yaml)")
    add("--workers", nargs="+", type=int, default=[0, 1], metavar="N", help="processes that load")
    add("--steps", type=int, default=12, help="of a training (default: 12)")
    add("--repeats", type=int, default=5)
    add("--seconds", type=float, default=1.0, help="of a task in each turn")
    add("--quick", action="store_true", help="shows that it runs")
    add("--json", action="store_true")
    options = parser.parse_args(argv)
    if options.quick:
        options.lines, options.workers, options.steps = [1000], [1], 3
        options.repeats, options.seconds = 1, 0.01
    found = {part: PARTS[part](options) for part in options.only}
    print(json.dumps(found) if options.json else "\n\n".join(map(table, found.values())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
