"""A real browser for the tests of the operator's page: Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["MISSING", "chromium", "opened"]

MISSING = (
    "the page's tests need a browser, and there is no Chromium here: install it (Debian: apt-get install "
    "chromium), or name it (make test-page CHROMIUM=/path/to/chromium)"
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
_QUIET += ["--disable-component-update", "--disable-sync"]


def chromium() -> str | None:
    """The browser's path."""
    named = os.environ.get("CHROMIUM")
    return named or next((path for path in map(shutil.which, _NAMES) if path), None)


@contextmanager
def opened() -> Iterator[Any]:
    """A running browser."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    assert path is not None, MISSING
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*_QUIET, *sandbox])
        try:
            yield browser
        finally:
            browser.close()
