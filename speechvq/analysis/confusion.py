"""Confusion of phones, as the codes are mapped to them."""

import numpy as np

from speechvq.analysis.phone_classes import in_order


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
