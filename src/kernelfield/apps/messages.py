"""What is said on stderr: one line at a time, nothing in it that could command a terminal."""

from __future__ import annotations

import sys


class UsageError(Exception):
    """A command that cannot be understood; the message is one line."""


def note(text: str) -> None:
    """Tell the user something besides the result."""
    print(f"note: {one_line(text)}", file=sys.stderr)


def progress(text: str) -> None:
    """Say how far the work is."""
    print(one_line(text), file=sys.stderr)


def fail(message: str, status: int) -> int:
    """Say what is wrong and return the exit status."""
    print(f"kernelfield: error: {one_line(message)}", file=sys.stderr)
    return status


def one_line(text: str) -> str:
    r"""Return `text` with line breaks and control characters made visible.

    Examples
    --------
    >>> print(one_line("no file 'a\nb'"))
    no file 'a\nb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
