"""Errors of a transcript, as WER and PER count them."""

from collections.abc import Sequence


def count_errors(reference: Sequence[str], transcript: Sequence[str]) -> int:
    """Count substitutions, deletions and insertions: the Levenshtein distance."""
    from rapidfuzz.distance import Levenshtein

    return Levenshtein.distance(reference, transcript)
