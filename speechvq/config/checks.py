"""Checks of single settings; each error begins with the name of the setting."""

LARGEST = 2**20
"""Of sizes: more is a mistake, or a header that is to take all memory."""
LAYERS = 1000
"""Of what is there one after the other, such as layers."""
BANDS = 1024
"""Of a filterbank."""
NUMBERS = 2**26
"""Of a codebook or a filterbank, which are computed when a model is built."""
STEPS = 2**40
"""Of a training."""


def at_least(least: float, name: str, value: float, largest: float = LARGEST) -> None:
    """Raise ValueError for a value below `least` or above `largest`."""
    if value < least:
        raise ValueError(f"{name}: must be at least {least}, got {value}")
    if value > largest:
        raise ValueError(f"{name}: must be at most {largest}, got {str(value)[:20]}")


def above_zero(name: str, value: float) -> None:
    """Raise ValueError for a value that is not above 0."""
    if not value > 0:
        raise ValueError(f"{name}: must be above 0, got {value}")


def share(name: str, value: float) -> None:
    """Raise ValueError for a value outside of 0 … 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: must lie between 0 and 1, got {value}")
