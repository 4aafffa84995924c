"""What is left of the speaker in codes and latents: probes, and mutual information given the phone.

A probe is a classifier that is trained to tell speakers from one vector an utterance and scored on
other recordings: logistic regression (linear) and the vote of the nearest neighbours, both on
standardised components. Chance is the share of the most frequent speaker.

Mutual information is that of the code z and the speaker s of a frame, given its phone y:

    I(z; s | y) = sum p(y, z, s) log2 p(z, s | y) / (p(z | y) p(s | y))

with the relative frequencies of the frames (plug-in). It is 0 if, among the frames of each phone,
codes say nothing of the speaker; it is at most H(s | y). The plug-in estimate of finite speech is
too high, so it stands beside that of shuffled speakers. Speakers of frames, shuffled among the
frames of a phone, show the excess of independent frames. Frames of an utterance are alike, whoever
speaks; so whole utterances are given to shuffled speakers, too, and that is subtracted.

Shapes: U utterances, F features, N frames, S speakers, G codebooks, K codebook_size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from speechvq.analysis.bootstrap import Estimate, bounded, ratio

FOLDS = 5
NEIGHBOURS = 5
SHUFFLES = 200


@dataclass(frozen=True)
class ProbeScores:
    """Accuracy of both probes, with 95 % intervals over utterances, and chance."""

    linear: Estimate
    neighbours: Estimate
    chance: float
    features: int


@dataclass(frozen=True)
class Shuffled:
    """Mean of an estimate over shuffles, and the range of 95 % of them."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SpeakerInformation:
    """Result of :func:`speaker_information`, in bits for each frame.

    Attributes
    ----------
    plugin : Estimate
        I(z; s | y), with the 95 % interval over utterances.
    frames, utterances : Shuffled
        The same with shuffled speakers of frames, and of utterances.
    excess : Estimate
        ``plugin`` minus the mean of ``utterances``.
    speaker_entropy : float
        H(s | y), the most that there can be.
    """

    plugin: Estimate
    frames: Shuffled
    utterances: Shuffled
    excess: Estimate
    speaker_entropy: float


def histograms(utterances: Sequence[np.ndarray], codebook_size: int) -> np.ndarray:
    """Shares of the codes of each utterance: (U, K) of codes (N,), (U, G K) of codes (N, G)."""
    rows = []
    for codes in utterances:
        by_codebook = codes.reshape(len(codes), -1).T
        counts = [np.bincount(own, minlength=codebook_size) for own in by_codebook]
        rows.append(np.concatenate(counts) / len(codes))
    return np.stack(rows)


def folds(speakers: np.ndarray, recordings: np.ndarray, seed: int = 0) -> np.ndarray:
    """Divide utterances for cross-validation: no recording is in two folds, all speakers in all.

    Parameters
    ----------
    speakers, recordings
        Names (U,); every speaker has at least two recordings.
    seed
        Of the division.

    Returns
    -------
    ndarray
        (U,), the fold of each utterance: as many as the rarest speaker has recordings, at most
        `FOLDS`.
    """
    random = np.random.default_rng(seed)
    of_speaker = [np.unique(recordings[speakers == name]) for name in np.unique(speakers)]
    count = min(FOLDS, min(map(len, of_speaker)))
    fold: dict[str, int] = {}
    for own in of_speaker:
        for place, name in enumerate(random.permutation(own)):
            fold.setdefault(name, place % count)
    return np.array([fold[name] for name in recordings])


def probe(features: np.ndarray, speakers: np.ndarray, fold: np.ndarray) -> ProbeScores:
    """Train and score both probes by cross-validation.

    Parameters
    ----------
    features
        (U, F).
    speakers
        Names (U,).
    fold
        As :func:`folds` gives; each is scored by probes that are trained on the others.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    right = np.zeros((2, len(speakers)))
    for held_out in np.unique(fold):
        inside, outside = fold == held_out, fold != held_out
        nearest = min(NEIGHBOURS, int(outside.sum()))
        for row, classifier in enumerate(
            (LogisticRegression(max_iter=1000), KNeighborsClassifier(nearest))
        ):
            fitted = make_pipeline(StandardScaler(), classifier)
            fitted.fit(features[outside], speakers[outside])
            right[row, inside] = fitted.predict(features[inside]) == speakers[inside]
    ones = np.ones(len(speakers))
    most = np.unique(speakers, return_counts=True)[1].max()
    linear, neighbours = (bounded(ratio(row, ones)) for row in right)
    return ProbeScores(linear, neighbours, float(most / len(speakers)), features.shape[1])


def speaker_information(
    codes: np.ndarray,
    phones: np.ndarray,
    utterances: np.ndarray,
    speakers: np.ndarray,
    seed: int = 0,
) -> SpeakerInformation:
    """Estimate the mutual information of code and speaker given the phone.

    Parameters
    ----------
    codes, phones
        Of each frame (N,).
    utterances
        The index (N,), from 0 to U - 1, of the utterance of each frame.
    speakers
        Of each utterance (U,).
    seed
        Of the shuffles.
    """
    random = np.random.default_rng(seed)
    _, z = np.unique(codes, return_inverse=True)
    _, y = np.unique(phones, return_inverse=True)
    _, of_utterance = np.unique(speakers, return_inverse=True)
    s = of_utterance[utterances]
    own = pointwise(z, s, y)
    plugin = ratio(np.bincount(utterances, own), np.bincount(utterances))

    in_order = np.argsort(y, kind="stable")
    of_frames, of_utterances = [], []
    for _ in range(SHUFFLES):
        shuffled = np.empty_like(s)
        shuffled[in_order] = s[np.lexsort((random.random(len(s)), y))]  # within each phone
        of_frames.append(pointwise(z, shuffled, y).mean())
        of_utterances.append(pointwise(z, random.permutation(of_utterance)[utterances], y).mean())
    frames, whole = (_range(found) for found in (of_frames, of_utterances))
    moved = (plugin.value - whole.value, plugin.low - whole.value, plugin.high - whole.value)
    excess = replace(plugin, value=moved[0], low=moved[1], high=moved[2])
    return SpeakerInformation(plugin, frames, whole, excess, float(pointwise(s, s, y).mean()))


def pointwise(z: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """log2 p(z, s | y) / (p(z | y) p(s | y)) of each frame (N,); the mean is I(z; s | y)."""
    Z, S = z.max() + 1, s.max() + 1
    yz, ys = y * Z + z, y * S + s
    yzs = yz * S + s
    together, of_z, of_s, of_y = (np.bincount(index)[index] for index in (yzs, yz, ys, y))
    return np.log2(together * of_y / (of_z * of_s))


def _range(found: Sequence[float]) -> Shuffled:
    low, high = np.percentile(found, [2.5, 97.5])
    return Shuffled(float(np.mean(found)), float(low), float(high))
