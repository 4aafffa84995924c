"""How far what was heard is from what was said."""

from collections.abc import Sequence


def edits(said: Sequence[str], heard: Sequence[str]) -> int:
    """Count the words or phones to replace, leave out or put in to turn ``said`` into ``heard``."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(said, heard)
