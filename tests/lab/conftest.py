"""The lab in Chromium: a page for each test, and a server where a test asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page


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
