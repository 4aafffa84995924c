"""A judge whose package is not installed."""

import contextlib
import warnings
from collections.abc import Iterator

INSTALL = 'pip install "speechvq[judges]"'


class MissingJudge(ImportError):
    """The package of a judge cannot be imported; the message says how to install it."""


@contextlib.contextmanager
def importing(package: str) -> Iterator[None]:
    """Turn an import that fails inside into :class:`MissingJudge`, and keep it quiet.

    Some packages issue warnings on import that a user can do nothing about.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except ImportError as error:
            raise MissingJudge(
                f"{package} cannot be imported ({error}); install it with: {INSTALL}"
            ) from error


def named(package: str) -> str:
    """Name a package with its version."""
    from importlib.metadata import version

    return f"{package} {version(package)}"
