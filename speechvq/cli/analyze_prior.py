"""speechvq-analyze prior: what a prior has learned, and whether its babble is like the language."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from speechvq.cli.analyzing import beside, manifest, progress
from speechvq.cli.errors import Parser
from speechvq.cli.speaking import whole_number

if TYPE_CHECKING:
    from speechvq.analysis.bootstrap import Estimate
    from speechvq.data.manifest import Utterance
    from speechvq.models.prior import Prior
    from speechvq.models.vqvae import VQVAE

logger = logging.getLogger(__name__)

NOTES = """\
First, bits per code of held-out speech: under the uniform prior, under n-grams of the codes that
the prior learned from (interpolated Kneser-Ney), and under the prior; and what is then the bound on
bits per second of speech, the decoder's part among them.

Then, whether codes drawn from it are like speech: how often each phone comes, which follow each
other, how long segments and pauses last, as Jensen-Shannon divergences from held-out speech, beside
those of as many codes drawn from the bigram and of as much of the speech that was learned from.
Codes stand for the phones that they mostly meet in the training data; this part is left out where
that has no phone labels.

Writes scores.json and babble.png.
"""

UNIFORM, LEARNED = "uniform (log2 K)", "prior"
SPEECH, HELD_OUT = "speech that was learned from", "held-out speech"
DRAWN, BIGRAM = "drawn from the prior", "drawn from the bigram"
NGRAMS = {"unigram": 1, "bigram": 2, "trigram": 3}


def parser() -> Parser:
    """The options of speechvq-analyze prior."""
    parser = Parser("analyze prior", "What has a prior learned, and does it babble?", NOTES)
    add = parser.add_argument
    add("--model", metavar="DIR", help="model folder (default: the last one trained)")
    add("--prior", metavar="DIR", help="prior folder (default: prior in the model folder)")
    add("--train", metavar="FILE", help="manifest that it learned from (default: the model's)")
    add("--score-on", metavar="FILE", help="manifest to score on (default: the model's test data)")
    add("--codes", metavar="DIR",
        help="folder of train.txt, its codes (default: codes in the prior folder)")  # fmt: skip
    add("--out", metavar="DIR", help="folder to write to (default: babble beside the model)")
    add("--times", type=whole_number, default=10, metavar="N",
        help="draw N times as many codes as the held-out speech has (default: 10)")  # fmt: skip
    add("--json", action="store_true", help="print the scores as JSON")
    add("--seed", type=int, default=0, help="of what is drawn (default: %(default)s)")
    return parser


@dataclass
class Part:
    """Utterances and their codes (N,)."""

    manifest: str
    utterances: list[Utterance]
    codes: list[np.ndarray]


def run(options: argparse.Namespace) -> int:
    """Score the prior, write table and picture, and print the scores."""
    from speechvq import model_folder
    from speechvq.prior_folder import CODES, find_prior, load_prior

    folder = model_folder.find_model(options.model)
    config = model_folder.read_config(folder)
    paths = (
        manifest(options.train, config, "train", "--train"),
        manifest(options.score_on, config, "test", "--score-on"),
    )
    model = model_folder.load_model(folder)
    prior_folder = find_prior(options.prior or folder)
    prior = load_prior(prior_folder, model_folder.codebook_of(model))
    kept = Path(options.codes or prior_folder / CODES, "train.txt")
    train, held_out = _encoded(model, paths[0], kept), _encoded(model, paths[1])
    ngrams = _ngrams(train.codes, prior.codebook_size)
    bits = _bits(prior, ngrams, held_out)
    bound = _decoder_bits(model, held_out)
    sets = _sets(prior, ngrams["bigram"], train, held_out, options)
    apart, picture = _divergences(model, train, sets)
    out = Path(options.out) if options.out else beside(folder, "babble")
    result = {
        "model": str(folder),
        "codebook_size": prior.codebook_size,
        "frame_rate": model.frame_rate,
        "score_on": held_out.manifest,
        "codes": sum(map(len, held_out.codes)),
        "seed": options.seed,
        "bits_per_code": {name: dataclasses.asdict(its) for name, its in bits.items()},
        "decoder_bits_per_second": bound,
        "divergences": {
            row: {name: dataclasses.asdict(its) for name, its in found.items()}
            for row, found in apart.items()
        },
    }
    _write(out, result, picture)
    if options.json:
        print(json.dumps(result, indent=1))
    else:
        _report(folder, model, held_out, bits, bound, apart, sets, out)
    return 0


def _encoded(model: VQVAE, path: str, kept: Path | None = None) -> Part:
    """Utterances of the model's speakers, and their codes, from the file that keeps them."""
    from speechvq.data.manifest import read_known
    from speechvq.training.prior import codes_of, find_codes

    known = read_known(path, model.speakers, "the model")
    if kept is not None and kept.is_file():
        return Part(path, known, codes_of(model, known, kept, False, path))
    found = find_codes(model, progress(known, f"encode {Path(path).name}"))
    return Part(path, known, list(found.values()))


def _ngrams(codes: list[np.ndarray], codebook_size: int) -> dict:
    from speechvq.analysis.ngrams import NGram

    return {name: NGram(codes, order, codebook_size) for name, order in NGRAMS.items()}


def _bits(prior: Prior, ngrams: dict, held_out: Part) -> dict[str, Estimate]:
    """Bits per code of the held-out speech, under each of the priors."""
    from speechvq.analysis.bootstrap import ratio
    from speechvq.training.prior import held_out_bits

    lengths = [len(codes) for codes in held_out.codes]
    speakers = prior.speaker([u.speaker for u in held_out.utterances]).tolist()
    found = {UNIFORM: [n * math.log2(prior.codebook_size) for n in lengths]}
    for name, ngram in ngrams.items():
        found[name] = [float(ngram.bits(codes).sum()) for codes in held_out.codes]
    learned = held_out_bits(prior, held_out.codes, speakers)
    found[LEARNED] = [float(bits.sum()) for bits in learned]
    return {name: ratio(sums, lengths) for name, sums in found.items()}


def _decoder_bits(model: VQVAE, held_out: Part) -> float:
    """Bits per second of the waveform given its codes: the reconstruction term of the ELBO."""
    import torch

    from speechvq.data.segments import Waveforms
    from speechvq.training.processes import Processes
    from speechvq.training.validation import Validator

    bits = samples = 0.0
    for u in progress(held_out.utterances, "decoder"):
        waveforms = Waveforms([u], model.sample_rate)
        validator = Validator(model, waveforms, Processes(torch.device("cpu")), bfloat16=False)
        length = float(waveforms.lengths.sum())
        bits += validator.likelihood().metrics["bits_per_sample"] * length
        samples += length
    return bits / samples * model.sample_rate


def _sets(prior: Prior, bigram, train: Part, held_out: Part, options) -> dict[str, list]:
    """Sets of utterances: held-out speech, and three of `--times` as many codes, if there are."""
    from speechvq.sampling.babble import sample_codes

    lengths = [len(codes) for codes in held_out.codes] * options.times
    speakers = [u.speaker for u in held_out.utterances] * options.times
    random = np.random.default_rng(options.seed)
    # All as long as the longest, in lock-step, and cut: what comes later does not change a code
    drawn = sample_codes(
        prior,
        max(lengths),
        speakers,
        seeds=[options.seed + i for i in range(len(lengths))],
    )
    order = random.permutation(len(train.codes))
    enough = np.cumsum([len(train.codes[i]) for i in order]).searchsorted(sum(lengths)) + 1
    return {
        HELD_OUT: held_out.codes,
        DRAWN: [codes[:n] for codes, n in zip(drawn, lengths, strict=True)],
        BIGRAM: [bigram.sample(n, random) for n in progress(lengths, "bigram")],
        SPEECH: [train.codes[i] for i in order[:enough]],
    }


def _divergences(model: VQVAE, train: Part, sets: dict[str, list]) -> tuple[dict, bytes | None]:
    """Of each set from held-out speech, and a picture; nothing where there are no labels."""
    labelled = [i for i, u in enumerate(train.utterances) if u.phones is not None]
    if not labelled:
        logger.warning(
            "%s: no utterance has phones, so that codes stand for none; speechvq-align makes them",
            train.manifest,
        )
        return {}, None
    from speechvq.analysis.babble import Counter, divergences
    from speechvq.analysis.babble_picture import babble_png
    from speechvq.analysis.frames import frame_labels, normalise
    from speechvq.analysis.phonemes import code_to_phone

    codes = np.concatenate([train.codes[i] for i in labelled])
    labels = np.concatenate(
        [
            frame_labels(
                normalise(train.utterances[i].phones), len(train.codes[i]), 1 / model.frame_rate
            )
            for i in labelled
        ]
    )
    counter = Counter(code_to_phone(codes, labels, model.config.codebook_size), model.frame_rate)
    counts = {name: counter.counts(utterances) for name, utterances in sets.items()}
    found = {
        name: divergences(its, counts[HELD_OUT]) for name, its in counts.items() if name != HELD_OUT
    }
    shown = {name: counts[name] for name in (HELD_OUT, DRAWN, BIGRAM)}
    title = "Speech, and codes that nobody has said, as the phones that codes stand for"
    return found, babble_png(counter.phones, shown, model.frame_rate, title)


def _write(out: Path, result: dict, picture: bytes | None) -> None:
    from speechvq.audio import write_bytes

    write_bytes(out / "scores.json", (json.dumps(result, indent=1) + "\n").encode())
    if picture is not None:
        write_bytes(out / "babble.png", picture)


def _report(folder, model, held_out, bits, bound, apart, sets, out) -> None:
    from speechvq.analysis.babble import DISTRIBUTIONS

    rate = model.frame_rate
    print(f"model      {folder}")
    print(f"scored on  {held_out.manifest} ({sum(map(len, held_out.codes)):,} codes)\n")
    print(f"{'prior':18}{'bits per code':>32}{'bits/s of codes':>18}{'bits/s in all':>16}")
    for name, its in bits.items():
        interval = "" if math.isnan(its.low) else f"({its.low:.3f} to {its.high:.3f})"
        print(
            f"{name:18}{its.value:>9.3f} {interval:>22}{its.value * rate:>18.1f}"
            f"{its.value * rate + bound:>16,.0f}"
        )
    print(f"\nof all bits, the decoder's are {bound:,.0f} a second")
    if apart:
        print("\ndivergence from held-out speech, in bits")
        print(f"{'':30}{'codes':>9}" + "".join(f"{name:>24}" for name in DISTRIBUTIONS))
        for name, its in apart.items():
            cells = [f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})" for e in its.values()]
            codes = sum(map(len, sets[name]))
            print(f"{name:30}{codes:>9,}" + "".join(f"{cell:>24}" for cell in cells))
    print(f"\nwritten    {out}/: scores.json" + (", babble.png" if apart else ""))
