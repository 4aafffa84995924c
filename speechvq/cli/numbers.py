"""Types of numbers that options have: each says what is expected."""

from __future__ import annotations

import argparse
import math
import re


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text[:40]!r}") from None


def temperature(text: str) -> float:
    value = _number(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(
            f"must be above 0, got {text}; 1 is the model's own distribution (0 would be argmax, "
            "which is not sampling)"
        )
    return value


def whole_number(text: str) -> int:
    """An option of 1 or more."""
    return _whole(text, 1)


def _whole(text: str, least: int) -> int:
    if not re.fullmatch("[0-9]{1,18}", text) or int(text) < least:
        raise argparse.ArgumentTypeError(
            f"must be a whole number, {least} or more, got {text[:40]!r}"
        )
    return int(text)


def above_zero(text: str) -> float:
    """An option above 0."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def top_p(text: str) -> float:
    value = _number(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, got {text}")
    return value


def guidance(text: str) -> float:
    value = _number(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"must be 0 or more, got {text}")
    return value


def seed(text: str) -> int:
    """A seed of random numbers."""
    return _whole(text, 0)
