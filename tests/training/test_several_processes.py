"""Every stage in several processes, as torchrun would start them, and in one."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from several import ROWS, cases, command, train_all

from speechvq.codes import Codebook, write_codes
from speechvq.data.manifest import read_manifest
from speechvq.training.checkpoint import LAST, _load, read_header
from speechvq.training.metrics import FILE

ROOT = Path(__file__).parents[2]
NAMES = ("ema", "loss", "product", "prior")
SEVERAL = [pytest.param(2, marks=pytest.mark.slow), 3]
FIRST = 1e-6
"""Sums of float32 in another order differ by a few times 2^-24, relatively, before any step."""
LATER = 1e-4
"""Adam scales what is rounding in a gradient near zero up to a whole step."""
FLIPPED = 1e-2
"""On some processors a latent between two of the product codes gets the other one by it."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_config, tiny_streaming_config, tiny_corpus, launch):
    """Folders of the trainings in so many processes, and what each process told of errors."""
    folder = tmp_path_factory.mktemp("several")
    random = np.random.default_rng(0)
    listed = [*read_manifest(tiny_corpus.train), *read_manifest(tiny_corpus.valid)]
    labels = {u.id: random.integers(8, size=round(u.duration * 100)) for u in listed}
    write_codes(folder / "labels.txt", Codebook(8, 80, 8000, "units"), labels)
    all_cases = cases(tiny_config, tiny_streaming_config, str(folder / "labels.txt"))
    made = {}

    def of(count):
        if count not in made:
            out = folder / str(count)
            arguments = all_cases, tiny_corpus, str(out), 0, str(folder / "1" / "product")
            if count == 1:
                train_all(*arguments)
                made[1] = out, []
            else:
                of(1)
                program = "from speechvq.config import *\nfrom several import train_all\n"
                made[count] = out, launch(f"{program}train_all{arguments!r}", count)
        return made[count]

    return of


@pytest.mark.parametrize("count", SEVERAL)
def test_all_processes_have_the_same_weights_and_codebook(trained, count):
    """To the last bit, after each step: `watched` says where they do not."""
    assert trained(count)[1] == [""] * count


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", SEVERAL)
def test_the_rows_of_all_are_the_batch_of_one(trained, count, name):
    """In this order, each once: segments, labels, perturbed inputs, and padding."""
    one, several = (json.loads((trained(n)[0] / name / ROWS).read_text()) for n in (1, count))
    assert several == one
    assert all(len(rows) == 6 for rows in one)
    assert sum(len(set(rows)) for rows in one) > 4 * len(one)  # short speech is drawn twice


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", SEVERAL)
def test_the_loss_is_that_of_one_process_to_rounding(trained, count, name, read_lines):
    one, several = (read_lines(trained(n)[0] / name / FILE) for n in (1, count))
    assert [(r["kind"], r["stage"], r["step"]) for r in several] == [
        (r["kind"], r["stage"], r["step"]) for r in one
    ]
    first = {"loss", "gradient_norm"}
    assert [several[0][k] for k in first] == pytest.approx([one[0][k] for k in first], rel=FIRST)
    near = FLIPPED if name == "product" else LATER
    for record, expected in zip(several, one, strict=True):
        for key in record.keys() & {"loss", "perplexity", "dead_codes", "commitment_loss"}:
            assert record[key] == pytest.approx(expected[key], rel=near), (expected, key)


@pytest.mark.parametrize("count", SEVERAL)
def test_each_process_finds_its_share_of_the_codes_of_a_prior(trained, count):
    for part in ("train", "valid"):
        one, several = (trained(n)[0] / "prior" / "codes" / f"{part}.txt" for n in (1, count))
        assert several.read_bytes() == one.read_bytes()


@pytest.fixture(scope="module")
def argv(tiny_corpus):
    """Options of speechvq-train for three stages of thirty steps in all, but for --out."""
    options = {"data.train": tiny_corpus.train, "data.valid": tiny_corpus.valid, "device": "cpu"}
    options |= {f"stages.{name}.batch_size": 6 for name in ("cepstra", "mel_predictor", "decoder")}
    options |= {"training.log_every": 1, "training.checkpoint_every": 5, "training.samples": 0}
    listed = ["--config", str(ROOT / "recipes" / "vctk" / "conf" / "tiny.yaml"), "--resume"]
    return [*listed, *(x for key, value in options.items() for x in (f"--{key}", str(value)))]


@pytest.fixture(scope="module")
def straight(argv, tmp_path_factory):
    """A training without a stop, in one process."""
    folder = tmp_path_factory.mktemp("straight")
    assert command([*argv, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def killed(argv, tmp_path_factory, launch):
    """A training of so many processes, the last of which was killed at step 16; what all told."""
    made = {}

    def of(count):
        if count not in made:
            out = tmp_path_factory.mktemp(f"killed-{count}")
            made[count] = out, run(launch, count, [*argv, "--out", str(out)], count - 1, 15)
        return made[count]

    return of


def run(launch, count, argv, *kill):
    program = "import sys\nfrom several import command\n"
    return launch(f"{program}sys.exit(command{(argv, *kill)!r})", count)


def test_a_killed_process_ends_the_others_in_one_line(killed):
    folder, errors = killed(2)
    last = errors[0].splitlines()[-1]
    assert last.startswith("speechvq-train: error: process 0 of 2: lost another one")
    assert last.endswith("the same command with --resume goes on")
    assert "Traceback" not in errors[0]
    assert read_header(folder / LAST)[0].global_step == 13  # two steps are done again


@pytest.mark.parametrize(
    ("before", "after"),
    [(2, 1), (2, 3), *(pytest.param(*x, marks=pytest.mark.slow) for x in ((1, 2), (3, 2), (3, 1)))],
)
def test_another_number_of_processes_goes_on(
    before, after, killed, straight, argv, launch, tmp_path, read_lines
):
    folder = tmp_path / "out"
    shutil.copytree(killed(before)[0], folder)
    more = [*argv, "--out", str(folder)]
    assert [command(more)] == [0] if after == 1 else run(launch, after, more) == [""] * after
    found, expected = read_lines(folder / FILE), read_lines(straight / FILE)
    assert len(found) == len(expected) > 30
    for record, other in zip(found, expected, strict=True):
        assert [record[k] for k in ("kind", "global_step")] == [
            other[k] for k in ("kind", "global_step")
        ]
        for key in record.keys() & {"loss", "learning_rate", "perplexity"}:
            assert record[key] == pytest.approx(other[key], rel=LATER), (other, key)
    states = [read_header(place / LAST)[0] for place in (folder, straight)]
    assert states[0].best == pytest.approx(states[1].best, rel=LATER)
    saved, other = _load(folder / LAST), _load(straight / LAST)
    for name in (name for name in saved if name.endswith(".step")):  # of the optimiser
        assert saved[name] == other[name] > 0
