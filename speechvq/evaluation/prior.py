"""What a prior knows of the codes of speech, and how its unconditional generation compares with it.

Bits per code of held-out speech are compared with those of n-grams; phones and durations of sampled
codes are compared with those of held-out speech by Jensen-Shannon divergences. Of product codes the
n-grams are of each codebook apart, and phones are those of the first codebook's codes.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from speechvq.analysis.bootstrap import Estimate, ratio
from speechvq.analysis.frames import frame_labels
from speechvq.analysis.generation import Counter, divergences
from speechvq.analysis.ngrams import NGram
from speechvq.analysis.phonemes import code_to_phone
from speechvq.data.manifest import Utterance, read_known
from speechvq.data.subsets import decodable
from speechvq.evaluation.likelihood import bits_per_sample
from speechvq.model import Model
from speechvq.models.prior import Prior
from speechvq.progress import Progress
from speechvq.sampling.generation import sample_codes
from speechvq.sampling.utterances import encode_utterances
from speechvq.training.prior import codes_of, held_out_bits

logger = logging.getLogger(__name__)

UNIFORM, LEARNED = "uniform (log2 K)", "prior"
TRAINING, HELD_OUT = "training speech", "held-out speech"
DRAWN, BIGRAM = "drawn from the prior", "drawn from the bigram"
NGRAMS = {"unigram": 1, "bigram": 2, "trigram": 3}


@dataclass(frozen=True)
class CodesOfSpeech:
    """The utterances of a manifest and their codes, (N,) or (N, G)."""

    manifest: str
    utterances: Sequence[Utterance]
    codes: list[np.ndarray]


@dataclass(frozen=True)
class PhoneCounts:
    """The phones of codes, and for each set of utterances counts (U, X) by distribution."""

    phones: np.ndarray
    counts: dict[str, dict[str, np.ndarray]]

    @property
    def divergences(self) -> dict[str, dict[str, Estimate]]:
        """Of each set from held-out speech, by distribution, in bits."""
        return {
            name: divergences(counts, self.counts[HELD_OUT])
            for name, counts in self.counts.items()
            if name != HELD_OUT
        }


@dataclass(frozen=True)
class PriorEvaluation:
    """Bits of held-out speech and, with phone labels, divergences of sampled codes.

    Attributes
    ----------
    bits_per_code : dict
        By the name of the prior. Of product codes, sums over the codebooks.
    decoder_bits_per_second : float
        Of waveforms given codes, the reconstruction term of the ELBO.
    codes : dict
        Number of codes of each set of utterances.
    phone_counts : PhoneCounts or None
        None where the training data has no phone labels.
    divergences : dict
        Estimates by set and distribution, in bits; empty without phone labels.
    """

    codebook_size: int
    codebooks: int
    frame_rate: float
    score_on: str
    seed: int
    bits_per_code: dict[str, Estimate]
    decoder_bits_per_second: float
    codes: dict[str, int]
    phone_counts: PhoneCounts | None
    divergences: dict[str, dict[str, Estimate]]

    def to_dict(self) -> dict[str, Any]:
        """What `scores.json` has of it."""
        return {
            "codebook_size": self.codebook_size,
            "codebooks": self.codebooks,
            "frame_rate": self.frame_rate,
            "score_on": self.score_on,
            "codes": self.codes[HELD_OUT],
            "seed": self.seed,
            "bits_per_code": self.bits_per_code,
            "decoder_bits_per_second": self.decoder_bits_per_second,
            "divergences": self.divergences,
        }


def evaluate_prior(
    model: Model,
    prior: Prior,
    train: CodesOfSpeech,
    held_out: CodesOfSpeech,
    times: int = 10,
    seed: int = 0,
    progress: Progress = lambda items, _: items,
) -> PriorEvaluation:
    """Score a prior on held-out speech, and compare codes drawn from the prior with that speech.

    Parameters
    ----------
    model
        The codes are of this model.
    prior
        The prior to score.
    train
        The speech that the prior was trained on; the n-grams are fitted to its codes.
    held_out
        Other speech.
    times
        As many times the codes of the held-out speech are drawn.
    seed
        Of what is drawn.
    progress
        Shows a progress bar.
    """
    K, G = prior.codebook_size, prior.codebooks
    of_codebooks = [of_codebook(train.codes, g) for g in range(G)]
    ngrams = {
        name: [NGram(codes, order, K) for codes in of_codebooks] for name, order in NGRAMS.items()
    }
    bits = bits_per_code(prior, ngrams, held_out)
    decoder = bits_per_sample(model, progress(held_out.utterances, "decoder"))
    assert decoder is not None  # there are utterances
    lengths = [len(codes) for codes in held_out.codes] * times
    random = np.random.default_rng(seed)
    speakers = [u.speaker for u in held_out.utterances] * times
    # In lock-step, all as long as the longest, then cut: no code depends on a later one
    seeds = [seed + i for i in range(len(lengths))]
    drawn = sample_codes(prior, max(lengths), speakers, seeds=seeds)
    order = random.permutation(len(train.codes))
    enough = np.cumsum([len(train.codes[i]) for i in order]).searchsorted(sum(lengths)) + 1
    bigram, first = ngrams["bigram"][0], dataclasses.replace(train, codes=of_codebooks[0])
    sets = {
        HELD_OUT: of_codebook(held_out.codes, 0),
        DRAWN: [codes[:n] for codes, n in zip(of_codebook(drawn, 0), lengths, strict=True)],
        BIGRAM: [bigram.sample(n, random) for n in progress(lengths, "bigram")],
        TRAINING: [first.codes[i] for i in order[:enough]],
    }
    counts = phone_counts(model, first, sets)
    return PriorEvaluation(
        K,
        G,
        model.frame_rate,
        held_out.manifest,
        seed,
        bits,
        decoder.value * model.sample_rate,
        {name: sum(map(len, utterances)) for name, utterances in sets.items()},
        counts,
        {} if counts is None else counts.divergences,
    )


def read_codes_of_speech(
    model: Model,
    manifest: str,
    kept: Path | None = None,
    progress: Progress = lambda items, _: items,
) -> CodesOfSpeech:
    """Utterances of the model's speakers, with codes from the file `kept`, else encoded now."""
    known = read_known(manifest, model.speakers, "the model")
    if kept is not None and kept.is_file():
        return CodesOfSpeech(manifest, known, codes_of(model, known, kept, manifest))
    utterances = decodable(known)
    encoded = encode_utterances(model, progress(utterances, f"encode {Path(manifest).name}"))
    return CodesOfSpeech(manifest, utterances, [e.codes for e in encoded])


def of_codebook(utterances: list[np.ndarray], g: int) -> list[np.ndarray]:
    """Codes (N,) of codebook g, of utterances (N,) or (N, G)."""
    return [codes.reshape(len(codes), -1)[:, g] for codes in utterances]


def bits_per_code(
    prior: Prior, ngrams: dict[str, list[NGram]], held_out: CodesOfSpeech
) -> dict[str, Estimate]:
    """Bits per code of held-out speech under the uniform prior, n-grams and the prior.

    Of product codes the bits are sums over the codebooks, of which each has n-grams of its own.
    """
    lengths = [len(codes) for codes in held_out.codes]
    speakers = prior.speaker([u.speaker for u in held_out.utterances]).tolist()
    K, G = prior.codebook_size, prior.codebooks
    found = {UNIFORM: [n * G * math.log2(K) for n in lengths]}
    of_codebooks = [of_codebook(held_out.codes, g) for g in range(G)]
    for name, of_name in ngrams.items():
        of_each = [
            [float(ngram.bits(codes).sum()) for codes in utterances]
            for ngram, utterances in zip(of_name, of_codebooks, strict=True)
        ]
        found[name] = [sum(bits) for bits in zip(*of_each, strict=True)]
    learned = held_out_bits(prior, held_out.codes, speakers)
    found[LEARNED] = [float(bits.sum()) for bits in learned]
    return {name: ratio(sums, lengths) for name, sums in found.items()}


def phone_counts(
    model: Model, train: CodesOfSpeech, sets: dict[str, list[np.ndarray]]
) -> PhoneCounts | None:
    """Count phones in sets of utterances of codes (N,), of one codebook.

    None if no utterance of `train` has phone labels.
    """
    labelled = [i for i, u in enumerate(train.utterances) if u.phones is not None]
    if not labelled:
        logger.warning(
            "%s: no utterance has phones, so codes cannot be mapped to phones; make them with: "
            "speechvq-align", train.manifest,
        )  # fmt: skip
        return None
    labels = [
        frame_labels(train.utterances[i].phones, len(train.codes[i]), 1 / model.frame_rate)
        for i in labelled
    ]
    codes = np.concatenate([train.codes[i] for i in labelled])
    phone_of_code = code_to_phone(codes, np.concatenate(labels), model.codebook_size)
    counter = Counter(phone_of_code, model.frame_rate)
    counts = {name: counter.counts(utterances) for name, utterances in sets.items()}
    return PhoneCounts(counter.phones, counts)
