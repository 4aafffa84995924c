"""ARPAbet phones by class, in the order of tables and pictures."""

from collections.abc import Iterable

import numpy as np

CLASSES = {
    "vowels": "iy ix ih ey eh ae aa ao ah ax uh uw ux ow ay aw oy er axr ax-h".split(" "),
    "approximants": "w y r l el hh hv".split(" "),
    "nasals": "m n ng em en eng nx".split(" "),
    "stops": "p b t d k g dx q pcl bcl tcl dcl kcl gcl".split(" "),
    "fricatives": "f v th dh s z sh zh ch jh".split(" "),
    "silence": ["sil"],
}
"""Lower case, no stress; the affricates are among the fricatives, TIMIT's symbols included."""

OTHER = "other"
"""The class of phones outside of ARPAbet."""

CLASS_COLOURS = dict(
    zip(
        (*CLASSES, OTHER),
        ("#d1495b", "#edae49", "#66a182", "#2e4057", "#00798c", "#8d96a3", "#b58db6"),
        strict=True,
    )
)
"""Of each class, in pictures."""

VOWELS = frozenset(CLASSES["vowels"])


def class_of(phone: str) -> str:
    """Return the class of a phone: a key of :data:`CLASSES`, or :data:`OTHER`."""
    return next((name for name, phones in CLASSES.items() if phone in phones), OTHER)


def classes_of(phones: np.ndarray) -> np.ndarray:
    """Return the class of each of the phones (N,)."""
    known, index = np.unique(phones, return_inverse=True)
    return np.array([class_of(phone) for phone in known.tolist()])[index]


def in_order(phones: Iterable[str]) -> list[str]:
    """Sort phones by class and, within a class, by similarity; unknown phones come last."""
    rank = {phone: place for place, phone in enumerate(sum(CLASSES.values(), []))}
    return sorted(set(phones), key=lambda phone: (rank.get(phone, len(rank)), phone))
