"""A real headless Chromium for tests of pages: what a page says on its console, and that it asks the network for nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--autoplay-policy=no-user-gesture-required", "--mute-audio")
"""Without a sandbox Chromium runs as root, as in a container."""


def launch():
    """Yield a browser; see the fixture `chromium`. Absent: skipped on a laptop, an error in CI."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _absent("playwright is not installed: pip install -e '.[test]'")
    path = os.environ.get("AU_BENCH_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        _absent("no Chromium found: apt-get install chromium-headless-shell, or set AU_BENCH_CHROMIUM to one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def checked_page(browser, **options) -> Iterator:
    """A page of its own, which must neither complain on its console nor ask for anything that is not a local file.

    Args:
        browser: of the fixture `chromium`.
        options: of playwright's `Browser.new_context`, for example viewport, color_scheme, is_mobile.
    """
    complaints: list[str] = []
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
    context.set_default_timeout(5000)
    page = context.new_page()
    page.on("console", lambda m: complaints.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else complaints.append(r.url))
    page.on("requestfailed", lambda r: complaints.append(f"{r.failure}: {r.url[:200]}") if _lost(r) else None)
    yield page
    context.close()
    assert not complaints, complaints


def _lost(request) -> bool:
    """Whether a file was not there; a player that is closed or moved on gives its request up, which is no failure."""
    return request.failure != "net::ERR_ABORTED"


def _absent(message: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
