"""Debian's Chromium for tests, where there is one."""

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    "--autoplay-policy=no-user-gesture-required",
)


@contextmanager
def chromium() -> Iterator:
    """A headless browser; the tests are skipped, and a warning says so, where there is none."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        missing = "no Chromium or no playwright here: the tests in the browser are skipped"
        warnings.warn(missing, stacklevel=2)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()
