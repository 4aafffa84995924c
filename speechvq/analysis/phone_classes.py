"""ARPAbet's phones by class, in the order in which tables and pictures show them."""

from collections.abc import Iterable

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
"""The class of a phone that is none of ARPAbet's."""

VOWELS = frozenset(CLASSES["vowels"])


def class_of(phone: str) -> str:
    """Tell the class of a phone: a key of :data:`CLASSES`, or :data:`OTHER`."""
    return next((name for name, phones in CLASSES.items() if phone in phones), OTHER)


def in_order(phones: Iterable[str]) -> list[str]:
    """Sort phones by class and, inside a class, from alike to alike; the unknown come last."""
    rank = {phone: place for place, phone in enumerate(sum(CLASSES.values(), []))}
    return sorted(set(phones), key=lambda phone: (rank.get(phone, len(rank)), phone))
