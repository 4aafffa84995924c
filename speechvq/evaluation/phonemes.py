"""How well the codes of a model tell phones, beside baselines with the same number of codes.

Each code is mapped to its most likely phone on one part of the data; the map is scored on another
part. The phone of a code is the one at the centre of the code's frame. Product codes are mapped by
a linear classifier, and each of their codebooks is scored alone, too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from speechvq.analysis.baselines import kmeans_codes, mfcc
from speechvq.analysis.bootstrap import Estimate
from speechvq.analysis.boundaries import BoundaryScores, segmentations
from speechvq.analysis.confusion import PhoneRecall, phone_recalls
from speechvq.analysis.frames import frame_labels
from speechvq.analysis.phonemes import (
    PhonemeScores,
    accuracy_gain,
    phone_map,
    score,
    score_map,
)
from speechvq.config import SpeakerNormalisationConfig
from speechvq.data.label_names import doubt_classes
from speechvq.data.manifest import CorpusError, Utterance, read_usable
from speechvq.data.subsets import within_minutes
from speechvq.evaluation.normalised import speaker_normalised_cepstra, whitened_kmeans
from speechvq.model import Model
from speechvq.progress import Progress
from speechvq.sampling.utterances import Encoded, encode_utterances

logger = logging.getLogger(__name__)

LEARNED, UNTRAINED, MFCC = "learned codes", "untrained encoder", "MFCC k-means"
NORMALISED = "k-means of speaker-normalised cepstra"
WHITENED = "the same, whitened within clusters"
CHANGES, PHONE_CHANGES = "changes of learned codes", "changes of their phones"
WELL_USED = 4
"""A codebook is poorly used if its perplexity is below K divided by this."""


@dataclass(frozen=True)
class LabelledCodes:
    """The speech to map on or to score on, with the phone labels (N,) of each utterance."""

    manifest: str
    speech: list[Encoded]
    labels: list[np.ndarray]

    @property
    def codes(self) -> list[np.ndarray]:
        """Codes (N,), of product codes (N, G), of each utterance."""
        return [encoded.codes for encoded in self.speech]

    @property
    def frames(self) -> list[int]:
        """Number of codes of each utterance."""
        return [len(codes) for codes in self.codes]

    @property
    def description(self) -> str:
        """The manifest and its size."""
        return f"{self.manifest} ({len(self.speech)} utterances, {sum(self.frames):,} frames)"


@dataclass(frozen=True)
class PhonemeEvaluation:
    """Scores of the learned codes and the baselines, by name, and the data they come from.

    `predicted` are the phones (M,) that the learned codes of the scored frames are mapped to;
    `accuracy_gains` has their accuracy above that of each baseline, paired by utterance.
    `boundaries` has the agreement of code changes with phone changes by the kind of codes, and
    `recalls` the recall of each phone by the learned codes.
    """

    codebooks: int
    codebook_size: int
    frame_rate: float
    bitrate: float
    mapped: LabelledCodes
    scored: LabelledCodes
    scores: dict[str, PhonemeScores]
    predicted: np.ndarray
    accuracy_gains: dict[str, Estimate]
    seed: int
    boundaries: dict[str, BoundaryScores]
    recalls: list[PhoneRecall]

    @property
    def perplexity(self) -> float:
        """The perplexity of the learned codes; of several codebooks the lowest."""
        of_each = (self.scores[name].perplexity for name in codebook_names(self.codebooks))
        return min(perplexity for perplexity in of_each if perplexity is not None)

    @property
    def codebook_well_used(self) -> bool:
        """Whether the perplexity of each codebook is at least K / `WELL_USED`."""
        return self.perplexity >= self.codebook_size / WELL_USED

    def to_dict(self) -> dict[str, Any]:
        """What `scores.json` has of it."""
        return {
            "codebooks": self.codebooks,
            "codebook_size": self.codebook_size,
            "frame_rate": self.frame_rate,
            "bitrate": self.bitrate,
            "phone_classes": self.scores[LEARNED].phone_classes,
            "map_on": self.mapped.manifest,
            "score_on": self.scored.manifest,
            "seed": self.seed,
            "codebook_well_used": self.codebook_well_used,
            "scores": self.scores,
            "accuracy_gains": self.accuracy_gains,
            "boundaries": self.boundaries,
        }


def codebook_names(codebooks: int) -> list[str]:
    """Names of the rows with the scores of each codebook."""
    if codebooks == 1:
        return [LEARNED]
    return [f"codebook {g} of {codebooks}" for g in range(1, codebooks + 1)]


def evaluate_phonemes(
    model: Model,
    map_on: tuple[str, Sequence[Utterance]],
    score_on: tuple[str, Sequence[Utterance]],
    baselines: bool = True,
    seed: int = 0,
    progress: Progress = lambda items, _: items,
    normalisation: SpeakerNormalisationConfig | None = None,
    others: Mapping[str, Callable[[Encoded], np.ndarray]] | None = None,
) -> PhonemeEvaluation:
    """Score the codes of a model, and baselines, as labels of phones.

    Parameters
    ----------
    model
        Gives the codes, and K.
    map_on, score_on
        The name of a manifest, and its utterances with phone labels.
    baselines
        Whether to score k-means codes of MFCCs, of speaker-normalised cepstra and of the latents
        of an untrained encoder, too.
    seed
        Of the baselines, and of the frames that the map of product codes is fitted on.
    progress
        Shows a progress bar.
    normalisation
        Of the baseline of speaker-normalised cepstra: the model's own (`normalisation_of`), or the
        default.
    others
        Features (N, D) of further baselines, by name.
    """
    mapped, scored = (
        label_codes(model, path, progress(utterances, f"encode {Path(path).name}"))
        for path, utterances in (map_on, score_on)
    )
    G, K = model.codebooks, model.codebook_size
    map_codes, score_codes = np.concatenate(mapped.codes), np.concatenate(scored.codes)
    map_labels, score_labels = np.concatenate(mapped.labels), np.concatenate(scored.labels)
    index = np.repeat(np.arange(len(scored.speech)), scored.frames)
    with one_thread():
        predicted = phone_map(map_codes, map_labels, K, seed)(score_codes)
    scores = {}
    if G > 1:  # one codebook has this row, with all of its scores, below
        scores[LEARNED] = score_map(predicted, map_labels, score_labels, K, index)
    by_codebook = map_codes.reshape(-1, G).T, score_codes.reshape(-1, G).T
    codes = dict(zip(codebook_names(G), zip(*by_codebook, strict=True), strict=True))
    gains = {}
    if baselines:
        found = baseline_codes(model, mapped, scored, normalisation, seed, progress, others)
        codes |= {
            name: (np.concatenate(to_map), np.concatenate(to_score))
            for name, (to_map, to_score) in found.items()
        }
        for name in found:
            to_map, to_score = codes[name]
            by_baseline = phone_map(to_map, map_labels, K)(to_score)
            gains[name] = accuracy_gain(predicted, by_baseline, score_labels, index)
    scores |= {
        name: score(to_map, map_labels, to_score, score_labels, K, index)
        for name, (to_map, to_score) in codes.items()
    }
    rates = model.frame_rate, model.bitrate
    return PhonemeEvaluation(
        G, K, *rates, mapped, scored, scores, predicted, gains, seed,
        _boundaries(scored, predicted, model.frame_rate, seed),
        phone_recalls(score_labels, predicted, index),
    )  # fmt: skip


def _boundaries(
    scored: LabelledCodes, predicted: np.ndarray, frame_rate: float, seed: int
) -> dict[str, BoundaryScores]:
    """Agreement of changes of the learned codes, and of the phones they stand for, with phones."""
    G = scored.codes[0].reshape(scored.frames[0], -1).shape[1]
    kinds: dict[str, Sequence[np.ndarray]] = {CHANGES: scored.codes}
    if G > 1:
        kinds |= {
            f"changes of {name}": [codes[:, g] for codes in scored.codes]
            for g, name in enumerate(codebook_names(G))
        }
    kinds[PHONE_CHANGES] = np.split(predicted, np.cumsum(scored.frames)[:-1])
    utterances = [e.utterance for e in scored.speech]
    phones, seconds = [u.phones or () for u in utterances], [u.duration for u in utterances]
    return segmentations(kinds, phones, seconds, 1 / frame_rate, seed)


def label_codes(model: Model, manifest: str, utterances: Iterable[Utterance]) -> LabelledCodes:
    """Encode utterances and label each code with a phone."""
    speech = list(encode_utterances(model, utterances))
    labels = [frame_labels(e.utterance.phones, len(e.codes), 1 / model.frame_rate) for e in speech]
    return LabelledCodes(manifest, speech, labels)


def labelled_utterances(path: str, max_minutes: float, seed: int) -> list[Utterance]:
    """Draw utterances with phone labels from a manifest, at most `max_minutes` of speech.

    Raises
    ------
    CorpusError
        No utterance of the manifest has phone labels.
    """
    utterances = read_usable(path)
    labelled = [u for u in utterances if u.phones is not None]
    if not labelled:
        raise CorpusError(
            f"{path}:1: no utterance has phones; make them with: speechvq-align {path}"
        )
    if len(labelled) < len(utterances):
        logger.warning(
            "%s: %d of %d utterances have no phones and are left out",
            path, len(utterances) - len(labelled), len(utterances),
        )  # fmt: skip
    if doubt := doubt_classes(phone.label for u in labelled for phone in u.phones or ()):
        logger.warning("%s: %s", path, doubt)
    return within_minutes(labelled, path, max_minutes, seed)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: last digits depend on their number, and clusters on last digits."""
    import sklearn.cluster  # what is not loaded yet would not be limited
    import sklearn.linear_model  # noqa: F401
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


@one_thread()
def baseline_codes(
    model: Model,
    mapped: LabelledCodes,
    scored: LabelledCodes,
    normalisation: SpeakerNormalisationConfig | None,
    seed: int,
    progress: Progress,
    others: Mapping[str, Callable[[Encoded], np.ndarray]] | None = None,
) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    """Codes (N,) of both parts by k-means with the model's K, on several kinds of features."""
    K = model.codebook_size
    if (frames := sum(mapped.frames)) < K:
        logger.warning("%d frames are too few for %d clusters: no baselines", frames, K)
        return {}
    found = {}
    own = _baseline_features(model, mapped, scored, normalisation, seed)
    for name, features in (own | dict(others or {})).items():
        to_map, to_score = (
            [features(e) for e in progress(p.speech, name)] for p in (mapped, scored)
        )
        found[name] = kmeans_codes(to_map, to_score, K, seed)
        if name == NORMALISED:
            found[WHITENED] = whitened_kmeans(to_map, to_score, K, seed)
    return found


def _baseline_features(
    model: Model,
    mapped: LabelledCodes,
    scored: LabelledCodes,
    normalisation: SpeakerNormalisationConfig | None,
    seed: int,
) -> dict[str, Callable[[Encoded], np.ndarray]]:
    """From encoded utterances to features (N, D), by the name of the baseline."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        untrained = Model(model.config, model.speakers).eval()
    device = model.device
    untrained.to(device)

    @torch.no_grad()
    def latents(e: Encoded) -> np.ndarray:
        return untrained.latents(torch.from_numpy(e.waveform)[None].to(device))[0].cpu().numpy()

    rate, hop_length = model.sample_rate, model.hop_length
    features = {
        UNTRAINED: latents,
        MFCC: lambda e: mfcc(e.waveform, rate, hop_length, len(e.codes)),
    }
    speakers = {e.utterance.speaker for e in mapped.speech}
    unknown = {e.utterance.speaker for e in scored.speech} - speakers
    if unknown:
        logger.warning(
            "no %s: nothing to fit the transforms of %s on among the utterances that codes are "
            "mapped on", NORMALISED, ", ".join(sorted(unknown)),
        )  # fmt: skip
        return features
    normalised = speaker_normalised_cepstra(
        [e.utterance for e in mapped.speech],
        rate,
        hop_length,
        model.config.quantizer.codebook_dim,
        seed,
        normalisation,
    )
    return features | {NORMALISED: lambda e: normalised(e.waveform, e.utterance.speaker)}
