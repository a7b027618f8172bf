"""Messages on stderr: one line each, free of control characters, of bounded length."""

from __future__ import annotations

import sys
from contextlib import suppress

from kernelfield.errors import bounded


class UsageError(Exception):
    """A command that cannot be understood; the message is one line."""


def note(text: str) -> None:
    """Print a remark about the input or the result."""
    progress(f"note: {text}")


def progress(text: str) -> None:
    """Print a line of progress."""
    # The result does not depend on whether anyone can read the messages.
    with suppress(OSError, ValueError):
        print(one_line(bounded(text)), file=sys.stderr, flush=True)


def fail(message: str, status: int) -> int:
    """Print an error and return the exit status."""
    progress(f"kernelfield: error: {message}")
    return status


def one_line(text: str) -> str:
    r"""Return `text` with line breaks and control characters escaped.

    Examples
    --------
    >>> print(one_line("no file 'a\nb'"))
    no file 'a\nb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
