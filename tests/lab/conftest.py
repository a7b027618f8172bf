"""The lab in Chromium: one browser for all tests, a page for each, and a server where a test asks for one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOCAL = {"127.0.0.1", "localhost", "[::1]"}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    # Not at the top: the environment of MXNet has neither Playwright nor the extra `lab`.
    from helpers.browser import started

    with started() as chromium:
        yield chromium


@pytest.fixture
def watched(browser) -> Iterator[Callable[..., Page]]:
    """Open pages; at the end of the test, fail if one asked another host for anything or wrote an error to its console.

    The arguments are those of a browser's context, such as ``viewport``. Lines of the console that a test expects are
    named by ``page.expected``, a list of regular expressions.
    """
    contexts, pages = [], []

    def open_page(**options: object) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.expected, page.faults = [], []
        page.on("request", lambda request: _note_foreign(page, request.url))
        page.on("console", lambda line: page.faults.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        pages.append(page)
        return page

    yield open_page
    faults = [f for page in pages for f in page.faults if not any(re.search(e, f) for e in page.expected)]
    for context in contexts:
        context.close()
    assert not faults


def _note_foreign(page: Page, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("data", "blob", "about") and parts.hostname not in LOCAL:
        page.faults.append(f"asked for {url}")


@pytest.fixture
def page(watched) -> Page:
    """A page of the size of a laptop's window."""
    return watched(viewport={"width": 1280, "height": 800})


@pytest.fixture(scope="session")
def static() -> Iterator[str]:
    """The address of the page as static files."""
    from helpers.static import static_pages

    with static_pages() as address:
        yield address


@pytest.fixture(scope="session")
def lab() -> Iterator[SimpleNamespace]:
    """A running lab that tests share."""
    from helpers.lab import served

    with served() as server:
        yield server
