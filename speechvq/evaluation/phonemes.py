"""How well the codes of a model tell phones, beside baselines with the same number of codes.

Each code is mapped to its most likely phone on one part of the data; the map is scored on another
part. The phone of a code is the one at the centre of the code's frame.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from speechvq.analysis.baselines import kmeans_codes, mfcc
from speechvq.analysis.frames import frame_labels, normalise
from speechvq.analysis.phonemes import PhonemeScores, score
from speechvq.config import SpeakerNormalisationConfig
from speechvq.data.label_names import doubt_classes
from speechvq.data.manifest import CorpusError, Utterance, read_usable
from speechvq.evaluation.normalised import speaker_normalised_cepstra, whitened_kmeans
from speechvq.model import Model, check_one_codebook
from speechvq.sampling.utterances import Encoded, encode_utterances

logger = logging.getLogger(__name__)

LEARNED, UNTRAINED, MFCC = "learned codes", "untrained encoder", "MFCC k-means"
NORMALISED = "k-means of speaker-normalised cepstra"
WHITENED = "the same, whitened within clusters"
WELL_USED = 4
"""A codebook is poorly used if its perplexity is below K divided by this."""

Progress = Callable[[Iterable, str], Iterable]
"""Wraps an iterable and its name, to show a progress bar."""


@dataclass(frozen=True)
class LabelledCodes:
    """The speech to map on or to score on, with the phone labels (N,) of each utterance."""

    manifest: str
    speech: list[Encoded]
    labels: list[np.ndarray]

    @property
    def codes(self) -> list[np.ndarray]:
        """Codes (N,) of each utterance."""
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
    """Scores of the learned codes and the baselines, by name, and the data they come from."""

    codebook_size: int
    frame_rate: float
    bitrate: float
    mapped: LabelledCodes
    scored: LabelledCodes
    scores: dict[str, PhonemeScores]
    seed: int

    @property
    def codebook_well_used(self) -> bool:
        """Whether the perplexity of the learned codes is at least K / `WELL_USED`."""
        return self.scores[LEARNED].perplexity >= self.codebook_size / WELL_USED

    def to_dict(self) -> dict:
        """For JSON."""
        return {
            "codebook_size": self.codebook_size,
            "frame_rate": self.frame_rate,
            "bitrate": self.bitrate,
            "phone_classes": self.scores[LEARNED].phone_classes,
            "map_on": self.mapped.manifest,
            "score_on": self.scored.manifest,
            "seed": self.seed,
            "codebook_well_used": self.codebook_well_used,
            "scores": {name: dataclasses.asdict(row) for name, row in self.scores.items()},
        }


def evaluate_phonemes(
    model: Model,
    map_on: tuple[str, Sequence[Utterance]],
    score_on: tuple[str, Sequence[Utterance]],
    baselines: bool = True,
    seed: int = 0,
    progress: Progress = lambda items, _: items,
    normalisation: SpeakerNormalisationConfig | None = None,
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
        Of the baselines.
    progress
        Shows a progress bar.
    normalisation
        Of the baseline of speaker-normalised cepstra: the model's own (`normalisation_of`), or the
        default.

    Raises
    ------
    ValueError
        The model has product codes.
    """
    check_one_codebook(model, "a phoneme analysis")
    mapped, scored = (
        label_codes(model, path, progress(utterances, f"encode {Path(path).name}"))
        for path, utterances in (map_on, score_on)
    )
    codes = {LEARNED: (mapped.codes, scored.codes)}
    if baselines:
        codes |= baseline_codes(model, mapped, scored, normalisation, seed, progress)
    K = model.codebook_size
    scores = {
        name: score(
            np.concatenate(map_codes),
            np.concatenate(mapped.labels),
            np.concatenate(score_codes),
            np.concatenate(scored.labels),
            K,
            np.repeat(np.arange(len(scored.speech)), scored.frames),
        )
        for name, (map_codes, score_codes) in codes.items()
    }
    bitrate = model.frame_rate * float(np.log2(K))
    return PhonemeEvaluation(K, model.frame_rate, bitrate, mapped, scored, scores, seed)


def label_codes(model: Model, manifest: str, utterances: Iterable[Utterance]) -> LabelledCodes:
    """Encode utterances and label each code with a phone."""
    speech = list(encode_utterances(model, utterances))
    labels = [
        frame_labels(normalise(e.utterance.phones), len(e.codes), 1 / model.frame_rate)
        for e in speech
    ]
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
    if doubt := doubt_classes(phone.label for u in labelled for phone in u.phones):
        logger.warning("%s: %s", path, doubt)
    order = np.random.default_rng(seed).permutation(len(labelled))
    seconds = np.cumsum([labelled[index].duration for index in order])
    count = np.searchsorted(seconds, max_minutes * 60) + 1
    if count < len(labelled):
        logger.info("%s: %d of %d utterances drawn (--max-minutes)", path, count, len(labelled))
    return [labelled[index] for index in sorted(order[:count])]


def baseline_codes(
    model: Model,
    mapped: LabelledCodes,
    scored: LabelledCodes,
    normalisation: SpeakerNormalisationConfig | None,
    seed: int,
    progress: Progress,
) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    """Codes (N,) of both parts by k-means with the model's K, on several kinds of features."""
    K = model.codebook_size
    if (frames := sum(mapped.frames)) < K:
        logger.warning("%d frames are too few for %d clusters: no baselines", frames, K)
        return {}
    found = {}
    for name, features in _baseline_features(model, mapped, scored, normalisation, seed).items():
        arrays = [[features(e) for e in progress(p.speech, name)] for p in (mapped, scored)]
        found[name] = kmeans_codes(*arrays, K, seed)
        if name == NORMALISED:
            found[WHITENED] = whitened_kmeans(*arrays, K, seed)
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
