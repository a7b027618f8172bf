"""Messages on stderr: one line each, free of control characters."""

from __future__ import annotations

import sys


class UsageError(Exception):
    """A command that cannot be understood; the message is one line."""


def note(text: str) -> None:
    """Print a remark about the input or the result."""
    print(f"note: {one_line(text)}", file=sys.stderr)


def progress(text: str) -> None:
    """Print a line of progress."""
    print(one_line(text), file=sys.stderr)


def fail(message: str, status: int) -> int:
    """Print an error and return the exit status."""
    print(f"kernelfield: error: {one_line(message)}", file=sys.stderr)
    return status


def one_line(text: str) -> str:
    r"""Return `text` with line breaks and control characters escaped.

    Examples
    --------
    >>> print(one_line("no file 'a\nb'"))
    no file 'a\nb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
