"""Parsers keep their promise on what once broke it, and on seeds with bytes changed at random."""

import random
import tracemalloc

import pytest
from fuzz.targets import FOUND, TARGETS, kept, seeds

MEMORY = 100_000_000
CHANGED = {"settings": 20, "corpus_names": 40, "configuration": 10, "header": 30, "ffmpeg": 40}
FOUND_FILES = sorted(FOUND.glob("*/*"))


@pytest.mark.parametrize("path", FOUND_FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_was_found(path, tmp_path):
    tracemalloc.start()
    kept(TARGETS[path.parent.name], path.read_bytes(), tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MEMORY


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_that_are_spoilt(name, tmp_path):
    rng = random.Random(name)
    given = seeds(name)
    for seed in given:
        kept(TARGETS[name], seed, tmp_path)
    for _ in range(CHANGED.get(name, 100)):
        content = bytearray(rng.choice(given))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(content) + 1)
            what = bytes(
                rng.choices(
                    rng.choice([b"0", b"\xff", b"\n", b"1e9:[{", range(256)]), k=rng.randint(1, 4)
                )
            )
            content[at : at + rng.randint(0, 6)] = what
        kept(TARGETS[name], bytes(content), tmp_path)
