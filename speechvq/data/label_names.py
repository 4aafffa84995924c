"""Names of phones as aligners write them, and the phone that is meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SILENCE = "sil"
"""Label of silence, pauses, and segments that an aligner could not identify."""

SILENCES = frozenset(
    ["", "sil", "sp", "spn", "spl", "sp1", "silence", "pau", "epi", "h#", "#h", "#", "ssil", "nsn"]
    + ["<sil>", "<s>", "</s>", "<p>", "<eps>", "<p:>", "++noise++", "[noise]", "[silence]", "_"]
)

MOST_CLASSES = 150
"""Phone classes of a corpus above which the labels are doubted; stress and length included."""

_POSITION = re.compile(r"(.+)_[BIES]")  # Kaldi: beginning, inside, end of a word, or single
_CONTEXT = re.compile(r"[^-+]+-([^+]+)\+[^+]+")  # HTK's a-b+c, HTS's x^a-b+c=d@…
_STATE = re.compile(r"(.+)\[\d+\]")  # HTK: the state of a model


def doubt_classes(labels: Iterable[str]) -> str | None:
    """Return a line that doubts the labels of a corpus where these are too many, else None."""
    classes = {label.lower() for label in labels}
    if len(classes) <= MOST_CLASSES:
        return None
    return (
        f"{len(classes)} classes of phones, such as {', '.join(sorted(classes)[:3])}; a language "
        f"has 30 to {MOST_CLASSES}: are these words, phones in context or numbers?"
    )


def without_context(labels: Sequence[str]) -> list[str]:
    """Reduce the labels of one utterance to phones.

    HTK's and HTS's labels in context (``a-b+c``, ``x^a-b+c=d@1_2/A:…``) become the phone in the
    middle, where any label has both neighbours. Kaldi's positions in the word (``AH_B``) are cut
    where every label but silence has one. States (``ah[2]``) are cut. Other labels stay.
    """
    plain = [_match(_STATE, label) or label for label in labels]
    if any(_CONTEXT.match(label) for label in plain):
        plain = [_middle(label) for label in plain]
    speech = [label for label in plain if label.lower() not in SILENCES]
    if speech and all(_POSITION.fullmatch(label) for label in speech):
        plain = [_match(_POSITION, label) or label for label in plain]
    return plain


def _match(pattern: re.Pattern[str], label: str) -> str | None:
    match = pattern.fullmatch(label)
    return match[1] if match else None


def _middle(label: str) -> str:
    match = _CONTEXT.match(label)
    if match:
        return match[1]
    left = label.split("-", 1)[-1]  # at the edge of a word or utterance a side is missing
    return left.split("+", 1)[0] or label
