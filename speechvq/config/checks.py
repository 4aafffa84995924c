"""Checks of single settings; each error begins with the name of the setting."""


def at_least(least: float, name: str, value: float) -> None:
    """Raise ValueError for a value below `least`."""
    if value < least:
        raise ValueError(f"{name}: must be at least {least}, got {value}")


def above_zero(name: str, value: float) -> None:
    """Raise ValueError for a value that is not above 0."""
    if not value > 0:
        raise ValueError(f"{name}: must be above 0, got {value}")


def share(name: str, value: float) -> None:
    """Raise ValueError for a value outside of 0 … 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name}: must lie between 0 and 1, got {value}")
