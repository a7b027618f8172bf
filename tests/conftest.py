from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from hypothesis import settings

from kernelfield import _core

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# TensorFlow writes to stderr when it is loaded.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Plans go by the figures that come with the package, not by those that were measured here.
os.environ["KERNELFIELD_CACHE"] = ""

settings.register_profile("kernelfield", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("kernelfield")


def pytest_configure(config):
    """Let MXNet 1.9.1 use NumPy and SciPy as it did in its day."""
    if "mxnet" in os.environ.get("KERNELFIELD_FRAMEWORKS", ""):
        config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning")


# One that KERNELFIELD_CPU names is tested by itself; see `make test-sets`.
SETS = [os.environ["KERNELFIELD_CPU"]] if os.environ.get("KERNELFIELD_CPU") else _core.instruction_sets()


@pytest.fixture(scope="module", params=SETS)
def engine(request):
    """Compute with each instruction set that this processor has, for all examples of a test."""
    from kernelfield.engine.plan import CACHE

    usual = _core.instruction_set()
    _core.use(request.param)
    CACHE.clear()
    yield request.param
    _core.use(usual)
    CACHE.clear()


def pytest_collection_modifyitems(items):
    """Mark tests that go over all instruction sets by themselves."""
    for item in items:
        if "engine" in getattr(item, "fixturenames", ()):
            item.add_marker("sets")


#: Milliseconds that anything may take to appear: other work may have the machine.
PATIENCE = 60_000
LOCAL = {"127.0.0.1", "localhost", "[::1]"}


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a process."""
    # Not at the top: the environment of MXNet has neither Playwright nor the extra `lab`.
    from helpers.browser import started
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
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
        page.set_default_timeout(PATIENCE)
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
