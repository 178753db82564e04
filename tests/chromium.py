"""A real Chromium for tests: pages that note whatever they say and ask for."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

WIDE = {"width": 1440, "height": 1000}
NARROW = {"width": 390, "height": 844}
#: Waits are for a page on two busy cores, milliseconds.
WAIT_MS = 60_000


class Watched(NamedTuple):
    """A page, its console and errors, and the addresses it asked for."""

    page: Page
    said: list[str]
    asked: list[str]


@contextmanager
def launched() -> Iterator[Browser]:
    """Yield a browser; skips without one, and fails in CI."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if program is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no Chromium here")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser, url: str, size: Any = WIDE, scheme: Any = "light"
) -> Iterator[Watched]:
    """Open a page of its own context."""
    context = browser.new_context(viewport=size, color_scheme=scheme)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    watched = Watched(page, [], [])
    page.on("console", lambda message: watched.said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda problem: watched.said.append(f"error: {problem}"))
    page.on("request", lambda request: watched.asked.append(request.url))
    page.goto(url)
    yield watched
    context.close()
