"""Confusion and recall of phones, as the codes are mapped to them."""

from dataclasses import dataclass

import numpy as np

from speechvq.analysis.bootstrap import Estimate, bounded, ratio
from speechvq.analysis.phone_classes import in_order


@dataclass(frozen=True)
class PhoneRecall:
    """Share of a phone's frames that the codes are mapped to it, with its 95 % interval.

    ``mistaken_for`` is the other phone that most of its frames are mapped to, with ``mistaken``,
    their share; None where there is none.
    """

    phone: str
    frames: int
    recall: Estimate
    mistaken_for: str | None
    mistaken: float


def phone_recalls(
    true: np.ndarray, predicted: np.ndarray, utterances: np.ndarray
) -> list[PhoneRecall]:
    """Compute the recall of every phone that occurs, by class.

    Parameters
    ----------
    true, predicted
        Phones (N,).
    utterances
        Indices (N,) of the utterances, which are resampled for the intervals.
    """
    recalls = []
    for phone in in_order(np.unique(true).tolist()):
        own = true == phone
        _, of = np.unique(utterances[own], return_inverse=True)
        recall = ratio(np.bincount(of, predicted[own] == phone), np.bincount(of))
        others, counts = np.unique(predicted[own & (predicted != phone)], return_counts=True)
        most = counts.argmax() if len(counts) else None
        recalls.append(
            PhoneRecall(
                phone,
                int(own.sum()),
                bounded(recall),
                None if most is None else str(others[most]),
                0.0 if most is None else float(counts[most] / own.sum()),
            )
        )
    return recalls


def confusion_matrix(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Compute the confusion matrix of phones, each row normalised.

    Parameters
    ----------
    true, predicted
        Phones (N,).

    Returns
    -------
    shares : ndarray of float, shape (Y, Y)
        Row: true phone; column: the phone that the code is mapped to. A row sums to 1, or to 0
        for a phone that never occurs.
    phones : list of str
        The Y phones in either, by class.
    """
    true, predicted = np.asarray(true), np.asarray(predicted)
    phones = in_order(np.union1d(true, predicted).tolist())
    place = {phone: index for index, phone in enumerate(phones)}
    counts = np.zeros((len(phones), len(phones)))
    np.add.at(counts, ([place[p] for p in true], [place[p] for p in predicted]), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), phones
