"""The terminal: colour and animation only where a person is watching."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

# Longer lines are hard to read.
_MAX_WIDTH = 100


class _Output(Console):
    """A console that lets the caller handle a closed pipe."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def output() -> Console:
    """Return the console for results: plain text unless stdout is a terminal and NO_COLOR is not set."""
    plain = bool(os.environ.get("NO_COLOR")) or not sys.stdout.isatty()
    console = _Output(file=sys.stdout, color_system=None if plain else "auto", highlight=False, emoji=False)
    console.width = min(console.width, _MAX_WIDTH)
    return console


@contextmanager
def status(text: str) -> Iterator[None]:
    """Show the step in progress on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    with Console(file=sys.stderr).status(text):
        yield


def entry(label: str, text: str, width: int, style: str = "", indent: int = 10) -> Text:
    """Return a label and its text, wrapped in a column of its own."""
    lines = textwrap.wrap(text, max(20, width - indent)) or [""]
    body = ("\n" + " " * indent).join(lines)
    return Text.assemble((label.ljust(indent), "cyan"), (body, style))
