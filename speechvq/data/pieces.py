"""Cutting a recording into pieces."""

from collections.abc import Iterator


def equal_pieces(length: int, longest: int) -> list[tuple[int, int]]:
    """Cut `length` samples into (start, length) of about the same length, at most `longest`."""
    count = max(1, -(-length // longest))
    shorter, rest = divmod(length, count)
    return [(i * shorter + min(i, rest), shorter + (i < rest)) for i in range(count)]


def pieces(length: int, longest: int) -> Iterator[tuple[int, int]]:
    """Cut `length` samples into (start, length) of at most `longest`, for validation."""
    for start in range(0, length, longest):
        yield start, min(longest, length - start)
