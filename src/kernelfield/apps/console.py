"""The terminal: colour and movement only where a person looks on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

# Longer lines are hard to read.
_WIDEST = 100


class _Output(Console):
    """A console that leaves a reader who went away to the caller."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def output() -> Console:
    """Return the console for results: plain text unless stdout is a terminal and NO_COLOR is not set."""
    plain = bool(os.environ.get("NO_COLOR")) or not sys.stdout.isatty()
    console = _Output(file=sys.stdout, color_system=None if plain else "auto", highlight=False, emoji=False)
    console.width = min(console.width, _WIDEST)
    return console


@contextmanager
def status(text: str) -> Iterator[None]:
    """Show on stderr that work goes on, if that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(file=sys.stderr).status(text):
        yield
