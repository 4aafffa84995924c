"""Codes as phone labels: the accuracy of section 4.3 of the VQ-VAE paper, and related measures.

With y the phone and z the code of a frame, and p the frequencies over the scored frames:

============== =====================================================================================
accuracy       each code is mapped to its most likely phone on *other* speech (the mapping part);
               the share of scored frames where this phone is the true one
chance         the same with every code mapped to the most likely phone of the mapping part
class accuracy the share of scored frames where the phone of the code has the true phone's class:
               vowel, approximant, nasal, stop, fricative, silence (:mod:`.phone_classes`)
phone purity   sum_z p(z) max_y p(y|z): the accuracy of a map made on the scored part itself
cluster purity sum_y p(y) max_z p(z|y)
PNMI           I(y; z) / H(y), the share of the phones' entropy that the codes explain
V-measure      harmonic mean of I(y; z) / H(y), homogeneity, and I(y; z) / H(z), completeness
perplexity     exp H(z): the effective number of codes
============== =====================================================================================

All but chance increase with K and with the frame rate, and the purities and PNMI also with fewer
scored frames: compare them only at the same K, frame rate, labels and data.

A product code has a code of each of G codebooks, and nearly every frame a combination of its own.
So the map is a linear one: logistic regression on the one-hot vectors of the G codes side by side.
But for its penalty, the table of a codebook's phones is the case G = 1. It gives accuracy and
chance; the other measures, and the same two again, are those of each codebook alone.

Shapes: N and M frames, G codebooks, K codebook_size, Y phones.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from speechvq.analysis.bootstrap import Estimate, ratio
from speechvq.analysis.phone_classes import OTHER, classes_of

FITTED_FRAMES = 300_000
"""The linear map of product codes is fitted on at most this many frames, drawn at random."""

PRODUCT_NOTE = (
    "The learned codes are mapped by a linear classifier on all codebooks; purities, PNMI, "
    "V-measure and perplexity are of each codebook alone. Baselines have the K of one codebook."
)


@dataclass(frozen=True)
class PhonemeScores:
    """Result of :func:`score`. Shares are from 0 to 1; the table above defines them.

    ``accuracy_interval`` is the 95 % bootstrap interval over utterances, or None without
    the utterances of the frames. ``class_accuracy`` and ``class_chance`` are of broad classes,
    None where most phones are not ARPAbet's. ``codes_used`` and ``perplexity`` are over the scored
    frames, ``phone_classes`` counts the labels in both parts. Measures of single codes are None
    for product codes.
    """

    accuracy: float
    accuracy_interval: tuple[float, float] | None
    chance: float
    phone_purity: float | None
    cluster_purity: float | None
    pnmi: float | None
    v_measure: float | None
    codebook_size: int
    codes_used: int | None
    perplexity: float | None
    phone_classes: int
    frames_map: int
    frames_score: int
    class_accuracy: float | None = None
    class_chance: float | None = None


def joint_counts(
    codes: np.ndarray, labels: np.ndarray, codebook_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Count the frames of each code and phone.

    Parameters
    ----------
    codes
        Integers (N,) from 0 to K - 1.
    labels
        Strings (N,).
    codebook_size
        K.

    Returns
    -------
    counts : ndarray of int, shape (K, Y)
    phones : ndarray of str, shape (Y,)
        The phones of the columns, the most frequent first.

    Raises
    ------
    ValueError
        No frames, unequal lengths, or codes out of range.
    """
    codes, labels = _checked(codes, labels, codebook_size)
    phones, columns, frequency = np.unique(labels, return_inverse=True, return_counts=True)
    counts = np.zeros((codebook_size, len(phones)), dtype=np.int64)
    np.add.at(counts, (codes, columns), 1)
    order = np.argsort(-frequency, kind="stable")
    return counts[:, order], phones[order]


def code_to_phone(codes: np.ndarray, labels: np.ndarray, codebook_size: int) -> np.ndarray:
    """Map every code to its most likely phone.

    A code that never occurs gets the phone that is most likely overall; ties go to the phone that
    is more likely overall.

    Returns
    -------
    ndarray of str, shape (K,)
    """
    counts, phones = joint_counts(codes, labels, codebook_size)
    return phones[counts.argmax(axis=1)]


def _checked(
    codes: np.ndarray, labels: np.ndarray, codebook_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """The codes (N,) and labels (N,) as arrays; ValueError if they are none."""
    codes, labels = np.asarray(codes), np.asarray(labels)
    if codes.ndim != 1 or codes.shape != labels.shape:
        raise ValueError(
            f"codes {codes.shape} and labels {labels.shape} must be one-dimensional and as long "
            "as each other"
        )
    if len(codes) == 0:
        raise ValueError("no frames: there is nothing to compare")
    if codes.min() < 0 or codes.max() >= codebook_size:
        raise ValueError(
            f"codes from {codes.min()} to {codes.max()}, expected 0 to {codebook_size - 1}; "
            "were they made by another model?"
        )
    return codes, labels


def phone_map(
    codes: np.ndarray, labels: np.ndarray, codebook_size: int, seed: int = 0
) -> Callable[[np.ndarray], np.ndarray]:
    """Fit the map from codes to phones: a table for one codebook, else a linear classifier.

    Parameters
    ----------
    codes
        Integers (N,), or (N, G) of product codes, from 0 to K - 1.
    labels
        Phones (N,).
    codebook_size
        K.
    seed
        Of the frames that the linear classifier is fitted on, where there are too many.

    Returns
    -------
    callable
        From codes (M,) or (M, G) to phones (M,).

    Raises
    ------
    ValueError
        No frames, unequal lengths, or codes out of range.
    """
    codes, labels = np.asarray(codes), np.asarray(labels)
    if codes.ndim == 1:
        phone_of_code = code_to_phone(codes, labels, codebook_size)
        return lambda codes: phone_of_code[np.asarray(codes)]
    for of_codebook in codes.T:
        _checked(of_codebook, labels, codebook_size)
    if len(codes) > FITTED_FRAMES:
        drawn = np.random.default_rng(seed).choice(len(codes), FITTED_FRAMES, replace=False)
        codes, labels = codes[drawn], labels[drawn]
    if (labels == labels[0]).all():  # a single class, which scikit-learn refuses
        return lambda codes: np.repeat(labels[:1], len(codes))
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    known = [np.arange(codebook_size)] * codes.shape[1]
    classifier = make_pipeline(OneHotEncoder(categories=known), LogisticRegression())
    with warnings.catch_warnings():
        # Few phones change after its 100 iterations
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(codes, labels)
    return classifier.predict


def score(
    map_codes: np.ndarray,
    map_labels: np.ndarray,
    score_codes: np.ndarray,
    score_labels: np.ndarray,
    codebook_size: int,
    score_utterances: np.ndarray | None = None,
) -> PhonemeScores:
    """Map codes to phones on one part of the data and score on another.

    Parameters
    ----------
    map_codes, map_labels
        Codes and phones (N,) of the frames that the map is made from.
    score_codes, score_labels
        Codes and phones (M,) of the frames that are scored.
    codebook_size
        K.
    score_utterances
        The utterance of every scored frame (M,), as any kind of name; gives the interval.
    """
    from sklearn.metrics import homogeneity_completeness_v_measure

    counts, _ = joint_counts(score_codes, score_labels, codebook_size)
    predicted = phone_map(map_codes, map_labels, codebook_size)(score_codes)

    joint = counts / counts.sum()  # p(z, y)
    homogeneity, _, v_measure = homogeneity_completeness_v_measure(score_labels, score_codes)
    return replace(
        score_map(predicted, map_labels, score_labels, codebook_size, score_utterances),
        phone_purity=float(joint.max(axis=1).sum()),
        cluster_purity=float(joint.max(axis=0).sum()),
        pnmi=float(homogeneity),
        v_measure=float(v_measure),
        codes_used=int(counts.any(axis=1).sum()),
        perplexity=perplexity(counts.sum(axis=1)),
    )


def score_map(
    predicted: np.ndarray,
    map_labels: np.ndarray,
    score_labels: np.ndarray,
    codebook_size: int,
    score_utterances: np.ndarray | None = None,
) -> PhonemeScores:
    """Score the phones that codes are mapped to, and nothing of the codes: accuracy and chance.

    Parameters
    ----------
    predicted
        Phones (M,) that :func:`phone_map` gives for the scored frames.
    map_labels
        Phones (N,) of the frames that the map is made from.
    score_labels, codebook_size, score_utterances
        As for :func:`score`.
    """
    score_labels = np.asarray(score_labels)
    right = predicted == score_labels
    classes, frequency = np.unique(np.asarray(map_labels), return_counts=True)
    return PhonemeScores(
        accuracy=float(right.mean()),
        accuracy_interval=(
            None if score_utterances is None else _interval(right, np.asarray(score_utterances))
        ),
        chance=float((score_labels == classes[frequency.argmax()]).mean()),
        phone_purity=None,
        cluster_purity=None,
        pnmi=None,
        v_measure=None,
        codebook_size=codebook_size,
        codes_used=None,
        perplexity=None,
        phone_classes=len(np.union1d(classes, score_labels)),
        frames_map=len(map_labels),
        frames_score=len(score_labels),
        **_class_scores(predicted, map_labels, score_labels),
    )


def accuracy_gain(
    predicted: np.ndarray, others: np.ndarray, labels: np.ndarray, utterances: np.ndarray
) -> Estimate:
    """Accuracy of phones (M,) above that of `others`, paired: both are of the same utterances.

    Parameters
    ----------
    predicted, others
        Phones (M,) of two kinds of codes.
    labels
        True phones (M,).
    utterances
        Index (M,) of the utterance of each frame; these are resampled for the interval.
    """
    gained = (predicted == labels).astype(float) - (others == labels)
    return ratio(np.bincount(utterances, gained), np.bincount(utterances))


def _class_scores(
    predicted: np.ndarray, map_labels: np.ndarray, score_labels: np.ndarray
) -> dict[str, float]:
    """Accuracy and chance of broad classes; nothing where most phones have none."""
    true = classes_of(score_labels)
    if (true == OTHER).mean() > 0.5:
        return {}
    kinds, frequency = np.unique(classes_of(np.asarray(map_labels)), return_counts=True)
    return {
        "class_accuracy": float((classes_of(predicted) == true).mean()),
        "class_chance": float((true == kinds[frequency.argmax()]).mean()),
    }


def perplexity(counts: np.ndarray) -> float:
    """The exponential of the entropy of the codes, by the counts of each."""
    from scipy.stats import entropy

    return float(np.exp(entropy(counts)))


def _interval(right: np.ndarray, utterances: np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of ``right``'s mean, by drawing whole utterances; None for one alone."""
    _, index = np.unique(utterances, return_inverse=True)
    found = ratio(np.bincount(index, weights=right), np.bincount(index))
    return None if np.isnan(found.low) else (found.low, found.high)
