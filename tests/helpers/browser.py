"""Chromium for the tests of the lab: found, installed where possible, and started without any traffic of its own.

``python tests/helpers/browser.py`` finds or installs it, before processes of tests run side by side.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

#: Names of Chromium and Chrome in packages of distributions. The first has no window, and opens a page for a third of
#: the processor time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: The tests assert that a page asks no other host; a browser's own services would.
FLAGS = [
    "--no-sandbox",  # containers run tests as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str:
    """Return the path of Chromium, which is installed if this is root on Debian or Ubuntu; else say what to do."""
    if (found := _found()) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL}
        subprocess.run(["apt-get", "update", "-qq"], check=True, **quiet)
        for name in NAMES[:2]:
            subprocess.run(["apt-get", "install", "-y", "-qq", name], check=False, stderr=subprocess.DEVNULL, **quiet)
            if found := _found():
                break
    if found is None:
        raise RuntimeError(f"the lab is tested in one of {', '.join(NAMES)}; none is on PATH: apt-get install chromium")
    return found


def _found() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def started() -> Iterator[Browser]:
    """Start Chromium, and end it."""
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


if __name__ == "__main__":
    print(chromium())
